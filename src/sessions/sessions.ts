/**
 * Sessions as the rest of the gateway sees them: find one by what the browser sent, establish one, change one, end one. The
 * store knows a session by the digest of its id, so that a dump of the store yields no cookie that works. Each look-up is
 * bound to the tenant: another tenant's id finds nothing.
 */
import type { RefreshGrant } from '../connections/verified-claims.ts';
import type { Clock } from '../kernel/clock.ts';
import { readCookie } from '../kernel/cookie-header.ts';
import type { Audit } from '../kernel/events.ts';
import { digest } from '../kernel/random.ts';
import { ok, type Result, refuse } from '../kernel/result.ts';
import { keys } from '../storage/keys.ts';
import type { Store } from '../storage/store.ts';
import type { Tenant } from '../tenants/tenant.ts';
import type { Hints } from './hint.ts';
import { parseRecord, type SessionRecord } from './record.ts';
import { createSessionCache, type Session } from './session-cache.ts';
import type { SessionIndex, Subject } from './session-index.ts';

/** 256 bits of base64url: what `random256` makes. Anything else is not asked for in the store. */
const ID = /^[\w-]{43}$/;
/** Another replica may change the same record at the same moment; more often than this is no coincidence. */
const CHANGE_TRIES = 5;

/** As much of a request as tells whose it is; HEAD and OPTIONS change nothing, the idle time included. */
export type RequestSeen = { readonly method: string; readonly headers: { readonly cookie?: string | undefined } };

export type { Session };
export type FreshSession = {
  readonly record: SessionRecord;
  readonly idToken: string | undefined;
  readonly refresh?: RefreshGrant | undefined;
  /** when the sign-in was begun here, ms */
  readonly begunAtMs: number;
};
export type Change = (record: SessionRecord) => SessionRecord;
export type Changed = { readonly before: SessionRecord; readonly after: SessionRecord };
/** Why a session ended, for the log. */
export type EndReason =
  | 'signed_out'
  | 'replaced'
  | 'ended_by_person'
  | 'ended_by_idp'
  | 'ended_by_operator'
  | 'renewal_failed'
  | 'no_groups';

export type Sessions = {
  /** The session whose cookie this request shows. At most one round trip. Throws `store_unavailable`. */
  readonly find: (tenant: Tenant, request: RequestSeen) => Promise<Session | undefined>;
  /** The same without a round trip; `undefined`: the store has to be asked. */
  readonly known: (tenant: Tenant, request: RequestSeen) => Session | undefined;
  /** As the store says now; renews the idle time. */
  readonly findById: (tenant: Tenant, id: string) => Promise<Session | undefined>;
  /** By its digest; does not count as use. */
  readonly peek: (tenant: Tenant, idDigest: string) => Promise<Session | undefined>;
  /** Writes a new session; refuses when the IdP ended it while it was being made. */
  readonly establish: (tenant: Tenant, id: string, fresh: FreshSession) => Promise<Result<Session>>;
  /**
   * Changes a record that is still there, whoever else does too. @returns the record before and after; `undefined` when the
   * session is gone, which wins over any change
   */
  readonly change: (tenant: Tenant, idDigest: string, change: Change) => Promise<Changed | undefined>;
  /** As `change`, on the strength of a new token: refused like a new session when the IdP ended what it stands on. */
  readonly renew: (
    tenant: Tenant,
    idDigest: string,
    proof: Pick<FreshSession, 'idToken' | 'begunAtMs'>,
    change: Change,
  ) => Promise<Changed | undefined>;
  /** Ends it everywhere. @returns what it was, for one of any number of callers */
  readonly end: (tenant: Tenant, idDigest: string, reason: EndReason) => Promise<SessionRecord | undefined>;
  /** How many this replica has in its hands: for operators. */
  readonly atHand: () => number;
  /** Worked out from the lifetime that is left: each use renews it. */
  readonly lastUsedAtMs: (tenant: Tenant, session: Session) => Promise<number>;
  readonly ofSubject: (tenant: Tenant, subject: Subject) => Promise<readonly Session[]>;
  /** What this header's session is called in the store; whether it lives is not looked at. */
  readonly digestOf: (tenant: Tenant, cookieHeader: string | undefined) => string | undefined;
};

type Dependencies = {
  readonly store: Store;
  readonly index: SessionIndex;
  readonly hints: Hints;
  readonly clock: Clock;
  readonly audit: Audit;
};

/** Long enough to find a tenant that nobody uses any more. */
const LAST_SIGN_IN_KEPT_MS = 400 * 24 * 3_600_000;

