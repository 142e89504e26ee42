/** `gatehouse sessions list|end`: over the same store as the gateways, so that what ends here ends on every replica. */
import type { Environment } from '../config/settings.ts';
import type { Session } from '../sessions/sessions.ts';
import { keys } from '../storage/keys.ts';
import { atDesk, type Desk, type Print } from './desk.ts';

type Options = { readonly tenant: string; readonly sub?: string; readonly json?: boolean };

/** @returns the exit code */
export async function listSessions(options: Options, environment: Environment, print: Print): Promise<number> {
  return atDesk(options.tenant, environment, print, async (desk) => {
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
  return atDesk(options.tenant, environment, print, async (desk) => {
    let ended = 0;
    for await (const { idDigest } of sessionsOf(desk, options.sub)) {
      if (options.session !== undefined && options.session !== idDigest) continue;
      if ((await desk.sessions.end(desk.tenant, idDigest, 'ended_by_operator')) !== undefined) ended += 1;
    }
    print(options.json ? `${JSON.stringify({ ended })}\n` : `Ended ${ended}.\n`);
    return 0;
  });
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
    issuer: record.issuer,
    name: record.name,
    email: record.email,
    groups: record.groups,
    user_agent: record.user_agent,
    signed_in_at: new Date(record.signed_in_at_ms).toISOString(),
    last_used_at: new Date(await sessions.lastUsedAtMs(tenant, session)).toISOString(),
    expires_at: new Date(record.expires_at_ms).toISOString(),
  };
}
