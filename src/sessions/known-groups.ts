/**
 * What groups a person is known to have: what all their sessions have, or are about to get. So that a sign-in which brings nothing
 * new looks at no other session, however many a person has; and so that the younger of two tokens wins, whichever is
 * processed last.
 */
import { z } from 'zod';
import { digest } from '../kernel/random.ts';
import { keys } from '../storage/keys.ts';
import type { Store } from '../storage/store.ts';
import type { Tenant } from '../tenants/tenant.ts';
import type { SessionRecord } from './record.ts';

export type GroupsNow = Pick<SessionRecord, 'groups' | 'groups_iat'>;

export type KnownGroups = {
  /**
   * Takes in what a token says, unless a younger one is known. @returns what counts now; and, unless all sessions are known to
   * have it, what to call when they have been told: until then it stays news, however often it is learnt
   */
  readonly learn: (
    tenant: Tenant,
    person: GroupsNow & Pick<SessionRecord, 'issuer' | 'sub'>,
  ) => Promise<{ readonly latest: GroupsNow; readonly told: (() => Promise<void>) | undefined }>;
};

const schema = z.object({ groups: z.array(z.string()), groups_iat: z.number(), told: z.boolean() });
/** Another replica may learn something at the same moment; more often than this is no coincidence. */
const TRIES = 5;

export function createKnownGroups(store: Store): KnownGroups {
  return {
    async learn(tenant, { issuer, sub, groups, groups_iat }) {
      const key = keys.groups(tenant.id, digest(JSON.stringify([issuer, sub])));
      const said: GroupsNow = { groups, groups_iat };
      for (let tries = 0; tries < TRIES; tries++) {
        const stored = await store.get(key, tenant.session.absolute);
        const before = stored === undefined ? undefined : parse(stored);
        // who brings less than is known may have written a session with less: all are told, this one too
        if (before !== undefined && before.groups_iat > groups_iat) return { latest: before, told: async () => {} };
        const isOld = before?.told === true && same(before.groups, groups);
        const text = JSON.stringify({ ...said, told: isOld });
        const written =
          stored === undefined
            ? await store.add(key, text, tenant.session.absolute)
            : await store.replaceIf(key, stored, text);
        if (!written) continue;
        const told = async (): Promise<void> => {
          await store.replaceIf(key, text, JSON.stringify({ ...said, told: true }));
        };
        return { latest: said, told: isOld ? undefined : told };
      }
      return { latest: said, told: async () => {} };
    },
  };
}

function parse(stored: string): z.output<typeof schema> | undefined {
  try {
    return schema.safeParse(JSON.parse(stored)).data;
  } catch {
    return undefined;
  }
}

function same(one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && one.every((group, at) => group === other[at]);
}
