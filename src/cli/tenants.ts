/**
 * `gatehouse tenants`: the state of each tenant: its file, whether its provider can be reached and has keys, and what has to be registered
 * there. It asks the providers as the gateway would; it changes nothing.
 */
import { join } from 'node:path';
import type { OidcConfig } from '../config/oidc.ts';
import { formatProblem } from '../config/problem.ts';
import type { Environment, Settings } from '../config/settings.ts';
import { createTenantFolder, type TenantChange } from '../config/tenant-folder.ts';
import { createProviders, type Providers } from '../connections/oidc/provider.ts';
import { createOutbound } from '../connections/outbound.ts';
import { systemClock } from '../kernel/clock.ts';
import { GatewayFailure } from '../kernel/failure.ts';
import { keys } from '../storage/keys.ts';
import { createRedisStore } from '../storage/redis.ts';
import type { Store } from '../storage/store.ts';
import { createTenant, sitesOf, type Tenant, urls } from '../tenants/tenant.ts';
import { EXIT, type Print, reach, readGateway, readSettings } from './desk.ts';

type Options = { readonly offline?: boolean; readonly json?: boolean };

type Row = {
  readonly tenant: string;
  readonly problems?: readonly string[];
  readonly enabled?: boolean;
  readonly tenant_urls?: readonly string[];
  readonly redirect_uris?: readonly string[];
  readonly logout_uris?: readonly string[];
  readonly links?: readonly string[];
  /** `not asked`, `ok`, or what is wrong */
  readonly provider?: string;
  readonly provider_keys?: number;
  /** RFC 3339, or null; absent where there is no Redis to ask */
  readonly last_sign_in?: string | null;
};

/** @returns the exit code: 1 when a file is wrong or a provider cannot be used */
export async function listTenants(options: Options, environment: Environment, print: Print): Promise<number> {
  const settings = readSettings(environment, print);
  if (typeof settings === 'number') return settings;
  const gateway = await readGateway(settings, environment, print);
  if (typeof gateway === 'number') return gateway;
  const outbound = createOutbound(gateway.outbound.allow);
  const providers = createProviders(outbound, systemClock, () => {});
  const store = settings.redis && createRedisStore(settings.redis, () => {});
  const lastSignIn = await readerOf(store);
  try {
    const rows = await rowsOf(settings, environment, options.offline === true ? undefined : providers, lastSignIn);
    print(options.json ? `${JSON.stringify(rows, null, 2)}\n` : rows.map(inWords).join('\n'));
    return rows.every(isWell) ? EXIT.done : EXIT.failed;
  } finally {
    await Promise.all([outbound.close(), store?.close()]);
  }
}

type LastSignIn = (tenant: Tenant) => Promise<Pick<Row, 'last_sign_in'>>;

/** Where there is no Redis, or none that answers, nothing is said. */
async function readerOf(store: Store | undefined): Promise<LastSignIn> {
  const isThere = (one: Store): Promise<boolean> =>
    reach(one).then(
      () => true,
      () => false,
    );
  if (store === undefined || !(await isThere(store))) return async () => ({});
  return async (tenant) => {
    const stored = await store.get(keys.lastSignIn(tenant.id)).catch(() => undefined);
    return { last_sign_in: stored === undefined ? null : new Date(Number(stored)).toISOString() };
  };
}

async function rowsOf(
  settings: Settings,
  environment: Environment,
  providers: Providers | undefined,
  lastSignIn: LastSignIn,
): Promise<Row[]> {
  const { configDir, production, publicUrl } = settings;
  const folder = createTenantFolder({ configDir, environment, production, publicHost: publicUrl.hostname });
  const changes = await folder.scan().catch((error: unknown): TenantChange[] => {
    const message = `cannot be read (${error instanceof Error && 'code' in error ? error.code : 'unknown error'})`;
    const problem = { file: join(configDir, 'tenants'), line: 1, key: '', message };
    return [{ kind: 'refused', id: '(all)', problems: [problem], kept: false }];
  });
  const wrong = changes.flatMap((change): Row[] =>
    change.kind === 'refused' ? [{ tenant: change.id, problems: change.problems.map(formatProblem) }] : [],
  );
  const good = await Promise.all(
    folder.files().map((file) => rowOf(createTenant(file), file.enabled, settings, providers, lastSignIn)),
  );
  return [...good, ...wrong];
}

async function rowOf(
  tenant: Tenant,
  enabled: boolean,
  { publicUrl }: Settings,
  providers: Providers | undefined,
  lastSignIn: LastSignIn,
): Promise<Row> {
  const sites = sitesOf(tenant, publicUrl);
  const { oidc } = tenant;
  return {
    tenant: tenant.id,
    enabled,
    tenant_urls: sites.map(urls.home),
    ...(oidc === undefined
      ? {}
      : {
          redirect_uris: sites.map((site) => urls.callback(tenant, site)),
          logout_uris: sites.map((site) => urls.signOut(tenant, site)),
          ...(providers === undefined ? { provider: 'not asked' } : await lookAt(providers.of(oidc), oidc)),
        }),
    links: tenant.links.map(({ dialect }) => dialect),
    ...(await lastSignIn(tenant)),
  };
}

async function lookAt(
  provider: ReturnType<Providers['of']>,
  { flow, token_algs }: OidcConfig,
): Promise<Pick<Row, 'provider' | 'provider_keys'>> {
  try {
    const { token_endpoint, id_token_signing_alg_values_supported: signs } = await provider.metadata();
    if (flow === 'code' && token_endpoint === undefined) return { provider: 'idp has no usable token_endpoint' };
    const accepted: readonly string[] = token_algs;
    if (signs !== undefined && !signs.some((algorithm) => accepted.includes(algorithm)))
      return { provider: `signs with ${signs.join(', ')}, and token_algs accepts ${accepted.join(', ')}` };
    return { provider: 'ok', provider_keys: await provider.keys.count() };
  } catch (error) {
    if (!(error instanceof GatewayFailure)) throw error;
    return { provider: error.options.reason ?? error.code };
  }
}

function isWell({ problems, provider, provider_keys: keys }: Row): boolean {
  return (
    problems === undefined && (provider === undefined || provider === 'not asked' || (provider === 'ok' && keys !== 0))
  );
}

function inWords({ tenant, problems, ...row }: Row): string {
  if (problems !== undefined)
    return `${tenant}: its file is wrong\n${problems.map((problem) => `  ${problem}\n`).join('')}`;
  const state = row.enabled === false ? 'disabled' : 'enabled';
  const lines = [
    ...(row.tenant_urls ?? []).map((url) => `tenant URL    ${url}`),
    ...(row.redirect_uris ?? []).map((url) => `redirect URI  ${url}`),
    ...(row.logout_uris ?? []).map((url) => `logout URI    ${url}`),
    ...(row.links?.length ? [`links         ${row.links.join(', ')}`] : []),
    ...(row.last_sign_in === undefined ? [] : [`last sign-in  ${row.last_sign_in ?? 'never'}`]),
    ...(row.provider === undefined
      ? []
      : [`provider      ${row.provider}${row.provider_keys === undefined ? '' : `, ${row.provider_keys} keys`}`]),
  ];
  return `${tenant}: ${state}\n${lines.map((line) => `  ${line}\n`).join('')}`;
}
