/**
 * The logout token, checked as OpenID Connect Back-Channel Logout 1.0 section 2.6 says, in its order. `typ` may be missing or
 * `JWT`, because many providers never say `logout+jwt` (section 4.1); the event member and the absence of a nonce keep it
 * apart from an ID token.
 */
import type { OidcConfig } from '../../config/oidc.ts';
import { isJsonObject, type JsonObject, member } from '../../kernel/json.ts';
import { ok, type Result, refuse } from '../../kernel/result.ts';
import { type Checked, checkAudience, checkExpiry, checkIssuer, passed } from './id-token.ts';
import type { KeySource } from './keys.ts';
import { isNumericDate, verifyToken } from './token.ts';

const LOGOUT_EVENT = 'http://schemas.openid.net/event/backchannel-logout';
const IDENTIFIER_MAX_CHARACTERS = 1_024;
/** For providers that send no `exp`: section 4 recommends two minutes of life; clocks and queues take their share. */
const AGE_MAX_SECONDS = 300;

export type LogoutOrder = {
  readonly issuer: string;
  readonly jti: string;
  /** at least one of the two */
  readonly sid: string | undefined;
  readonly sub: string | undefined;
  /** by the IdP's clock: nothing that began later is meant */
  readonly issuedAtSeconds: number;
  /** by when it can no longer be used */
  readonly expiresAtSeconds: number;
};

export async function verifyLogoutToken(
  token: string,
  config: OidcConfig,
  keys: KeySource,
  nowMs: number,
): Promise<Result<LogoutOrder>> {
  const payload = await verifyToken(token, config, keys, { purpose: 'logout', types: ['logout+jwt', 'jwt'] });
  if (!payload.ok) return payload;
  const claims = payload.value;
  const checks = [
    checkIssuer(claims, config),
    checkAudience(claims, config),
    checkIssuedAt(claims, config, nowMs),
    checkLifetime(claims, config, nowMs),
    checkSubject(claims),
    checkEvent(claims),
    checkNoNonce(claims),
    checkTokenId(claims),
  ];
  for (const check of checks) if (!check.ok) return check;
  return ok(orderOf(claims));
}

function checkIssuedAt(claims: JsonObject, config: OidcConfig, nowMs: number): Checked {
  const iat = member(claims, 'iat');
  if (!isNumericDate(iat)) return refuse('issued_at_malformed');
  const ahead = Math.round(iat - nowMs / 1000);
  return ahead <= config.clock_tolerance ? passed : refuse('issued_in_future', { seconds_ahead: ahead });
}

/** `exp` is required (2.4); where the tenant's provider is known to leave it out, the age counts. */
function checkLifetime(claims: JsonObject, config: OidcConfig, nowMs: number): Checked {
  if (member(claims, 'exp') !== undefined || !config.quirks.includes('logout_token_without_exp'))
    return checkExpiry(claims, config, nowMs);
  const age = nowMs / 1000 - issuedAt(claims);
  return age <= AGE_MAX_SECONDS + config.clock_tolerance
    ? passed
    : refuse('issued_too_long_ago', { seconds: Math.round(age) });
}

/** Step 5: `sub`, `sid` or both, and each a text. */
function checkSubject(claims: JsonObject): Checked {
  const given = [member(claims, 'sub'), member(claims, 'sid')].filter((value) => value !== undefined);
  return given.length > 0 && given.every(isIdentifier) ? passed : refuse('logout_subject_missing');
}

/** Step 6: an object with the event as a member, whose value is an object too. */
function checkEvent(claims: JsonObject): Checked {
  const events = member(claims, 'events');
  const isLogout = isJsonObject(events) && isJsonObject(member(events, LOGOUT_EVENT));
  return isLogout ? passed : refuse('logout_event_missing');
}

/** Step 7: or it could be an ID token. */
function checkNoNonce(claims: JsonObject): Checked {
  return Object.hasOwn(claims, 'nonce') ? refuse('nonce_present') : passed;
}

/** Section 2.4; whether it was seen before is for who obeys it. */
function checkTokenId(claims: JsonObject): Checked {
  return isIdentifier(member(claims, 'jti')) ? passed : refuse('token_id_missing');
}

function orderOf(claims: JsonObject): LogoutOrder {
  const text = (name: string): string | undefined => {
    const value = member(claims, name);
    return typeof value === 'string' ? value : undefined;
  };
  const exp = member(claims, 'exp');
  const issuedAtSeconds = issuedAt(claims);
  return {
    issuer: text('iss') ?? '',
    jti: text('jti') ?? '',
    sid: text('sid'),
    sub: text('sub'),
    issuedAtSeconds,
    expiresAtSeconds: isNumericDate(exp) ? exp : issuedAtSeconds + AGE_MAX_SECONDS,
  };
}

function issuedAt(claims: JsonObject): number {
  const iat = member(claims, 'iat');
  return isNumericDate(iat) ? iat : 0;
}

function isIdentifier(value: unknown): boolean {
  return typeof value === 'string' && value !== '' && value.length <= IDENTIFIER_MAX_CHARACTERS;
}