export function createSessions({ store, index, hints, clock, audit }: Dependencies): Sessions {
  const cache = createSessionCache(store, clock);

  function peek(tenant: Tenant, idDigest: string): Promise<Session | undefined> {
    return cache.read(tenant, idDigest, false);
  }

  function digestOf(tenant: Tenant, cookieHeader: string | undefined): string | undefined {
    const id = readCookie(cookieHeader, tenant.sessionCookie);
    return id !== undefined && ID.test(id) ? digest(id) : undefined;
  }

  async function end(tenant: Tenant, idDigest: string, reason: EndReason): Promise<SessionRecord | undefined> {
    const key = keys.session(tenant.id, idDigest);
    const stored = await cache.changing(key, () => store.take(key));
    const record = stored === undefined ? undefined : parseRecord(stored, tenant, clock.nowMs());
    if (record === undefined) return undefined;
    await Promise.all([index.remove(tenant, idDigest, record), hints.forget(tenant, idDigest)]);
    audit('session.ended', { tenant: tenant.id, sub: record.sub, session: idDigest.slice(0, 8), reason });
    return record;
  }

  async function change(tenant: Tenant, idDigest: string, apply: Change): Promise<Changed | undefined> {
    const key = keys.session(tenant.id, idDigest);
    for (let tries = 0; tries < CHANGE_TRIES; tries++) {
      const stored = await store.get(key);
      const before = stored === undefined ? undefined : parseRecord(stored, tenant, clock.nowMs());
      if (stored === undefined || before === undefined) return undefined;
      const after = apply(before);
      if (after === before) return { before, after };
      const text = JSON.stringify(after);
      if (await cache.changing(key, () => store.replaceIf(key, stored, text))) return { before, after };
    }
    throw new Error('a session record changes all the time');
  }

  return {
    peek,
    end,
    digestOf,
    atHand: cache.count,
    async findById(tenant, id) {
      return ID.test(id) ? cache.read(tenant, digest(id), true) : undefined;
    },
    async find(tenant, { method, headers }) {
      const idDigest = digestOf(tenant, headers.cookie);
      if (idDigest === undefined) return undefined;
      const isUse = countsAsUse(method);
      return cache.known(tenant, idDigest, isUse) ?? cache.read(tenant, idDigest, isUse);
    },
    known(tenant, { method, headers }) {
      const idDigest = digestOf(tenant, headers.cookie);
      return idDigest === undefined ? undefined : cache.known(tenant, idDigest, countsAsUse(method));
    },
    async establish(tenant, id, { record, idToken, refresh, begunAtMs }) {
      const idDigest = digest(id);
      const nowMs = clock.nowMs();
      const absoluteMs = record.expires_at_ms - nowMs;
      const lifetimeMs = Math.min(tenant.session.idle, absoluteMs);
      await Promise.all([
        store.set(keys.session(tenant.id, idDigest), JSON.stringify(record), lifetimeMs),
        index.add(tenant, idDigest, record, nowMs),
        hints.keep(tenant, idDigest, idToken, absoluteMs),
        hints.keepRefresh(tenant, idDigest, refresh, absoluteMs),
        store.set(keys.lastSignIn(tenant.id), String(nowMs), LAST_SIGN_IN_KEPT_MS),
      ]);
      if (!(await index.isEnded(tenant, record, begunAtMs))) return ok({ idDigest, record });
      await end(tenant, idDigest, 'ended_by_idp');
      return refuse('ended_meanwhile');
    },
    change,
    async renew(tenant, idDigest, { idToken, begunAtMs }, renewed) {
      const current = await peek(tenant, idDigest);
      if (current === undefined) return undefined;
      await index.add(tenant, idDigest, renewed(current.record), clock.nowMs()); // before the marks are looked at
      const changed = await change(tenant, idDigest, renewed);
      if (changed === undefined) return undefined;
      if (await index.isEnded(tenant, changed.after, begunAtMs)) {
        await end(tenant, idDigest, 'ended_by_idp');
        return undefined;
      }
      await hints.keep(tenant, idDigest, idToken, changed.after.expires_at_ms - clock.nowMs());
      return changed;
    },
    async ofSubject(tenant, subject) {
      const digests = await index.find(tenant, subject, clock.nowMs());
      const sessions = await Promise.all(digests.map((idDigest) => peek(tenant, idDigest)));
      // a renewal may have moved a session to another `sid`; the index keeps the old entry until it expires
      const isOf = ({ record }: Session): boolean =>
        (subject.kind === 'sid' ? record.sid : record.sub) === subject.value;
      return sessions.filter((session) => session !== undefined).filter(isOf);
    },
    async lastUsedAtMs(tenant, { idDigest, record }) {
      const remainingMs = await store.remainingMs(keys.session(tenant.id, idDigest));
      const usedAtMs = clock.nowMs() - tenant.session.idle + (remainingMs ?? 0);
      return Math.min(clock.nowMs(), Math.max(record.signed_in_at_ms, usedAtMs));
    },
  };
}

function countsAsUse(method: string): boolean {
  return method !== 'HEAD' && method !== 'OPTIONS';
}
