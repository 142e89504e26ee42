/**
 * The code flow's second half (Core 3.1.3): the code is redeemed once, by the attempt that asked for it, with PKCE; what the ID token does
 * not say, UserInfo may, of the same `sub`. The access token is used here and nowhere else, and kept nowhere.
 */
import * as client from 'openid-client';
import type { OidcConfig } from '../../config/tenant-file.ts';
import { GatewayFailure } from '../../kernel/failure.ts';
import { type JsonObject, memberAt } from '../../kernel/json.ts';
import { ok, type Result, refuse } from '../../kernel/result.ts';
import type { Answer } from './answer.ts';

const RETRY_AFTER_SECONDS = '10';

export type Tokens = { readonly idToken: string; readonly accessToken: string };

type Proof = { readonly redirectUri: string; readonly codeVerifier: string; readonly nonce: string };

/** Throws `idp_unavailable`. */
export async function redeemCode(
  configuration: client.Configuration,
  { parameters }: Answer,
  code: string,
  { redirectUri, codeVerifier, nonce }: Proof,
): Promise<Result<Tokens>> {
  const url = new URL(redirectUri);
  url.searchParams.set('code', code);
  const iss = parameters.get('iss');
  if (iss !== undefined) url.searchParams.set('iss', iss);
  return asking(async () => {
    const answered = await client.authorizationCodeGrant(configuration, url, {
      pkceCodeVerifier: codeVerifier,
      expectedNonce: nonce, // looked at again, with all the rest, in id-token.ts
      expectedState: client.skipStateCheck, // the attempt has been opened with it
    });
    if (answered.id_token === undefined) return refuse('token_response_malformed');
    return ok({ idToken: answered.id_token, accessToken: answered.access_token });
  });
}

/** Core 5.3.2: of the same `sub`, or not at all. Throws `idp_unavailable`. */
export function askUserInfo(
  configuration: client.Configuration,
  accessToken: string,
  sub: string,
): Promise<Result<JsonObject>> {
  return asking(async () => {
    const answered = await client.fetchUserInfo(configuration, accessToken, client.skipSubjectCheck);
    return answered.sub === sub ? ok({ ...answered }) : refuse('userinfo_subject_mismatch');
  });
}

/** Whether something that a person needs is not in the ID token. */
export function isIncomplete(claims: JsonObject, config: OidcConfig): boolean {
  const isThere = (path: readonly string[]): boolean => (memberAt(claims, path) ?? undefined) !== undefined;
  return (
    !isThere(config.claims.roles) ||
    !isThere(config.claims.email) ||
    !(isThere(['name']) || isThere(['preferred_username']))
  );
}

/** An answer that says no is a refusal; one that cannot be had or understood is an outage; a token that does not hold is neither. */
async function asking<T>(ask: () => Promise<Result<T>>): Promise<Result<T>> {
  try {
    return await ask();
  } catch (error) {
    if (error instanceof client.ResponseBodyError)
      return refuse('idp_error', { idp_error: error.error.slice(0, 64), status: error.status });
    if (error instanceof client.WWWAuthenticateChallengeError)
      return refuse('idp_error', { idp_error: 'unauthorized', status: error.status });
    if (error instanceof client.ClientError && TOKEN_FAULTS.has(error.code ?? ''))
      return refuse('token_response_malformed', { fault: error.code ?? '' });
    throw unavailable('idp token endpoint', error);
  }
}

/** @param error of openid-client, whose causes may hold tokens: only its message is kept */
export function unavailable(reason: string, error: unknown): GatewayFailure {
  const cause = new Error(error instanceof Error ? error.message : String(error));
  return new GatewayFailure('idp_unavailable', { reason, cause, headers: { 'Retry-After': RETRY_AFTER_SECONDS } });
}

/** openid-client's words for an ID token that does not fit. */
const TOKEN_FAULTS: ReadonlySet<string> = new Set([
  'OAUTH_INVALID_RESPONSE',
  'OAUTH_JWT_CLAIM_COMPARISON_FAILED',
  'OAUTH_JWT_TIMESTAMP_CHECK_FAILED',
  'OAUTH_UNSUPPORTED_OPERATION',
  'OAUTH_PARSE_ERROR',
]);
