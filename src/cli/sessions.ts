/** `gatehouse sessions list|end`: over the same store as the gateways, so that what ends here ends on every replica. */
import { type Environment, parseSettings } from '../config/settings.ts';
import { createTenantFolder } from '../config/tenant-folder.ts';
import { systemClock } from '../kernel/clock.ts';
import { createSealer } from '../kernel/seal.ts';
import { createHints } from '../sessions/hint.ts';
import { createSessionIndex } from '../sessions/session-index.ts';
import { createSessions, type Session, type Sessions } from '../sessions/sessions.ts';
import { keys } from '../storage/keys.ts';
import { createRedisStore } from '../storage/redis.ts';
import { type Store, StoreUnavailable } from '../storage/store.ts';
import { createTenant, type Tenant } from '../tenants/tenant.ts';

type Options = { readonly tenant: string; readonly sub?: string; readonly json?: boolean };
type Print = (text: string) => void;
type Desk = { readonly store: Store; readonly sessions: Sessions; readonly tenant: Tenant };

const READY_TRIES = 40;
const READY_EVERY_MS = 50;

/** @returns the exit code */
export async function listSessions(options: Options, environment: Environment, print: Print): Promise<number> {
  return atDesk(options, environment, print, async (desk) => {
    const rows = [];
    for await (const session of sessionsOf(desk, options.sub)) rows.push(await rowOf(desk, session));
    if (options.json) print(`${JSON.stringify(rows, null, 2)}\n`);
    for (const row of options.json ? [] : rows)
      print(
        `${row.session}  ${row.sub}  ${row.name ?? ''}  since ${row.signed_in_at}  last used ${row.last_used_at}\n`,
      );
    if (!options.json) print(`${rows.length} ${rows.length === 1 ? 'session' : 'sessions'}.\n`);
    return 0;
  });
}

type EndOptions = Options & { readonly session?: string; readonly all?: boolean };

/** Ends nothing unless it is said what. @returns the exit code */
export async function endSessions(options: EndOptions, environment: Environment, print: Print): Promise<number> {
  if (options.sub === undefined && options.session === undefined && options.all !== true) {
    print('Say which: --sub, --session or --all.\n');
    return 2;
  }
  return atDesk(options, environment, print, async (desk) => {
    let ended = 0;
    for await (const { idDigest } of sessionsOf(desk, options.sub)) {
      if (options.session !== undefined && options.session !== idDigest) continue;
      if ((await desk.sessions.end(desk.tenant, idDigest, 'ended_by_operator')) !== undefined) ended += 1;
    }
    print(options.json ? `${JSON.stringify({ ended })}\n` : `Ended ${ended}.\n`);
    return 0;
  });
}

async function atDesk(
  { tenant: id }: Options,
  environment: Environment,
  print: Print,
  work: (desk: Desk) => Promise<number>,
): Promise<number> {
  const settings = parseSettings(environment);
  if ('problems' in settings) {
    print(settings.problems.map(({ variable, message }) => `${variable}: ${message}\n`).join(''));
    return 78;
  }
  if (settings.redisUrl === undefined) {
    print('REDIS_URL is not set: the sessions of an embedded store are in its process alone.\n');
    return 78;
  }
  const { configDir, production, publicUrl } = settings;
  const folder = createTenantFolder({ configDir, environment, production, publicHost: publicUrl.hostname });
  await folder.scan().catch(() => {}); // then there are none
  const file = folder.files().find((candidate) => candidate.id === id);
  if (file === undefined) {
    print(`There is no tenant ${id} with a valid file in ${configDir}.\n`);
    return 1;
  }
  const store = createRedisStore(settings.redisUrl, () => {});
  try {
    await reach(store);
    const hints = createHints(store, createSealer(settings.cookieKeys, 'id token hint'));
    const index = createSessionIndex(store);
    const sessions = createSessions({ store, index, hints, clock: systemClock, audit: () => {} });
    return await work({ store, sessions, tenant: createTenant(file) });
  } catch (error) {
    if (!(error instanceof StoreUnavailable)) throw error;
    print('Redis cannot be reached.\n');
    return 1;
  } finally {
    await store.close();
  }
}

/** The connection is made in the background; a moment is enough, or it is not there. */
async function reach(store: Store): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      return await store.ping();
    } catch (error) {
      if (tries === READY_TRIES) throw error;
      await new Promise((resolve) => setTimeout(resolve, READY_EVERY_MS));
    }
  }
}

async function* sessionsOf({ store, sessions, tenant }: Desk, sub: string | undefined): AsyncIterable<Session> {
  const prefix = keys.sessions(tenant.id);
  const seen = new Set<string>();
  for await (const key of store.scan(prefix)) {
    if (seen.has(key)) continue;
    seen.add(key);
    const session = await sessions.peek(tenant, key.slice(prefix.length));
    if (session !== undefined && (sub === undefined || session.record.sub === sub)) yield session;
  }
}

async function rowOf({ sessions, tenant }: Desk, session: Session) {
  const { record, idDigest } = session;
  return {
    session: idDigest,
    sub: record.sub,
    name: record.name,
    email: record.email,
    groups: record.groups,
    user_agent: record.user_agent,
    signed_in_at: new Date(record.signed_in_at_ms).toISOString(),
    last_used_at: new Date(await sessions.lastUsedAtMs(tenant, session)).toISOString(),
    expires_at: new Date(record.expires_at_ms).toISOString(),
  };
}
