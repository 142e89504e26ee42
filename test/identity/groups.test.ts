import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { assignGroups, createGroupTable } from '../../src/identity/groups.ts';

type File = Parameters<typeof createGroupTable>[0];

const FILE: File = {
  groups: [
    { id: 'admins', roles: ['Admin', 'billing-*'] },
    { id: 'readers' },
    { id: 'both', roles: ['Admin', 'readers'] },
    { id: 'star*' },
  ],
  default_groups: [],
  unknown_roles: 'ignore',
  no_groups: 'reject',
};

function assign(roles: string[], change: Partial<File> = {}) {
  const result = assignGroups(roles, createGroupTable({ ...FILE, ...change }));
  return result.ok ? result.value : result.refusal.reason;
}

describe('roles become groups', () => {
  const cases: [string, string[], readonly string[] | string, Partial<File>?][] = [
    ['by the values that the group names', ['Admin'], ['admins', 'both']],
    ['by the group’s id where it names none', ['readers'], ['readers', 'both']],
    ['by prefix', ['billing-eu'], ['admins']],
    ['by the bare prefix', ['billing-'], ['admins']],
    ['in the order of the file, each once', ['readers', 'Admin', 'billing-x'], ['admins', 'readers', 'both']],
    ['not by the id where the group names values', ['admins'], 'no_groups'],
    ['not in another case', ['admin'], 'no_groups'],
    ['not by a prefix in another case', ['Billing-eu'], 'no_groups'],
    ['not with a space more', ['Admin '], 'no_groups'],
    ['not in another normal form', ['re\u0301aders'], 'no_groups'],
    ['not by what only looks like a pattern', ['starship'], 'no_groups'],
    ['by an id that ends in a star, letter by letter', ['star*'], ['star*']],
    ['with unknown ones ignored', ['Admin', 'chess'], ['admins', 'both']],
    ['with unknown ones refused', ['Admin', 'chess'], 'role_unknown', { unknown_roles: 'reject' }],
    ['to none: refused', [], 'no_groups'],
    ['to none: allowed', [], [], { no_groups: 'allow' }],
    ['beside the default groups', ['readers'], ['admins', 'readers', 'both'], { default_groups: ['admins'] }],
    ['to the default groups alone', ['chess'], ['admins'], { default_groups: ['admins'] }],
    ['with a star that matches all', ['anything'], ['all'], { groups: [{ id: 'all', roles: ['*'] }] }],
  ];
  it.each(cases)('%s', (_what, roles, expected, change = {}) => {
    expect(assign(roles, change)).toEqual(expected);
  });

  it('and to nothing else: every group has a role that the IdP sent (CVE-2021-21411)', () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(fc.string(), fc.constantFrom('Admin', 'billing-x', 'readers', 'admins'))),
        (roles) => {
          const assigned = assign(roles, { no_groups: 'allow' });
          for (const id of assigned)
            expect(
              roles.some(
                (role) =>
                  FILE.groups
                    .find((group) => group.id === id)
                    ?.roles?.some(
                      (pattern) => pattern === role || (pattern.endsWith('*') && role.startsWith(pattern.slice(0, -1))),
                    ) ?? role === id,
              ),
            ).toBe(true);
        },
      ),
    );
  });
});
