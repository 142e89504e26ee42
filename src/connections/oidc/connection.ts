/**
 * A tenant's OpenID Connect connection: begins a sign-in (the URL at the IdP) and finishes it (the answer -> verified
 * claims). Implicit flow: Core section 3.2.
 */
import * as client from 'openid-client';
import type { OidcConfig } from '../../config/tenant-file.ts';
import type { Clock } from '../../kernel/clock.ts';
import type { Result } from '../../kernel/result.ts';
import type { VerifiedClaims } from '../verified-claims.ts';
import { type Answer, readIdToken } from './answer.ts';
import { verifyIdToken } from './id-token.ts';
import { type LogoutOrder, verifyLogoutToken } from './logout-token.ts';
import type { ProviderMetadata, Providers } from './provider.ts';

export type BeginOptions = {
  readonly redirectUri: string;
  readonly state: string;
  readonly nonce: string;
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

export type OidcConnection = {
  /** The IdP's URL for this attempt. Throws `idp_unavailable`. */
  readonly begin: (config: OidcConfig, options: BeginOptions) => Promise<string>;
  /** Throws `idp_unavailable` where keys are needed and cannot be had. */
  readonly finish: (
    config: OidcConfig,
    answer: Answer,
    attempt: { readonly nonce: string; readonly startedAtMs: number },
  ) => Promise<Result<VerifiedClaims>>;
  /** The IdP's order to end sessions. Throws `idp_unavailable` as above. */
  readonly verifyLogout: (config: OidcConfig, logoutToken: string) => Promise<Result<LogoutOrder>>;
  /** Where the IdP ends its own session; `undefined`: it has no such place, or cannot be reached. */
  readonly endSessionUrl: (config: OidcConfig, options: EndSessionOptions) => Promise<string | undefined>;
};

export function createOidcConnection(providers: Providers, clock: Clock): OidcConnection {
  return {
    async begin(config, options) {
      const metadata = await providers.of(config).metadata();
      const configuration = configure(config, metadata);
      client.useIdTokenResponseType(configuration);
      const parameters: Record<string, string> = {
        redirect_uri: options.redirectUri,
        response_mode: config.response_mode,
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
      return client.buildAuthorizationUrl(configuration, parameters).href;
    },

    async finish(config, answer, attempt) {
      const token = readIdToken(answer, config);
      if (!token.ok) return token;
      const expected = { config, nonce: attempt.nonce, attemptStartedAtMs: attempt.startedAtMs };
      return verifyIdToken(token.value, expected, providers.of(config).keys, clock.nowMs());
    },

    verifyLogout: (config, logoutToken) =>
      verifyLogoutToken(logoutToken, config, providers.of(config).keys, clock.nowMs()),

    async endSessionUrl(config, options) {
      const metadata = await providers
        .of(config)
        .metadata()
        .catch(() => undefined);
      if (metadata?.end_session_endpoint === undefined) return undefined;
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

function configure(config: OidcConfig, metadata: ProviderMetadata): client.Configuration {
  const { issuer, authorization_endpoint, end_session_endpoint } = metadata;
  const configuration = new client.Configuration(
    { issuer, authorization_endpoint, ...(end_session_endpoint === undefined ? {} : { end_session_endpoint }) },
    config.client_id,
  );
  // the endpoints were judged when the discovery document was read (provider.ts)
  if (config.allow_insecure) client.allowInsecureRequests(configuration);
  return configuration;
}

/** Core 3.1.2.1: `select_account` where it is known to work; every provider knows `login`. */
function switchPrompt(supported: readonly string[] | undefined): string {
  return supported?.includes('select_account') ? 'select_account' : 'login';
}
