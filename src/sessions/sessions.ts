/**
 * Sessions as the rest of the gateway sees them: find one by what the browser sent, write one, end one. The store knows a
 * session by the digest of its id, so that a dump of the store yields no cookie that works. Each look-up is bound to the
 * tenant: another tenant's id finds nothing.
 */
import type { Clock } from '../kernel/clock.ts';
import { readCookie } from '../kernel/cookie-header.ts';
import { digest } from '../kernel/random.ts';
import { keys } from '../storage/keys.ts';
import type { Store } from '../storage/store.ts';
import type { Tenant } from '../tenants/tenant.ts';
import { parseRecord, type SessionRecord } from './record.ts';

/** 256 bits of base64url: what `random256` makes. Anything else is not asked for in the store. */
const ID = /^[\w-]{43}$/;

export type Sessions = {
  /** The session whose cookie is in this header; counts as use. One round trip. Throws `store_unavailable`. */
  readonly find: (tenant: Tenant, cookieHeader: string | undefined) => Promise<SessionRecord | undefined>;
  readonly findById: (tenant: Tenant, id: string) => Promise<SessionRecord | undefined>;
  readonly write: (tenant: Tenant, id: string, record: SessionRecord) => Promise<void>;
  /** @returns whether there was one */
  readonly end: (tenant: Tenant, idDigest: string) => Promise<boolean>;
  /** What this header's session is called in the store; whether it lives is not looked at. */
  readonly digestOf: (tenant: Tenant, cookieHeader: string | undefined) => string | undefined;
};

export function createSessions(store: Store, clock: Clock): Sessions {
  async function findById(tenant: Tenant, id: string): Promise<SessionRecord | undefined> {
    if (!ID.test(id)) return undefined;
    const stored = await store.get(keys.session(tenant.id, digest(id)), tenant.session.idle);
    return stored === undefined ? undefined : parseRecord(stored, tenant, clock.nowMs());
  }

  return {
    findById,
    async find(tenant, cookieHeader) {
      const id = readCookie(cookieHeader, tenant.sessionCookie);
      return id === undefined ? undefined : findById(tenant, id);
    },
    async write(tenant, id, record) {
      const lifetimeMs = Math.min(tenant.session.idle, record.expires_at_ms - clock.nowMs());
      await store.set(keys.session(tenant.id, digest(id)), JSON.stringify(record), lifetimeMs);
    },
    end: (tenant, idDigest) => store.delete(keys.session(tenant.id, idDigest)),
    digestOf(tenant, cookieHeader) {
      const id = readCookie(cookieHeader, tenant.sessionCookie);
      return id !== undefined && ID.test(id) ? digest(id) : undefined;
    },
  };
}
