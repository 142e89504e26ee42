/**
 * A tenant's OpenID Connect connection: begins a sign-in (the URL at the IdP) and finishes it (the answer -> verified
 * claims). Implicit flow: Core section 3.2. Code flow: section 3.1, always with PKCE (RFC 7636), pushed where the IdP offers it (RFC 9126).
 */
import * as client from 'openid-client';
import type { OidcConfig } from '../../config/oidc.ts';
import type { Clock } from '../../kernel/clock.ts';
import { GatewayFailure } from '../../kernel/failure.ts';
import { type JsonObject, member } from '../../kernel/json.ts';
import { failureOf } from '../../kernel/refusal.ts';
import { ok, type Result, refuse } from '../../kernel/result.ts';
import type { Outbound } from '../outbound.ts';
import { type RefreshGrant, type VerifiedClaims, verifiedClaims, withClaims, withRefresh } from '../verified-claims.ts';
import { type Answer, readGrant } from './answer.ts';
import { type Asking, configure, configureToAsk } from './client.ts';
import {
  askUserInfo,
  filledFrom,
  isIncomplete,
  orRefusal,
  redeemCode,
  redeemRefreshToken,
  revokeToken,
} from './code.ts';
import { verifyIdToken } from './id-token.ts';
import { type LogoutOrder, verifyLogoutToken } from './logout-token.ts';
import type { ProviderMetadata, Providers } from './provider.ts';

export type BeginOptions = {
  readonly redirectUri: string;
  readonly state: string;
  readonly nonce: string;
  readonly codeVerifier: string;
  /** of a third-party-initiated login only (Core section 4) */
  readonly loginHint: string | undefined;
  /** silently, or as somebody else: the two prompts that we ever ask for (Core 3.1.2.1) */
  readonly prompt: 'none' | 'switch_account' | undefined;
  readonly idTokenHint: string | undefined;
};

export type EndSessionOptions = {
  readonly idTokenHint: string | undefined;
  readonly postLogoutRedirectUri: string;
  readonly state: string;
};

/** What the attempt knows that the answer must fit. */
export type AttemptProof = {
  readonly nonce: string;
  readonly codeVerifier: string;
  readonly redirectUri: string;
  readonly startedAtMs: number;
};

/** Whom a session is of: unique together (Core 5.7). */
export type Subject = { readonly issuer: string; readonly sub: string };

export type OidcConnection = {
  /** The IdP's URL for this attempt. Throws `idp_unavailable`. */
  readonly begin: (config: OidcConfig, options: BeginOptions) => Promise<string>;
  /** Throws `idp_unavailable` where keys are needed and cannot be had. */
  readonly finish: (config: OidcConfig, answer: Answer, attempt: AttemptProof) => Promise<Result<VerifiedClaims>>;
  /** What the IdP says of this person now, without the browser (Core 12). Throws `idp_unavailable`. */
  readonly refresh: (
    config: OidcConfig,
    grant: RefreshGrant,
    person: Subject,
    /** told of the token for the next time before anything else is looked at: the old one may be worth nothing any more */
    keep: (fresh: RefreshGrant) => Promise<void>,
  ) => Promise<Result<VerifiedClaims>>;
  /** Makes a refresh token worthless, where the IdP can; whether it did is nobody's matter. */
  readonly revoke: (config: OidcConfig, token: string) => Promise<void>;
  /** The IdP's order to end sessions. Throws `idp_unavailable` as above. */
  readonly verifyLogout: (config: OidcConfig, logoutToken: string) => Promise<Result<LogoutOrder>>;
  /** Where the IdP ends its own session; `undefined`: it has no such place, or cannot be reached. */
  readonly endSessionUrl: (config: OidcConfig, options: EndSessionOptions) => Promise<string | undefined>;
};

