/**
 * An identity provider as tenants share it: its discovery document (OpenID Connect Discovery 1.0 section 3 and 4.3) and
 * its keys. Fetched when first needed, never at start. Tenants of one issuer share one provider, so 200 tenants at one
 * IdP cost it one fetch.
 */
import { isLoopbackHost } from '../../config/networks.ts';
import { inDirectory, type OidcConfig } from '../../config/oidc.ts';
import type { Clock } from '../../kernel/clock.ts';
import type { Audit } from '../../kernel/events.ts';
import { GatewayFailure } from '../../kernel/failure.ts';
import { type JsonObject, member } from '../../kernel/json.ts';
import { type Outbound, OutboundError } from '../outbound.ts';
import { type KeptDocument, keepDocument } from './document.ts';
import { createKeySource, type KeySource, parseJwks, type SigningKey } from './keys.ts';

const RETRY_AFTER_SECONDS = '10';

/** What the gateway uses of a discovery document; every member has been checked. */
export type ProviderMetadata = {
  readonly issuer: string;
  readonly authorization_endpoint: string;
  readonly jwks_uri: string;
  readonly end_session_endpoint: string | undefined;
  readonly token_endpoint: string | undefined;
  readonly userinfo_endpoint: string | undefined;
  readonly revocation_endpoint: string | undefined;
  readonly pushed_authorization_request_endpoint: string | undefined;
  readonly token_endpoint_auth_methods_supported: readonly string[] | undefined;
  /** RFC 9207 section 3 */
  readonly authorization_response_iss_parameter_supported: boolean;
  readonly prompt_values_supported: readonly string[] | undefined;
  /** for operators; which of them count, the tenant's file says */
  readonly id_token_signing_alg_values_supported: readonly string[] | undefined;
};

export type Provider = {
  /** Throws `idp_unavailable` when it cannot be had. */
  readonly metadata: () => Promise<ProviderMetadata>;
  readonly keys: KeySource;
};

/** Told of every fetch: for operators. */
export type CountFetch = (document: 'discovery' | 'keys', outcome: 'ok' | 'failed') => void;

export type Providers = { readonly of: (config: OidcConfig) => Provider };

/** @param maxProviders the oldest unused one is forgotten past that: tenants come and go, the process stays */
export function createProviders(
  outbound: Outbound,
  clock: Clock,
  audit: Audit,
  count: CountFetch = () => {},
  maxProviders = 20_000,
): Providers {
  const providers = new Map<string, Provider>();
  return {
    of(config) {
      const url = config.discovery_url ?? discoveryUrl(config.issuer);
      const id = JSON.stringify([config.issuer, url, config.allow_insecure]);
      const provider = providers.get(id) ?? createProvider(config, url, outbound, clock, audit, count);
      providers.delete(id); // last in the map is last used
      providers.set(id, provider);
      if (providers.size > maxProviders) providers.delete(providers.keys().next().value ?? '');
      return provider;
    },
  };
}

/** Discovery 1.0 section 4.1: one trailing slash goes, then the well-known path comes. Entra's template is where all directories ask. */
function discoveryUrl(issuer: string): string {
  return `${inDirectory(issuer, 'organizations').replace(/\/$/, '')}/.well-known/openid-configuration`;
}

/** Whoever came by when it was asked for: it is every tenant's of that issuer. */
const NOBODYS = { tenant: undefined, request_id: undefined, client: undefined };

function createProvider(
  config: OidcConfig,
  url: string,
  outbound: Outbound,
  clock: Clock,
  audit: Audit,
  count: CountFetch,
): Provider {
  const onStale = (error: unknown): void =>
    audit('idp.keys_stale', {
      ...NOBODYS,
      issuer: config.issuer,
      reason: error instanceof Error ? error.message : 'unknown',
    });
  async function counted<T>(document: 'discovery' | 'keys', fetch: () => Promise<T>): Promise<T> {
    const fetching = fetch();
    fetching.then(
      () => count(document, 'ok'),
      () => count(document, 'failed'),
    );
    return fetching;
  }
  const discovery: KeptDocument<ProviderMetadata> = keepDocument(
    () => counted('discovery', async () => parseMetadata(await outbound.getJson(url), config)),
    clock,
    onStale,
  );
  const jwks: KeptDocument<readonly SigningKey[]> = keepDocument(
    async () => {
      const { jwks_uri } = await discovery.get();
      return counted('keys', async () => parseJwks(await outbound.getJson(jwks_uri)));
    },
    clock,
    onStale,
  );
  return {
    metadata: () => reach(discovery.get),
    keys: createKeySource({ ...jwks, get: () => reach(jwks.get) }, clock),
  };
}

async function reach<T>(get: () => Promise<T>): Promise<T> {
  try {
    return await get();
  } catch (error) {
    const headers = { 'Retry-After': RETRY_AFTER_SECONDS };
    throw new GatewayFailure('idp_unavailable', {
      reason: error instanceof OutboundError ? `idp ${error.message}` : 'idp_unavailable',
      cause: error,
      headers,
    });
  }
}

/** Throws an `OutboundError` for a document that is nonsense: to us that is the same as none. */
function parseMetadata(document: JsonObject, config: OidcConfig): ProviderMetadata {
  if (member(document, 'issuer') !== config.issuer)
    throw new OutboundError('names another issuer in its discovery document');
  const endpoint = (name: string): string | undefined => {
    const value = member(document, name);
    return typeof value === 'string' && isEndpoint(value, config) ? value : undefined;
  };
  const required = (name: string): string => {
    const value = endpoint(name);
    if (value === undefined) throw new OutboundError(`has no usable ${name} in its discovery document`);
    return value;
  };
  const texts = (name: string): readonly string[] | undefined => {
    const value = member(document, name);
    return Array.isArray(value) ? value.filter((one) => typeof one === 'string') : undefined;
  };
  return {
    issuer: config.issuer,
    authorization_endpoint: required('authorization_endpoint'),
    jwks_uri: required('jwks_uri'),
    end_session_endpoint: endpoint('end_session_endpoint') ?? endpoint('ping_end_session_endpoint'), // older PingFederate
    token_endpoint: endpoint('token_endpoint'),
    userinfo_endpoint: endpoint('userinfo_endpoint'),
    revocation_endpoint: endpoint('revocation_endpoint'),
    pushed_authorization_request_endpoint: endpoint('pushed_authorization_request_endpoint'),
    token_endpoint_auth_methods_supported: texts('token_endpoint_auth_methods_supported'),
    authorization_response_iss_parameter_supported:
      member(document, 'authorization_response_iss_parameter_supported') === true,
    prompt_values_supported: texts('prompt_values_supported'),
    id_token_signing_alg_values_supported: texts('id_token_signing_alg_values_supported'),
  };
}

/** https, or http where the tenant's file allows it; a public IdP may not send us to this machine. */
function isEndpoint(text: string, config: OidcConfig): boolean {
  const url = URL.parse(text);
  if (url === null || url.hash !== '' || url.username !== '') return false;
  const sameKind = isLoopbackHost(url.hostname) === isLoopbackHost(new URL(config.issuer).hostname);
  return sameKind && (url.protocol === 'https:' || (url.protocol === 'http:' && config.allow_insecure));
}
