/**
 * Builds every part, wires them, listens. The only place that knows them all. What tests replace (clock, environment, log)
 * comes in as arguments.
 */
import cluster from 'node:cluster';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { DestinationStream } from 'pino';
import { createApp, createOpsApp } from './app.ts';
import { readGatewayFile } from './config/gateway-file.ts';
import { formatProblem, type Problem } from './config/problem.ts';
import type { Environment, Settings } from './config/settings.ts';
import { createTenantFolder, type TenantChange, type TenantFolder } from './config/tenant-folder.ts';
import { watchFolder } from './config/watch.ts';
import { createPeople } from './connections/links/people.ts';
import { createOidcConnection } from './connections/oidc/connection.ts';
import { createProviders } from './connections/oidc/provider.ts';
import { createOutbound } from './connections/outbound.ts';
import { createRequests } from './edge/request.ts';
import { createAssertions } from './identity/assertion.ts';
import { type Clock, systemClock } from './kernel/clock.ts';
import type { Audit } from './kernel/events.ts';
import { createSealer } from './kernel/seal.ts';
import { createAuditStream } from './ops/audit-stream.ts';
import { createHealth } from './ops/health.ts';
import { openListener } from './ops/listener.ts';
import { createAudit, createLog, type Logger } from './ops/log.ts';
import { createMetrics } from './ops/metrics.ts';
import { createMemoryStore } from './storage/memory.ts';
import { createRedisStore } from './storage/redis.ts';
import type { Store } from './storage/store.ts';
import { createRegistry, type Registry } from './tenants/registry.ts';
import { sitesOf, urls } from './tenants/tenant.ts';

/** What takes longer than this after SIGTERM is cut off; orchestrators kill after 30 s. */
const DRAIN_LIMIT_MS = 25_000;

/** What is timed: each is one command. Listening and scanning are not, and limiters count for themselves. */
const STORE_OPERATIONS = [
  'get',
  'set',
  'add',
  'swap',
  'replaceIf',
  'take',
  'remainingMs',
  'addMember',
  'members',
  'removeMember',
  'announce',
  'append',
] as const;

export type Gateway = {
  readonly url: string;
  /** empty where the primary of several workers has it */
  readonly opsUrl: string;
  /** Finishes what runs, then lets everything go. */
  readonly drain: () => Promise<void>;
};

export type ServeOptions = {
  readonly settings: Settings;
  /** for `${NAME}` in tenants' files */
  readonly environment: Environment;
  readonly clock?: Clock;
  readonly logTo?: DestinationStream;
};

/** `config/gatehouse.yaml` is wrong: the start stops, as with a wrong environment. */
export class ConfigurationError extends Error {
  override readonly name = 'ConfigurationError';
  constructor(problems: readonly Problem[]) {
    super(problems.map(formatProblem).join('\n'));
  }
}

