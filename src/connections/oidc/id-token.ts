/**
 * The ID token, checked as OpenID Connect Core 1.0 section 3.1.3.7 with 3.2.2.11 says, and beyond where libraries leave
 * gaps. `verifyIdToken` shows the order on one screen; each check is one function, named for what it refuses. Nothing of
 * the payload is looked at before the signature has held. Time is an argument; refusals are values.
 */
import type { OidcConfig } from '../../config/oidc.ts';
import { type JsonObject, member } from '../../kernel/json.ts';
import { ok, type Result, refuse } from '../../kernel/result.ts';
import { type VerifiedClaims, verifiedClaims } from '../verified-claims.ts';
import type { KeySource } from './keys.ts';
import { isNumericDate, verifyToken } from './token.ts';

/** What the token must fit: the tenant's side, and this attempt's. */
export type Expectation = {
  readonly config: OidcConfig;
  readonly nonce: string;
  readonly attemptStartedAtMs: number;
  /** a refreshed token, which need not repeat the nonce (Core 12.2) */
  readonly isRefreshed?: boolean;
};

export async function verifyIdToken(
  token: string,
  expected: Expectation,
  keys: KeySource,
  nowMs: number,
): Promise<Result<VerifiedClaims>> {
  const payload = await verifyToken(token, expected.config, keys, { purpose: 'sign-in', types: ['jwt'] });
  if (!payload.ok) return payload;
  const claims = payload.value;
  const checks = [
    checkIssuer(claims, expected.config),
    checkAudience(claims, expected.config),
    checkAuthorizedParty(claims, expected.config),
    checkExpiry(claims, expected.config, nowMs),
    checkNotBefore(claims, expected.config, nowMs),
    checkIssuedAt(claims, expected, nowMs),
    checkNonce(claims, expected),
    checkAuthTime(claims, expected.config, nowMs),
    checkAcr(claims, expected.config),
  ];
  for (const check of checks) if (!check.ok) return check;
  const issuedAtSeconds = Number(member(claims, 'iat')); // a number: checkIssuedAt
  const issuer = String(member(claims, 'iss')); // one of the tenant's: checkIssuer
  return ok(verifiedClaims({ connection: 'oidc', issuer, claims, idToken: token, issuedAtSeconds }));
}

export type Checked = Result<undefined>;
export const passed: Checked = ok(undefined);

/** 3.1.3.7 item 2. Code points, not URLs: a missing slash is another issuer (Core 14). */
export function checkIssuer(claims: JsonObject, config: OidcConfig): Checked {
  const accepted: readonly unknown[] = config.issuers;
  return accepted.includes(member(claims, 'iss')) ? passed : refuse('issuer_mismatch', { expected: config.issuer });
}

/** Item 3: we are meant, and nobody else whom the tenant's file does not name. */
export function checkAudience(claims: JsonObject, config: OidcConfig): Checked {
  const aud = member(claims, 'aud');
  const audiences: unknown[] = Array.isArray(aud) ? aud : [aud];
  if (!audiences.every((value) => typeof value === 'string')) return refuse('audience_malformed');
  if (!audiences.includes(config.client_id)) return refuse('audience_mismatch', { expected: config.client_id });
  const untrusted = audiences.some((value) => value !== config.client_id && !config.trusted_audiences.includes(value));
  return untrusted ? refuse('audience_untrusted', { audiences: audiences.length }) : passed;
}

/** Items 4 and 5: it was issued to us; with several audiences the token must say so. */
function checkAuthorizedParty(claims: JsonObject, config: OidcConfig): Checked {
  const azp = member(claims, 'azp');
  const aud = member(claims, 'aud');
  if (azp === undefined) {
    const several = Array.isArray(aud) && new Set(aud).size > 1;
    return several ? refuse('authorized_party_missing') : passed;
  }
  return azp === config.client_id ? passed : refuse('authorized_party_mismatch', { expected: config.client_id });
}

/** Item 9. */
export function checkExpiry(claims: JsonObject, config: OidcConfig, nowMs: number): Checked {
  const exp = member(claims, 'exp');
  if (!isNumericDate(exp)) return refuse('expiry_malformed');
  const seconds = nowMs / 1000;
  return seconds < exp + config.clock_tolerance
    ? passed
    : refuse('expired', { seconds_ago: Math.round(seconds - exp) });
}

/** RFC 7519 section 4.1.5. */
function checkNotBefore(claims: JsonObject, config: OidcConfig, nowMs: number): Checked {
  const nbf = member(claims, 'nbf');
  if (nbf === undefined) return passed;
  if (!isNumericDate(nbf)) return refuse('not_before_malformed');
  const seconds = nowMs / 1000;
  return nbf <= seconds + config.clock_tolerance
    ? passed
    : refuse('not_yet_valid', { seconds_ahead: Math.round(nbf - seconds) });
}

/** Item 10, which Core leaves to us: a token is made after it was asked for and not in the future. */
function checkIssuedAt(claims: JsonObject, { config, attemptStartedAtMs }: Expectation, nowMs: number): Checked {
  const iat = member(claims, 'iat');
  if (!isNumericDate(iat)) return refuse('issued_at_malformed');
  const ahead = Math.round(iat - nowMs / 1000);
  if (ahead > config.clock_tolerance) return refuse('issued_in_future', { seconds_ahead: ahead });
  // `iat` has whole seconds, mostly: the attempt's beginning is cut to them too
  const early = Math.floor(attemptStartedAtMs / 1000) - iat;
  return early <= config.clock_tolerance
    ? passed
    : refuse('issued_before_attempt', { seconds_early: Math.round(early) });
}

/** 3.2.2.11 item 2: always, in either flow. One-time use is the attempt's doing. */
function checkNonce(claims: JsonObject, { nonce, isRefreshed }: Expectation): Checked {
  const sent = member(claims, 'nonce');
  return sent === nonce || (isRefreshed === true && sent === undefined) ? passed : refuse('nonce_mismatch');
}

/** Item 13: needed and recent when `max_age` was sent; where it comes unasked it must still be a time. */
function checkAuthTime(claims: JsonObject, config: OidcConfig, nowMs: number): Checked {
  const authTime = readAuthTime(member(claims, 'auth_time'), config);
  if (authTime === undefined && config.max_age === null) return passed;
  if (typeof authTime !== 'number') return refuse('auth_time_malformed');
  if (config.max_age === null) return passed;
  const age = nowMs / 1000 - authTime;
  return age >= -config.clock_tolerance && age <= config.max_age + config.clock_tolerance
    ? passed
    : refuse('auth_time_too_old', { seconds: Math.round(age) });
}

/** @returns seconds since the epoch; `undefined`: not there; `null`: there and not a time */
function readAuthTime(value: unknown, config: OidcConfig): number | null | undefined {
  if (value === undefined) return undefined;
  if (isNumericDate(value)) return value;
  if (typeof value !== 'string' || !config.quirks.includes('lenient_auth_time')) return null;
  const seconds = /^\d+$/.test(value) ? Number(value) : Date.parse(value) / 1000; // AD FS sends ISO 8601
  return Number.isNaN(seconds) ? null : seconds;
}

/** Item 12: one of those that were asked for. */
function checkAcr(claims: JsonObject, config: OidcConfig): Checked {
  if (config.acr_values === null) return passed;
  const acr = member(claims, 'acr');
  return typeof acr === 'string' && config.acr_values.split(' ').includes(acr) ? passed : refuse('acr_mismatch');
}
