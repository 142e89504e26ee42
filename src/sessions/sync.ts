/**
 * One person's sessions at one tenant, as a whole: what the IdP says of the person reaches all of them at once, on every
 * replica, because every check reads the same record (contract section 4). What it said earlier never overwrites what it
 * said later, by its own clock.
 */
import type { Clock } from '../kernel/clock.ts';
import type { Audit } from '../kernel/events.ts';
import type { Tenant } from '../tenants/tenant.ts';
import type { GroupsNow, KnownGroups } from './known-groups.ts';
import type { SessionRecord } from './record.ts';
import type { SessionIndex, Subject } from './session-index.ts';
import type { EndReason, Session, Sessions } from './sessions.ts';

/** Who, by which token, has which groups now. */
export type PersonNow = Pick<SessionRecord, 'issuer' | 'sub' | 'groups' | 'groups_iat'>;

export type IdpOrder = {
  readonly issuer: string;
  readonly sid: string | undefined;
  readonly sub: string | undefined;
  readonly issuedAtSeconds: number;
  readonly clockToleranceSeconds: number;
  /** how long a sign-in that is under way may still run into it */
  readonly markedMs: number;
};

export type PersonSessions = {
  /** Puts the groups of a person into all their live sessions. @param before what one of them had, that has changed already */
  readonly applyGroups: (tenant: Tenant, person: PersonNow, before?: readonly string[]) => Promise<void>;
  /** Ends all sessions of a person; or those whose groups came by tokens no later than that; or all but one. @returns how many */
  readonly endAll: (
    tenant: Tenant,
    person: Pick<PersonNow, 'issuer' | 'sub'>,
    reason: EndReason,
    which?: { readonly byTokensUntil?: number; readonly except?: string },
  ) => Promise<number>;
  readonly list: (tenant: Tenant, person: Pick<PersonNow, 'issuer' | 'sub'>) => Promise<readonly ListedSession[]>;
  /** What the IdP ordered. @returns how many ended, or `mismatch` when `sid` belongs to another `sub` */
  readonly obey: (tenant: Tenant, order: IdpOrder) => Promise<number | 'mismatch'>;
};

/** A page of a person's own; who has more has something that signs in by itself. */
const LISTED_MAX = 50;

/** One of a person's sessions, as the person or an operator sees it. */
export type ListedSession = Session & { readonly lastUsedAtMs: number };

export function createPersonSessions(
  sessions: Sessions,
  index: Pick<SessionIndex, 'markEnded'>,
  known: KnownGroups,
  clock: Clock,
  audit: Audit,
): PersonSessions {
  async function endEach(tenant: Tenant, found: readonly Session[], reason: EndReason): Promise<number> {
    const ended = await Promise.all(found.map(({ idDigest }) => sessions.end(tenant, idDigest, reason)));
    return ended.filter((record) => record !== undefined).length;
  }

  return {
    async applyGroups(tenant, person, before = []) {
      const { latest, told } = await known.learn(tenant, person);
      const found = told === undefined ? [] : await sessions.ofSubject(tenant, personOf(person));
      const changes = await Promise.all(
        found.map(({ idDigest }) => sessions.change(tenant, idDigest, (record) => withGroups(record, latest))),
      );
      await told?.();
      const changed = changes.filter((change) => change !== undefined && change.before !== change.after);
      const had = new Set([...before, ...changed.flatMap((change) => change?.before.groups ?? [])]);
      announce(tenant, { ...person, ...latest }, [...had]);
    },
    async endAll(tenant, person, reason, { byTokensUntil = Number.POSITIVE_INFINITY, except } = {}) {
      const found = await sessions.ofSubject(tenant, personOf(person));
      const meant = found.filter(({ idDigest, record }) => idDigest !== except && record.groups_iat <= byTokensUntil);
      return endEach(tenant, meant, reason);
    },
    async list(tenant, { issuer, sub }) {
      const found = [...(await sessions.ofSubject(tenant, personOf({ issuer, sub })))];
      const newest = found.sort((a, b) => b.record.signed_in_at_ms - a.record.signed_in_at_ms).slice(0, LISTED_MAX);
      const listed = await Promise.all(
        newest.map(async (session) => ({ ...session, lastUsedAtMs: await sessions.lastUsedAtMs(tenant, session) })),
      );
      return listed.sort((a, b) => b.lastUsedAtMs - a.lastUsedAtMs);
    },
    async obey(tenant, order) {
      const { issuer, sid, sub, issuedAtSeconds, clockToleranceSeconds } = order;
      const subject: Subject =
        sid === undefined ? personOf({ issuer, sub: sub ?? '' }) : { kind: 'sid', issuer, value: sid };
      // the machines of one IdP differ by a little; a `sid` is of one session, so that nothing else can be meant
      const until = issuedAtSeconds + (sid === undefined ? 0 : clockToleranceSeconds);
      // before looking: see session-index.ts
      await index.markEnded(tenant, subject, { atSeconds: until, nowMs: clock.nowMs(), lifetimeMs: order.markedMs });
      const found = await sessions.ofSubject(tenant, subject);
      if (sub !== undefined && found.some(({ record }) => record.sub !== sub)) return 'mismatch';
      const nameless =
        sid !== undefined && sub !== undefined ? await sessions.ofSubject(tenant, personOf({ issuer, sub })) : [];
      const meant = [
        ...found.filter(({ record }) => record.token_iat <= until),
        ...nameless.filter(({ record }) => record.sid === null && record.token_iat <= issuedAtSeconds),
      ];
      return endEach(tenant, meant, 'ended_by_idp');
    },
  };

  function announce(tenant: Tenant, { sub, groups }: PersonNow, had: readonly string[]): void {
    const removed = had.filter((group) => !groups.includes(group));
    const added = had.length === 0 ? [] : groups.filter((group) => !had.includes(group));
    if (added.length + removed.length > 0) audit('groups.changed', { tenant: tenant.id, sub, added, removed });
  }
}

function personOf({ issuer, sub }: Pick<PersonNow, 'issuer' | 'sub'>): Subject {
  return { kind: 'person', issuer, value: sub };
}

/** The same record when there is nothing newer to say. */
function withGroups(record: SessionRecord, { groups, groups_iat }: GroupsNow): SessionRecord {
  const same = record.groups.length === groups.length && record.groups.every((group, at) => group === groups[at]);
  return record.groups_iat > groups_iat || same ? record : { ...record, groups: [...groups], groups_iat };
}
