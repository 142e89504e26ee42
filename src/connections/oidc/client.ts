/**
 * This gateway as a client of an IdP, in openid-client's words: what is known of both, how it proves itself, and how it gets there. The
 * library builds requests and reads answers; which ID token counts is id-token.ts's to say.
 */
import { importJWK } from 'jose';
import * as client from 'openid-client';
import { ALGORITHM_OF_KEY, type OidcConfig } from '../../config/oidc.ts';
import type { Clock } from '../../kernel/clock.ts';
import { parseJsonObject } from '../../kernel/json.ts';
import { type Outbound, OutboundError } from '../outbound.ts';
import type { ProviderMetadata } from './provider.ts';

const TIMEOUT_SECONDS = 5;

/** For URLs only: nothing is asked. */
export function configure(config: OidcConfig, metadata: ProviderMetadata): client.Configuration {
  const { issuer, authorization_endpoint, end_session_endpoint } = metadata;
  const known = { issuer, authorization_endpoint, ...(end_session_endpoint && { end_session_endpoint }) };
  return loosen(config, new client.Configuration(known, config.client_id));
}

/** For asking: the token endpoint, UserInfo, pushed requests. Made for one exchange. */
export type Asking = {
  readonly configuration: client.Configuration;
  /** the ID token of the token endpoint's answer, which the library does not get to see: it is judged in id-token.ts, for both flows alike */
  readonly idToken: () => string | undefined;
};

export async function configureToAsk(
  config: OidcConfig,
  metadata: ProviderMetadata,
  outbound: Pick<Outbound, 'fetch'>,
  clock: Clock,
): Promise<Asking> {
  const { issuer, authorization_endpoint, jwks_uri, token_endpoint, userinfo_endpoint } = metadata;
  const { pushed_authorization_request_endpoint, revocation_endpoint } = metadata;
  const configuration = new client.Configuration(
    {
      issuer,
      authorization_endpoint,
      jwks_uri,
      ...(token_endpoint && { token_endpoint }),
      ...(userinfo_endpoint && { userinfo_endpoint }),
      ...(revocation_endpoint && { revocation_endpoint }),
      ...(pushed_authorization_request_endpoint && { pushed_authorization_request_endpoint }),
    },
    config.client_id,
    {
      [client.clockTolerance]: config.clock_tolerance,
      // one clock for all: the one that the tests move too
      [client.clockSkew]: Math.round((clock.nowMs() - Date.now()) / 1000),
    },
    await authenticate(config, metadata),
  );
  configuration.timeout = TIMEOUT_SECONDS;
  const tokenUrl = token_endpoint && new URL(token_endpoint).href;
  let idToken: string | undefined;
  configuration[client.customFetch] = async (url, { method, headers, body }) => {
    const response = await outbound.fetch(url, { method, headers: { ...headers }, body });
    if (url !== tokenUrl || response.status !== 200) return response;
    const answered = parseJsonObject(Buffer.from(await response.text()));
    if (answered === undefined) throw new OutboundError('answered JSON that is no object, or one with a name twice');
    const { id_token, ...rest } = answered;
    if (typeof id_token === 'string') idToken = id_token;
    return new Response(JSON.stringify(rest), response);
  };
  return { configuration: loosen(config, configuration), idToken: () => idToken };
}

/**
 * Core section 9. A secret by Basic, which every IdP must know, unless it says that it knows only the other; names and secret are
 * form-encoded (RFC 6749 section 2.3.1), by the library. Without either the client is a public one, and PKCE is its proof.
 */
async function authenticate(config: OidcConfig, metadata: ProviderMetadata): Promise<client.ClientAuth> {
  if (config.client_key !== undefined) {
    const jwk = parseJsonObject(Buffer.from(config.client_key.reveal())) ?? {}; // it was looked at when the file was read
    const algorithm = typeof jwk.alg === 'string' ? jwk.alg : ALGORITHM_OF_KEY[String(jwk.crv ?? jwk.kty)];
    const key = await importJWK({ ...jwk, kty: String(jwk.kty) }, algorithm);
    if (!(key instanceof CryptoKey)) throw new Error('a client key is asymmetric');
    return client.PrivateKeyJwt(typeof jwk.kid === 'string' ? { key, kid: jwk.kid } : key);
  }
  if (config.client_secret === undefined) return client.None();
  const methods = metadata.token_endpoint_auth_methods_supported ?? ['client_secret_basic'];
  const secret = config.client_secret.reveal();
  return methods.includes('client_secret_basic') || !methods.includes('client_secret_post')
    ? client.ClientSecretBasic(secret)
    : client.ClientSecretPost(secret);
}

/** The endpoints were judged when the discovery document was read (provider.ts). */
function loosen(config: OidcConfig, configuration: client.Configuration): client.Configuration {
  if (config.allow_insecure) client.allowInsecureRequests(configuration);
  return configuration;
}
