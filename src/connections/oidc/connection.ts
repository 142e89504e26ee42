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
import type { Providers } from './provider.ts';

export type BeginOptions = {
  readonly redirectUri: string;
  readonly state: string;
  readonly nonce: string;
  /** of a third-party-initiated login only (Core section 4) */
  readonly loginHint: string | undefined;
  /** the person asked to be somebody else */
  readonly switchAccount: boolean;
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
};

export function createOidcConnection(providers: Providers, clock: Clock): OidcConnection {
  return {
    async begin(config, options) {
      const metadata = await providers.of(config).metadata();
      const { issuer, authorization_endpoint } = metadata;
      const configuration = new client.Configuration({ issuer, authorization_endpoint }, config.client_id);
      client.useIdTokenResponseType(configuration);
      // the endpoint was judged when the discovery document was read (provider.ts)
      if (config.allow_insecure) client.allowInsecureRequests(configuration);
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
      if (options.switchAccount) parameters.prompt = switchPrompt(metadata.prompt_values_supported);
      return client.buildAuthorizationUrl(configuration, parameters).href;
    },

    async finish(config, answer, attempt) {
      const token = readIdToken(answer, config);
      if (!token.ok) return token;
      const expected = { config, nonce: attempt.nonce, attemptStartedAtMs: attempt.startedAtMs };
      return verifyIdToken(token.value, expected, providers.of(config).keys, clock.nowMs());
    },
  };
}

/** Core 3.1.2.1: `select_account` where it is known to work; every provider knows `login`. */
function switchPrompt(supported: readonly string[] | undefined): string {
  return supported?.includes('select_account') ? 'select_account' : 'login';
}