export function createOidcConnection(
  providers: Providers,
  outbound: Pick<Outbound, 'fetch'>,
  clock: Clock,
): OidcConnection {
  async function finishCode(
    config: OidcConfig,
    answer: Answer,
    attempt: AttemptProof,
  ): Promise<Result<VerifiedClaims>> {
    const provider = providers.of(config);
    const metadata = await provider.metadata();
    const code = readGrant(answer, config, metadata.authorization_response_iss_parameter_supported);
    if (!code.ok) return code;
    const asking = await configureToAsk(config, metadata, outbound, clock);
    const tokens = await redeemCode(asking, code.value, attempt);
    if (!tokens.ok) return tokens;
    const verified = await verify(config, tokens.value.idToken, answer, attempt);
    if (!verified.ok) return verified;
    const { accessToken, refreshToken } = tokens.value;
    const complete = await complement(asking, config, metadata, verified.value, accessToken);
    if (!complete.ok || refreshToken === undefined) return complete;
    return ok(withRefresh(complete.value, { token: refreshToken, nonce: attempt.nonce }));
  }

  /** With what UserInfo has to add. */
  async function complement(
    asking: Asking,
    config: OidcConfig,
    metadata: ProviderMetadata,
    verified: VerifiedClaims,
    accessToken: string,
  ): Promise<Result<VerifiedClaims>> {
    const { claims } = verified;
    if (metadata.userinfo_endpoint === undefined || !isIncomplete(claims, config)) return ok(verified);
    const more = await askUserInfo(asking, accessToken, String(member(claims, 'sub')));
    return more.ok ? ok(withClaims(verified, filledFrom(more.value, claims, config))) : more;
  }

  const refresh: OidcConnection['refresh'] = async (config, grant, person, keep) => {
    const metadata = await providers.of(config).metadata();
    const asking = await configureToAsk(config, metadata, outbound, clock);
    const tokens = await redeemRefreshToken(asking, grant.token);
    if (!tokens.ok) return tokens;
    const { idToken, accessToken, refreshToken = grant.token } = tokens.value;
    await keep({ token: refreshToken, nonce: grant.nonce });
    if (idToken === undefined) {
      const said = metadata.userinfo_endpoint && (await askUserInfo(asking, accessToken, person.sub));
      if (!said) return refuse('token_response_malformed');
      return said.ok ? ok(fromUserInfo(said.value, person.issuer)) : said;
    }
    const expected = { config, nonce: grant.nonce, attemptStartedAtMs: 0, isRefreshed: true };
    const verified = await verifyIdToken(idToken, expected, providers.of(config).keys, clock.nowMs());
    if (!verified.ok) return verified;
    return complement(asking, config, metadata, verified.value, accessToken);
  };

  /** UserInfo came by TLS from the IdP that issued the access token, for this `sub`: as good as a token that says the same now. */
  function fromUserInfo(claims: JsonObject, issuer: string): VerifiedClaims {
    const issuedAtSeconds = Math.floor(clock.nowMs() / 1000);
    return verifiedClaims({ connection: 'oidc', issuer, claims, idToken: undefined, issuedAtSeconds });
  }

  /** Throws `idp_unavailable`. */
  async function beginCode(
    config: OidcConfig,
    metadata: ProviderMetadata,
    parameters: Record<string, string>,
    codeVerifier: string,
  ): Promise<string> {
    if (metadata.token_endpoint === undefined)
      throw new GatewayFailure('idp_unavailable', { reason: 'idp has no usable token_endpoint' });
    parameters.code_challenge = await client.calculatePKCECodeChallenge(codeVerifier);
    parameters.code_challenge_method = 'S256';
    if (metadata.pushed_authorization_request_endpoint === undefined)
      return client.buildAuthorizationUrl(configure(config, metadata), parameters).href;
    const { configuration } = await configureToAsk(config, metadata, outbound, clock);
    const pushed = await orRefusal('pushed request endpoint', async () =>
      ok(await client.buildAuthorizationUrlWithPAR(configuration, parameters)),
    );
    if (!pushed.ok) throw failureOf(pushed.refusal);
    return pushed.value.href;
  }

  async function verify(config: OidcConfig, token: string, answer: Answer, { nonce, startedAtMs }: AttemptProof) {
    const expected = { config, nonce, attemptStartedAtMs: startedAtMs };
    const verified = await verifyIdToken(token, expected, providers.of(config).keys, clock.nowMs());
    const named = answer.parameters.get('iss');
    // RFC 9207 section 2.4: the answer and its token come from one issuer
    const isOther = verified.ok && named !== undefined && named !== verified.value.issuer;
    return isOther ? refuse('issuer_parameter_mismatch', { expected: verified.value.issuer }) : verified;
  }

  return {
    async begin(config, options) {
      const metadata = await providers.of(config).metadata();
      const parameters: Record<string, string> = {
        redirect_uri: options.redirectUri,
        // what is the flow's default is not said (Multiple Response Types 2.1): some IdPs know no other
        ...(config.flow === 'code' && config.response_mode === 'query' ? {} : { response_mode: config.response_mode }),
        scope: config.scope,
        state: options.state,
        nonce: options.nonce,
      };
      if (config.max_age !== null) parameters.max_age = String(config.max_age);
      if (config.acr_values !== null) parameters.acr_values = config.acr_values;
      if (options.loginHint !== undefined) parameters.login_hint = options.loginHint;
      if (options.idTokenHint !== undefined) parameters.id_token_hint = options.idTokenHint;
      if (options.prompt === 'none') parameters.prompt = 'none';
      if (options.prompt === 'switch_account') parameters.prompt = switchPrompt(metadata.prompt_values_supported);
      if (config.flow === 'code') return beginCode(config, metadata, parameters, options.codeVerifier);
      const configuration = configure(config, metadata);
      client.useIdTokenResponseType(configuration);
      return client.buildAuthorizationUrl(configuration, parameters).href;
    },

    async finish(config, answer, attempt) {
      if (config.flow === 'code') return finishCode(config, answer, attempt);
      const token = readGrant(answer, config, false); // Core 3.2 says who sent it: the signed token does
      return token.ok ? verify(config, token.value, answer, attempt) : token;
    },

    refresh,

    async revoke(config, token) {
      const metadata = await providers.of(config).metadata();
      if (metadata.revocation_endpoint === undefined) return;
      await revokeToken(await configureToAsk(config, metadata, outbound, clock), token);
    },

    verifyLogout: (config, logoutToken) =>
      verifyLogoutToken(logoutToken, config, providers.of(config).keys, clock.nowMs()),

    async endSessionUrl(config, options) {
      const metadata = await providers
        .of(config)
        .metadata()
        .catch(() => undefined);
      if (metadata === undefined) return undefined;
      if (config.end_session === 'cognito') return cognitoLogout(config, metadata, options);
      if (metadata.end_session_endpoint === undefined) return undefined;
      const parameters: Record<string, string> = {
        client_id: config.client_id,
        post_logout_redirect_uri: options.postLogoutRedirectUri,
        state: options.state,
      };
      if (options.idTokenHint !== undefined) parameters.id_token_hint = options.idTokenHint;
      return client.buildEndSessionUrl(configure(config, metadata), parameters).href;
    },
  };
}

/** Cognito's logout endpoint: beside its authorization endpoint, with names of its own, and no hint. */
function cognitoLogout({ client_id }: OidcConfig, metadata: ProviderMetadata, options: EndSessionOptions): string {
  const url = new URL(metadata.end_session_endpoint ?? new URL('/logout', metadata.authorization_endpoint));
  url.searchParams.set('client_id', client_id);
  url.searchParams.set('logout_uri', options.postLogoutRedirectUri);
  return url.href;
}

/** Core 3.1.2.1: `select_account` where it is known to work; every provider knows `login`. */
function switchPrompt(supported: readonly string[] | undefined): string {
  return supported?.includes('select_account') ? 'select_account' : 'login';
}
