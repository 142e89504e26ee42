/**
 * The code flow's second half (Core 3.1.3): the code is redeemed once, by the attempt that asked for it, with PKCE; what the ID token does
 * not say, UserInfo may, of the same `sub`. The access token is used here and nowhere else, and kept nowhere.
 */
import * as client from 'openid-client';
import type { OidcConfig } from '../../config/oidc.ts';
import { GatewayFailure } from '../../kernel/failure.ts';
import { isJsonObject, type JsonObject, member, memberAt } from '../../kernel/json.ts';
import { ok, type Result, refuse } from '../../kernel/result.ts';
import { OutboundError } from '../outbound.ts';
import type { Asking } from './client.ts';

const RETRY_AFTER_SECONDS = '10';

export type Tokens = { readonly idToken: string; readonly accessToken: string; readonly refreshToken?: string };
/** A refresh may bring no ID token (Core 12.2). */
export type RefreshedTokens = Omit<Tokens, 'idToken'> & { readonly idToken?: string };

type Proof = { readonly redirectUri: string; readonly codeVerifier: string };

/** Throws `idp_unavailable`. */
export async function redeemCode(
  { configuration, idToken }: Asking,
  code: string,
  { redirectUri, codeVerifier }: Proof,
): Promise<Result<Tokens>> {
  const url = new URL(redirectUri);
  url.searchParams.set('code', code);
  return orRefusal('token endpoint', async () => {
    const answered = await client.authorizationCodeGrant(configuration, url, {
      pkceCodeVerifier: codeVerifier,
      expectedState: client.skipStateCheck, // the attempt has been opened with it
    });
    const token = idToken();
    return token === undefined ? refuse('token_response_malformed') : ok({ idToken: token, ...tokensOf(answered) });
  });
}

/** RFC 6749 section 6. Throws `idp_unavailable`. */
export function redeemRefreshToken(
  { configuration, idToken }: Asking,
  token: string,
): Promise<Result<RefreshedTokens>> {
  return orRefusal('token endpoint', async () => {
    const answered = await client.refreshTokenGrant(configuration, token);
    const fresh = idToken();
    return ok({ ...(fresh !== undefined && { idToken: fresh }), ...tokensOf(answered) });
  });
}

/** RFC 7009. Throws `idp_unavailable`. */
export function revokeToken({ configuration }: Asking, token: string): Promise<Result<true>> {
  return orRefusal('revocation endpoint', async () => {
    await client.tokenRevocation(configuration, token, { token_type_hint: 'refresh_token' });
    return ok(true);
  });
}

function tokensOf(answered: client.TokenEndpointResponse): Pick<Tokens, 'accessToken' | 'refreshToken'> {
  const { access_token: accessToken, refresh_token: refreshToken } = answered;
  return refreshToken === undefined ? { accessToken } : { accessToken, refreshToken };
}

/** Core 5.3.2: of the same `sub`, or not at all. Throws `idp_unavailable`. */
export function askUserInfo({ configuration }: Asking, accessToken: string, sub: string): Promise<Result<JsonObject>> {
  return orRefusal('userinfo endpoint', async () => {
    const answered = await client.fetchUserInfo(configuration, accessToken, client.skipSubjectCheck);
    return answered.sub === sub ? ok({ ...answered }) : refuse('userinfo_subject_mismatch');
  });
}

/** Whether something that a person needs is not in the ID token. `null` is not a value (Core 13.3). */
export function isIncomplete(claims: JsonObject, config: OidcConfig): boolean {
  const lacks = (path: readonly string[]): boolean => isAbsent(memberAt(claims, path));
  const isNameless = lacks(['name']) && lacks(['preferred_username']);
  return lacks(config.claims.roles) || lacks(config.claims.email) || isNameless;
}

const OF_THE_PERSON = ['name', 'preferred_username', 'given_name', 'family_name', 'locale', 'zoneinfo'] as const;
/** that there are more roles than were sent */
const OVERAGE_MARKS = ['_claim_names', 'hasgroups'] as const;

/** What UserInfo says of the person and the ID token does not; nothing of the protocol, such as `sid`. */
export function filledFrom(more: JsonObject, claims: JsonObject, config: OidcConfig): JsonObject {
  const paths = [
    config.claims.roles,
    config.claims.email,
    ...[...OF_THE_PERSON, ...OVERAGE_MARKS].map((name) => [name]),
  ];
  let filled = claims;
  for (const path of paths)
    if (isAbsent(memberAt(claims, path))) filled = withMember(filled, path, memberAt(more, path));
  return filled;
}

function withMember(object: JsonObject, [name = '', ...rest]: readonly string[], value: unknown): JsonObject {
  if (isAbsent(value)) return object;
  const inner = member(object, name);
  const next = rest.length === 0 ? value : withMember(isJsonObject(inner) ? inner : {}, rest, value);
  return { ...object, [name]: next };
}

function isAbsent(value: unknown): boolean {
  return value === undefined || value === null;
}

/** An answer that says no, or that is not one, is a refusal; one that cannot be had is an outage. */
export async function orRefusal<T>(where: string, ask: () => Promise<Result<T>>): Promise<Result<T>> {
  try {
    return await ask();
  } catch (error) {
    if (error instanceof client.ResponseBodyError && !isUnable(error))
      return refuse('idp_error', { idp_error: codeOf(error.error), status: error.status, where });
    if (error instanceof client.WWWAuthenticateChallengeError)
      return refuse('idp_error', { idp_error: 'unauthorized', status: error.status, where });
    if (error instanceof client.ClientError && TOKEN_FAULTS.has(error.code ?? ''))
      return refuse('token_response_malformed', { fault: error.code ?? '', where });
    throw unavailable(where, error);
  }
}

/** RFC 6749 section 4.1.2.1 and RFC 6585 section 4: it cannot now, which says nothing of the person. */
function isUnable({ status, error }: client.ResponseBodyError): boolean {
  return [408, 429].includes(status) || ['temporarily_unavailable', 'server_error', 'slow_down'].includes(error);
}

/** Registered codes look so (RFC 6749 section 11.4); anything else may be an echo of what was sent. */
function codeOf(error: string): string {
  return /^[a-z_]{1,64}$/.test(error) ? error : '(not a code)';
}

/** @param error of openid-client, whose causes may hold tokens: of those only our own outbound's is kept, which does not */
function unavailable(where: string, error: unknown): GatewayFailure {
  const inner = error instanceof Error && error.cause instanceof OutboundError ? error.cause : error;
  const cause = new Error(inner instanceof Error ? inner.message : String(inner));
  const headers = { 'Retry-After': RETRY_AFTER_SECONDS };
  return new GatewayFailure('idp_unavailable', { reason: `idp ${where}`, cause, headers });
}

/** openid-client's words for an answer that does not fit. */
const TOKEN_FAULTS: ReadonlySet<string> = new Set(['OAUTH_INVALID_RESPONSE', 'OAUTH_PARSE_ERROR']);
