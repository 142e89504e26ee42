/**
 * The authorization response: the parameters that came to the redirect URI, by whatever mode. Structure only (OAuth 2.0
 * Multiple Response Types, Form Post Response Mode, RFC 9207); the token inside is `id-token.ts`'s matter.
 */
import type { OidcConfig } from '../../config/oidc.ts';
import { ok, type Result, refuse } from '../../kernel/result.ts';

export type ResponseMode = OidcConfig['response_mode'];

/** The parameters by name, each there once. */
export type Answer = {
  readonly mode: ResponseMode;
  /** the browser said that another site sent it here */
  readonly crossSite: boolean;
  readonly parameters: ReadonlyMap<string, string>;
};

/** Real providers send fewer than ten. */
const PARAMETERS_MAX = 64;
/** The relay page (sign-in/relay-page.ts) says by this where it found what it posts. */
export const RELAY_MARK = 'response_mode';
/** Names that mean something to a sign-in; a POST must not split them between body and URL. */
export const ANSWER_NAMES = ['id_token', 'state', 'error', 'error_description', 'code', 'access_token', 'iss'] as const;

type Sent = {
  readonly method: string;
  /** what came with the request's own mode: the body of a POST, the query of a GET */
  readonly sent: URLSearchParams;
  /** what a POST had in its URL too */
  readonly beside: URLSearchParams;
  readonly crossSite: boolean;
};

export function parseAnswer({ method, sent, beside, crossSite }: Sent): Result<Answer> {
  const parameters = new Map<string, string>();
  let count = 0;
  for (const [name, value] of sent) {
    // which of two would count is anybody's guess, and libraries guess differently
    if (parameters.has(name)) return refuse('parameter_doubled', { name: name.slice(0, 32) });
    if (++count > PARAMETERS_MAX) return refuse('parameters_too_many');
    parameters.set(name, value);
  }
  if (ANSWER_NAMES.some((name) => beside.has(name)))
    return refuse('parameters_contradictory', { where: 'url and body' });
  const relayed = parameters.get(RELAY_MARK) === 'fragment';
  return ok({ mode: method === 'GET' ? 'query' : relayed ? 'fragment' : 'form_post', crossSite, parameters });
}

/** What each flow asks for: it alone may come (OAuth 2.0 Multiple Response Types 5). */
const ASKED = { implicit: 'id_token', code: 'code' } as const;
const GRANTS = ['id_token', 'code', 'access_token'] as const;

/**
 * The ID token or the code of an answer, or why there is none to look at. The attempt has been taken.
 * @param issExpected whether the IdP says that it always names itself (RFC 9207 section 3)
 */
export function readGrant(answer: Answer, config: OidcConfig, issExpected: boolean): Result<string> {
  const { parameters } = answer;
  const asked = ASKED[config.flow];
  const [error, sent, iss] = [parameters.get('error'), parameters.get(asked), parameters.get('iss')];
  const token = sent === '' && config.flow === 'code' ? undefined : sent; // an empty ID token is one that does not hold
  // RFC 9207 section 2.4: simple string comparison, and error answers are not exempt
  if (iss !== undefined && !config.issuers.includes(iss))
    return refuse('issuer_parameter_mismatch', { expected: config.issuer });
  if (iss === undefined && issExpected) return refuse('issuer_parameter_missing', { expected: config.issuer });
  if (error !== undefined) return token === undefined ? refuseIdpError(parameters) : refuse('parameters_contradictory');
  if (token === undefined) return refuse('parameters_missing', { name: asked });
  // never asked for: an answer to somebody else's request
  for (const name of GRANTS)
    if (name !== asked && parameters.has(name)) return refuse('parameter_unexpected', { name });
  if (!isModeOf(answer, config.response_mode))
    return refuse('mode_mismatch', { expected: config.response_mode, received: answer.mode });
  return ok(token);
}

/** A relayed fragment is a POST from our own page: one from elsewhere is a form_post, whatever it says of itself. */
function isModeOf({ mode, crossSite }: Answer, expected: ResponseMode): boolean {
  if (expected === 'fragment') return mode !== 'query' && !crossSite;
  return mode === expected;
}

/** An error of the IdP, for the log: its code, and its description cut short. */
export function refuseIdpError(parameters: ReadonlyMap<string, string>): Result<never> {
  return refuse('idp_error', {
    idp_error: (parameters.get('error') ?? '').slice(0, 64),
    description: (parameters.get('error_description') ?? '').slice(0, 256),
  });
}
