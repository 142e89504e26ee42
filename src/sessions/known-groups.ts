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
   * Takes in what a token says, unless a younger one is known. @returns what counts now, and whether sessions may have to be
   * told: false when all of them have it
   */
  readonly learn: (
    tenant: Tenant,
    person: GroupsNow & Pick<SessionRecord, 'issuer' | 'sub'>,
  ) => Promise<{ readonly latest: GroupsNow; readonly isNews: boolean }>;
};

const schema = z.object({ groups: z.array(z.string()), groups_iat: z.number() });
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
        if (before !== undefined && before.groups_iat > groups_iat) return { latest: before, isNews: true };
        const text = JSON.stringify(said);
        const written =
          stored === undefined
            ? await store.add(key, text, tenant.session.absolute)
            : await store.replaceIf(key, stored, text);
        if (written) return { latest: said, isNews: before === undefined || !same(before.groups, groups) };
      }
      return { latest: said, isNews: true };
    },
  };
}

function parse(stored: string): GroupsNow | undefined {
  try {
    return schema.safeParse(JSON.parse(stored)).data;
  } catch {
    return undefined;
  }
}

function same(one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && one.every((group, at) => group === other[at]);
}