export async function serve({ settings, environment, clock = systemClock, logTo }: ServeOptions): Promise<Gateway> {
  const log = createLog(settings.logLevel, logTo);
  const { logger } = log;
  const metrics = createMetrics();
  const { value: gateway, problems } = await readGatewayFile(settings.configDir, environment);
  if (gateway === undefined) throw new ConfigurationError(problems);
  const store = metrics.timing('store', openStore(settings, clock, logger), STORE_OPERATIONS);
  const requests = createRequests();
  const tell = metrics.counting(createAuditStream(store, gateway.audit.keep)(createAudit(logger)));
  const audit: Audit = (event, fields) => tell(event, { ...requests.who(), ...fields });
  const registry = createRegistry(settings.publicUrl);
  const folder = createTenantFolder({
    configDir: settings.configDir,
    environment,
    production: settings.production,
    publicHost: settings.publicUrl.hostname,
  });
  const health = createHealth(store, clock);
  const apply = async (): Promise<void> => {
    await applyTenants(folder, registry, settings.publicUrl, audit);
    health.configured();
  };
  const cannotLook = createComplaint((reason) => logger.error({ event: 'tenants.unreadable', reason }, 'tenants'));
  await apply().catch((error: unknown) => {
    cannotLook(error); // there may be a folder later
    // a configuration without tenants is one; one that is not there is a mount that is missing
    if (folder.isThere()) health.configured();
  });
  const plain = createOutbound(gateway.outbound.allow);
  const outbound = metrics.timing('idp', plain, ['getJson', 'fetch']);
  const app = createApp({
    publicUrl: settings.publicUrl,
    trustedProxies: settings.trustedProxies,
    gateway,
    registry,
    store,
    connection: createOidcConnection(createProviders(outbound, clock, audit, metrics.fetched), outbound, clock),
    attemptSealer: createSealer(settings.cookieKeys, 'attempt'),
    hintSealer: createSealer(settings.cookieKeys, 'id token hint'),
    linkSealer: createSealer(settings.cookieKeys, 'pending link'),
    people: createPeople(plain, clock),
    assertions: await createAssertions(settings.cookieKeys, settings.publicUrl, clock),
    health,
    log,
    metrics,
    audit,
    requests,
    onUntrusted: createUntrustedWarning(logger),
    clock,
  });
  const opsApp = createOpsApp(health, metrics).callback();
  const ops = cluster.isWorker ? undefined : await openListener(opsApp, settings.opsHost, settings.opsPort);
  const listener = await openListener(app.handle, settings.host, settings.port, app.upgrade);
  metrics.gauge('tenants', 'Tenants in force.', () => registry.tenants().length);
  metrics.gauge('sessions_at_hand', 'Sessions that were used in the last second or two.', app.sessionsAtHand);
  metrics.gauge('streams', 'Open WebSockets and event streams.', app.openStreams);
  const watch = watchFolder(join(settings.configDir, 'tenants'), apply, cannotLook);
  logger.info(
    {
      event: 'listening',
      public_url: settings.publicUrl.origin,
      listener: listener.url,
      ops: ops?.url,
      pid: process.pid,
    },
    'listening',
  );

  return {
    url: listener.url,
    opsUrl: ops?.url ?? '',
    async drain() {
      health.drain();
      listener.leave();
      await sleep(settings.drainDelayMs); // until balancers have seen that we are not ready
      await watch.close();
      app.endStreams();
      await listener.drain(DRAIN_LIMIT_MS - settings.drainDelayMs);
      await ops?.drain(1_000);
      await Promise.all([app.close(), outbound.close(), store.close()]);
      logger.info({ event: 'drained' }, 'drained');
    },
  };
}

export function openStore(settings: Settings, clock: Clock, logger: Logger): Store {
  if (settings.redis === undefined) {
    logger.warn(
      { event: 'store.embedded' },
      'REDIS_URL is not set: sessions are kept in this process alone and end with it',
    );
    return createMemoryStore(clock);
  }
  return createRedisStore(
    settings.redis,
    createComplaint((reason) => logger.error({ event: 'store.error', reason }, 'redis')),
  );
}

/** Once: who forgot to name a proxy has everybody behind it counted as one. */
function createUntrustedWarning(logger: Logger): (peer: string) => void {
  let isSaid = false;
  return (peer) => {
    if (!isSaid)
      logger.warn(
        { event: 'proxy.untrusted', peer },
        'X-Forwarded-For of somebody who is not in TRUSTED_PROXIES is not believed: if it is your proxy, all behind it count as one',
      );
    isSaid = true;
  };
}

const COMPLAIN_EVERY_MS = 60_000;

/** Says each thing once a minute: what fails is tried again each second, and an outage next week is another one. */
function createComplaint(say: (reason: string) => void): (error: unknown) => void {
  const saidAt = new Map<string, number>();
  return (error) => {
    const reason = error instanceof Error ? error.message : String(error);
    const now = performance.now();
    for (const [said, at] of saidAt) if (now - at > COMPLAIN_EVERY_MS) saidAt.delete(said);
    if (saidAt.has(reason)) return;
    saidAt.set(reason, now);
    say(reason);
  };
}

async function applyTenants(folder: TenantFolder, registry: Registry, publicUrl: URL, audit: Audit): Promise<void> {
  const changes = await folder.scan();
  if (changes.length === 0) return;
  registry.replace(folder.files());
  for (const change of changes) announce(change, publicUrl, audit);
}

/** What an administrator of an IdP has to register is said with every change. */
function announce(change: TenantChange, publicUrl: URL, audit: Audit): void {
  if (change.kind === 'refused') {
    audit('tenant.refused', {
      tenant: change.id,
      problems: change.problems.map(formatProblem),
      goes_on_as_before: change.kept,
    });
    return;
  }
  const { file, kind } = change;
  const sites = sitesOf({ slug: file.slug ?? file.id, hosts: file.hosts }, publicUrl);
  audit('tenant.changed', {
    tenant: file.id,
    change: kind,
    enabled: file.enabled,
    tenant_urls: sites.map(urls.home),
    redirect_uris: sites.map((site) => urls.callback(file, site)),
    logout_uris: sites.map((site) => urls.signOut(file, site)),
  });
}
