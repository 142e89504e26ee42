/**
 * Roles -> groups, by the tenant's table and nothing else. Pure. Compared exactly: no case folding, no normalisation
 * (contract section 4), so that no role can be dressed up as another.
 */
import type { TenantFile } from '../config/tenant-file.ts';
import { ok, type Result, refuse } from '../kernel/result.ts';

/** The tenant's table, made ready once when its file is read. */
export type GroupTable = {
  /** every group's id, in the order of the file: the order in which groups are told to the app */
  readonly ids: readonly string[];
  readonly exact: ReadonlyMap<string, readonly string[]>;
  readonly prefixes: readonly { readonly prefix: string; readonly id: string }[];
  readonly defaults: readonly string[];
  readonly rejectUnknown: boolean;
  readonly rejectNone: boolean;
};

export function createGroupTable(
  file: Pick<TenantFile, 'groups' | 'default_groups' | 'unknown_roles' | 'no_groups'>,
): GroupTable {
  const exact = new Map<string, string[]>();
  const prefixes: { prefix: string; id: string }[] = [];
  const addExact = (role: string, id: string): void => void exact.set(role, [...(exact.get(role) ?? []), id]);
  for (const { id, roles } of file.groups) {
    if (roles === undefined) addExact(id, id); // the id is the role, letter by letter, even where it ends in `*`
    for (const role of roles ?? []) {
      if (role.endsWith('*')) prefixes.push({ prefix: role.slice(0, -1), id });
      else addExact(role, id);
    }
  }
  return {
    ids: file.groups.map(({ id }) => id),
    exact,
    prefixes,
    defaults: file.default_groups,
    rejectUnknown: file.unknown_roles === 'reject',
    rejectNone: file.no_groups === 'reject',
  };
}

/** Which rule gives which groups to each role: for people who ask why. */
export function rolesOf(roles: readonly string[], table: GroupTable): { role: string; groups: readonly string[] }[] {
  return roles.map((role) => ({ role, groups: groupsOf(role, table) }));
}

function groupsOf(role: string, table: GroupTable): string[] {
  const byPrefix = table.prefixes.filter(({ prefix }) => role.startsWith(prefix)).map(({ id }) => id);
  return [...(table.exact.get(role) ?? []), ...byPrefix];
}

export function assignGroups(roles: readonly string[], table: GroupTable): Result<readonly string[]> {
  const assigned = new Set(table.defaults);
  let unknown = 0;
  for (const role of roles) {
    const ids = groupsOf(role, table);
    if (ids.length === 0) unknown += 1;
    for (const id of ids) assigned.add(id);
  }
  if (unknown > 0 && table.rejectUnknown) return refuse('role_unknown', { unknown });
  if (assigned.size === 0 && table.rejectNone) return refuse('no_groups', { roles: roles.length });
  return ok(table.ids.filter((id) => assigned.has(id)));
}
