/**
 * The sessions that this replica has just read, so that a burst of requests is one look into the store. Two things end what is kept:
 * an announcement, which follows every change at once on every replica, and its age, which is under a second whether or not
 * announcements arrive. So a session that was ended anywhere is over here within one message, and within a second at the worst.
 *
 * It keeps what the store said, never a decision, and nothing about sessions that are not there (CVE-2021-32701, CVE-2026-33496).
 */
import type { Clock } from '../kernel/clock.ts';
import { keys } from '../storage/keys.ts';
import type { Store } from '../storage/store.ts';
import type { Tenant } from '../tenants/tenant.ts';
import { parseRecord, type SessionRecord } from './record.ts';

const FRESH_MS = 800;
/** Older than this is read anew beside the answer, so that who keeps coming never waits for the store. */
const REFRESH_AFTER_MS = 400;
/** Each replica renews the idle time with what it reads, so this is how exact it is. */
const FRESH_PART_OF_IDLE = 0.05;
const KEPT_MAX = 20_000;

export type Session = { readonly idDigest: string; readonly record: SessionRecord };

export type SessionCache = {
  /** Without a round trip, when it is known well enough. */
  readonly known: (tenant: Tenant, idDigest: string, isUse: boolean) => Session | undefined;
  /** One round trip. @param isUse whether this renews the idle time */
  readonly read: (tenant: Tenant, idDigest: string, isUse: boolean) => Promise<Session | undefined>;
  /** How many there are: for operators. */
  readonly count: () => number;
  /** Writes, and tells every replica so. */
  readonly changing: <Written>(key: string, write: () => Promise<Written>) => Promise<Written>;
};

type Entry = {
  readonly tenant: Tenant;
  readonly stored: string;
  readonly session: Session;
  readonly readAtMs: number;
  refreshing: boolean;
};

export function createSessionCache(store: Store, clock: Clock): SessionCache {
  /** Two generations: what was not read again in one is gone with the next. */
  let young = new Map<string, Entry>();
  let old = new Map<string, Entry>();
  let youngSinceMs = 0;
  /** counts announcements: a value that was under way when one came may be older than it */
  let announced = 0;

  const hears = store.listen((key) => {
    announced += 1;
    if (key === undefined) young = old = new Map();
    else drop(key);
  });

  function drop(key: string): void {
    young.delete(key);
    old.delete(key);
  }

  function keep(key: string, entry: Entry): void {
    const age = entry.readAtMs - youngSinceMs;
    if (age < 0 || age > FRESH_MS || young.size >= KEPT_MAX) {
      old = young;
      young = new Map();
      youngSinceMs = entry.readAtMs;
    }
    young.set(key, entry);
  }

  async function read(tenant: Tenant, idDigest: string, isUse: boolean): Promise<Session | undefined> {
    const key = keys.session(tenant.id, idDigest);
    const [readAtMs, announcedBefore] = [clock.nowMs(), announced];
    const stored = await store.get(key, isUse ? tenant.session.idle : undefined);
    const before = young.get(key) ?? old.get(key);
    const isSame = before !== undefined && before.stored === stored && before.tenant === tenant;
    const record = stored === undefined ? undefined : parse(stored, tenant, isSame ? before.session : undefined);
    if (stored === undefined || record === undefined) {
      drop(key);
      return undefined;
    }
    const session = isSame && before.session.record === record ? before.session : { idDigest, record };
    if (isUse && hears() && announced === announcedBefore)
      keep(key, { tenant, stored, session, readAtMs, refreshing: false });
    return session;
  }

  function parse(stored: string, tenant: Tenant, same: Session | undefined): SessionRecord | undefined {
    const nowMs = clock.nowMs();
    if (same !== undefined && same.record.expires_at_ms > nowMs) return same.record;
    return parseRecord(stored, tenant, nowMs);
  }

  return {
    read,
    known(tenant, idDigest, isUse) {
      const key = keys.session(tenant.id, idDigest);
      const entry = young.get(key) ?? old.get(key);
      if (entry === undefined || entry.tenant !== tenant) return undefined;
      const nowMs = clock.nowMs();
      const ageMs = nowMs - entry.readAtMs; // below 0 when the clock was set back: then nothing is known
      const freshMs = Math.min(FRESH_MS, tenant.session.idle * FRESH_PART_OF_IDLE);
      if (ageMs < 0 || ageMs >= freshMs || entry.session.record.expires_at_ms <= nowMs) return undefined;
      if (isUse && !entry.refreshing && ageMs >= Math.min(REFRESH_AFTER_MS, freshMs / 2)) {
        entry.refreshing = true;
        read(tenant, idDigest, true).catch(() => {}); // the next request that has to wait is told
      }
      return entry.session;
    },
    count: () => (clock.nowMs() - youngSinceMs > 2 * FRESH_MS ? 0 : new Set([...young.keys(), ...old.keys()]).size),
    async changing(key, write) {
      try {
        const [written] = await Promise.all([write(), store.announce(key).catch(() => {})]);
        return written;
      } finally {
        announced += 1;
        drop(key);
      }
    },
  };
}
