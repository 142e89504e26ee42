/**
 * Which sessions are of one person, and which belong to one session at the IdP; and what the IdP said has ended.
 *
 * Why no race loses a logout: a sign-in enters the index first and looks at the marks afterwards, a logout leaves its mark
 * first and looks at the index afterwards. Whatever the order, one of the two sees the other.
 *
 * What a logout means: everything that stands on a token made no later than it, by the IdP's own clock, which has seconds only.
 * A sign-in that was begun here after the logout came in is never meant, even within the same second: its nonce proves that
 * its token is younger.
 */
import { digest } from '../kernel/random.ts';
import { keys } from '../storage/keys.ts';
import type { Store } from '../storage/store.ts';
import type { Tenant } from '../tenants/tenant.ts';
import type { SessionRecord } from './record.ts';

const MARK_TRIES = 5;

export type Mark = {
  /** when the IdP says that it ended, by the IdP's clock */
  readonly atSeconds: number;
  /** when that came in, by ours */
  readonly nowMs: number;
  readonly lifetimeMs: number;
};

/** A person (`sub`) or a session at the IdP (`sid`); both are only unique together with the issuer. */
export type Subject = { readonly kind: 'person' | 'sid'; readonly issuer: string; readonly value: string };

export type SessionIndex = {
  readonly add: (tenant: Tenant, idDigest: string, record: SessionRecord, nowMs: number) => Promise<void>;
  readonly remove: (tenant: Tenant, idDigest: string, record: SessionRecord) => Promise<void>;
  /** digests of ids; some may have ended meanwhile */
  readonly find: (tenant: Tenant, subject: Subject, nowMs: number) => Promise<readonly string[]>;
  readonly markEnded: (tenant: Tenant, subject: Subject, mark: Mark) => Promise<void>;
  /** Whether the IdP ended what this record stands on. @param begunAtMs when its sign-in was begun here */
  readonly isEnded: (tenant: Tenant, record: SessionRecord, begunAtMs: number) => Promise<boolean>;
};

export function createSessionIndex(store: Store): SessionIndex {
  return {
    async add(tenant, idDigest, record, nowMs) {
      const adds = subjectsOf(tenant, record).map((subject) =>
        store.addMember(indexKey(tenant, subject), idDigest, record.expires_at_ms, nowMs),
      );
      await Promise.all(adds);
    },
    async remove(tenant, idDigest, record) {
      await Promise.all(
        subjectsOf(tenant, record).map((subject) => store.removeMember(indexKey(tenant, subject), idDigest)),
      );
    },
    find: (tenant, subject, nowMs) => store.members(indexKey(tenant, subject), nowMs),
    async markEnded(tenant, subject, { atSeconds, nowMs, lifetimeMs }) {
      const key = markKey(tenant, subject);
      for (let tries = 0; tries < MARK_TRIES; tries++) {
        const remainingMs = (await store.remainingMs(key)) ?? 0;
        const stored = await store.get(key, Math.max(remainingMs, lifetimeMs)); // one that is there is never made shorter
        // an older order that arrives late must not undo a newer one
        const latest = Math.max(atSeconds, stored === undefined ? atSeconds : parseMark(stored).atSeconds);
        const text = `${latest} ${nowMs}`;
        const written = stored === undefined ? store.add(key, text, lifetimeMs) : store.replaceIf(key, stored, text);
        if (await written) return;
      }
      throw new Error('a mark changes all the time');
    },
    async isEnded(tenant, record, begunAtMs) {
      const marks = await Promise.all(subjectsOf(tenant, record).map((subject) => store.get(markKey(tenant, subject))));
      return marks.map(parseMark).some((mark) => mark.atSeconds >= record.token_iat && mark.cameAtMs >= begunAtMs);
    },
  };
}

function parseMark(mark: string | undefined): { atSeconds: number; cameAtMs: number } {
  const [atSeconds = Number.NaN, cameAtMs = Number.NaN] = mark?.split(' ').map(Number) ?? [];
  return { atSeconds, cameAtMs }; // compared with anything, what is not there is not later
}

/** By a `sid` without an issuer the whole connection is meant, which may stand for several directories (config/oidc.ts). */
function subjectsOf({ oidc }: Tenant, { issuer, sub, sid }: SessionRecord): Subject[] {
  const person: Subject = { kind: 'person', issuer, value: sub };
  if (sid === null) return [person];
  const issuers = new Set([issuer, oidc?.issuer ?? issuer]);
  return [person, ...[...issuers].map((by): Subject => ({ kind: 'sid', issuer: by, value: sid }))];
}

function indexKey(tenant: Tenant, { kind, issuer, value }: Subject): string {
  return keys.index(tenant.id, kind, digest(JSON.stringify([issuer, value])));
}

function markKey(tenant: Tenant, { kind, issuer, value }: Subject): string {
  return keys.ended(tenant.id, kind, digest(JSON.stringify([issuer, value])));
}
