/** What the commands about people and sessions need: the gateway's own settings, the tenant's file, and a store that answers. */
import { type GatewayFile, readGatewayFile } from '../config/gateway-file.ts';
import { formatProblem } from '../config/problem.ts';
import { type Environment, parseSettings, type Settings } from '../config/settings.ts';
import { createTenantFolder } from '../config/tenant-folder.ts';
import { systemClock } from '../kernel/clock.ts';
import type { Audit } from '../kernel/events.ts';
import { createSealer } from '../kernel/seal.ts';
import { createAuditStream } from '../ops/audit-stream.ts';
import { createHints } from '../sessions/hint.ts';
import { createKnownGroups } from '../sessions/known-groups.ts';
import { createSessionIndex } from '../sessions/session-index.ts';
import { createSessions, type Sessions } from '../sessions/sessions.ts';
import { createPersonSessions, type PersonSessions } from '../sessions/sync.ts';
import { createRedisStore } from '../storage/redis.ts';
import { type Store, StoreUnavailable } from '../storage/store.ts';
import { createTenant, type Tenant } from '../tenants/tenant.ts';

export type Print = (text: string) => void;
export type Desk = {
  readonly store: Store;
  readonly tenant: Tenant;
  readonly sessions: Sessions;
  readonly persons: PersonSessions;
};

const READY_TRIES = 40;
const READY_EVERY_MS = 50;

/** Exit codes, the same for every command. */
export const EXIT = { done: 0, failed: 1, usage: 2, configuration: 78 } as const;

/** @returns the settings, or the exit code when they are wrong, which has been said */
export function readSettings(environment: Environment, print: Print): Settings | number {
  const settings = parseSettings(environment);
  if (!('problems' in settings)) return settings;
  print(settings.problems.map(({ variable, message }) => `${variable}: ${message}\n`).join(''));
  return EXIT.configuration;
}

/** @returns the tenant as its file says, or the exit code when there is none, which has been said */
export async function readTenant(
  id: string,
  { configDir, production, publicUrl }: Settings,
  environment: Environment,
  print: Print,
): Promise<Tenant | number> {
  const folder = createTenantFolder({ configDir, environment, production, publicHost: publicUrl.hostname });
  await folder.scan().catch(() => {}); // then there are none
  const file = folder.files().find((candidate) => candidate.id === id);
  if (file !== undefined) return createTenant(file);
  print(`There is no tenant ${id} with a valid file in ${configDir}.\n`);
  return EXIT.failed;
}

/** @returns `gatehouse.yaml`, or the exit code when it is wrong, which has been said */
export async function readGateway(
  { configDir }: Settings,
  environment: Environment,
  print: Print,
): Promise<GatewayFile | number> {
  const { value, problems } = await readGatewayFile(configDir, environment);
  if (value !== undefined) return value;
  print(problems.map((problem) => `${formatProblem(problem)}\n`).join(''));
  return EXIT.configuration;
}

/** @returns the exit code */
export async function atDesk(
  id: string,
  environment: Environment,
  print: Print,
  work: (desk: Desk) => Promise<number>,
): Promise<number> {
  const settings = readSettings(environment, print);
  if (typeof settings === 'number') return settings;
  if (settings.redis === undefined) {
    print('REDIS_URL is not set: what an embedded store holds is in its process alone.\n');
    return EXIT.configuration;
  }
  const tenant = await readTenant(id, settings, environment, print);
  if (typeof tenant === 'number') return tenant;
  const gateway = await readGateway(settings, environment, print);
  if (typeof gateway === 'number') return gateway;
  const store = createRedisStore(settings.redis, () => {});
  const { audit, told } = createDeskAudit(store, gateway.audit.keep);
  try {
    await reach(store);
    const code = await work({ store, tenant, ...openSessions(store, settings, audit) });
    await told();
    return code;
  } catch (error) {
    if (!(error instanceof StoreUnavailable)) throw error;
    print('Redis cannot be reached.\n');
    return EXIT.failed;
  } finally {
    await store.close();
  }
}

function openSessions(store: Store, { cookieKeys }: Settings, audit: Audit): Pick<Desk, 'sessions' | 'persons'> {
  const index = createSessionIndex(store);
  const hints = createHints(store, createSealer(cookieKeys, 'id token hint'));
  const sessions = createSessions({ store, index, hints, clock: systemClock, audit });
  return { sessions, persons: createPersonSessions(sessions, index, createKnownGroups(store), systemClock, audit) };
}

/** What an operator does is an event like any other: a line of JSON on standard error, and in the tenant's stream where there is one. */
function createDeskAudit(store: Store, keep: number): { audit: Audit; told: () => Promise<unknown> } {
  const writes: Promise<void>[] = [];
  const noted: Pick<Store, 'append'> = {
    append(...entry) {
      const write = store.append(...entry);
      writes.push(write);
      return write;
    },
  };
  const say: Audit = (event, fields) =>
    void process.stderr.write(`${JSON.stringify({ time: new Date().toISOString(), event, ...fields })}\n`);
  return { audit: createAuditStream(noted, keep)(say), told: () => Promise.allSettled(writes) };
}

/** The connection is made in the background; a moment is enough, or it is not there. */
export async function reach(store: Store): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      return await store.ping();
    } catch (error) {
      if (tries === READY_TRIES) throw error;
      await new Promise((resolve) => setTimeout(resolve, READY_EVERY_MS));
    }
  }
}
