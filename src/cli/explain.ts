/**
 * `gatehouse explain <tenant>`: what a set of claims would give at a tenant: the identity and the groups, or every refusal, with the rule
 * that decided. The same functions as in a sign-in; nothing is signed, stored or asked for.
 */
import type { Environment } from '../config/settings.ts';
import { assignGroups, rolesOf } from '../identity/groups.ts';
import { readPerson } from '../identity/identity.ts';
import { parseJsonObject } from '../kernel/json.ts';
import { REASONS, type Refusal } from '../kernel/refusal.ts';
import { LINK_CLAIMS } from '../sign-in/identify.ts';
import type { Tenant } from '../tenants/tenant.ts';
import { EXIT, type Print, readSettings, readTenant } from './desk.ts';

type Options = { readonly json?: boolean };
type Explained =
  | {
      readonly admitted: true;
      readonly identity: object;
      readonly groups: readonly string[];
      readonly roles: readonly object[];
      readonly dropped: readonly string[];
    }
  | { readonly admitted: false; readonly refusals: readonly object[] };

/** @param input the claims, as JSON @returns the exit code: 1 when they would be refused */
export async function explain(
  id: string,
  options: Options,
  environment: Environment,
  input: Uint8Array,
  print: Print,
): Promise<number> {
  const settings = readSettings(environment, print);
  if (typeof settings === 'number') return settings;
  const tenant = await readTenant(id, settings, environment, print);
  if (typeof tenant === 'number') return tenant;
  const claims = parseJsonObject(input);
  if (claims === undefined) {
    print('Standard input holds no JSON object (or one with a name twice).\n');
    return EXIT.usage;
  }
  const explained = explainClaims(claims, tenant);
  print(options.json ? `${JSON.stringify(explained, null, 2)}\n` : inWords(explained));
  return explained.admitted ? EXIT.done : EXIT.failed;
}

function explainClaims(claims: NonNullable<ReturnType<typeof parseJsonObject>>, tenant: Tenant): Explained {
  const person = readPerson(claims, tenant.oidc ?? LINK_CLAIMS);
  if (!person.ok) return { admitted: false, refusals: person.refusal.map(describe) };
  const { identity, roles, dropped } = person.value;
  const groups = assignGroups(roles, tenant.groups);
  if (!groups.ok) return { admitted: false, refusals: [describe(groups.refusal)] };
  return { admitted: true, identity, groups: groups.value, roles: rolesOf(roles, tenant.groups), dropped };
}

function describe({ reason, evidence }: Refusal): object {
  return { error: REASONS[reason], reason, ...evidence };
}

function inWords(explained: Explained): string {
  if (!explained.admitted)
    return `Refused:\n${explained.refusals.map((refusal) => `  ${JSON.stringify(refusal)}\n`).join('')}`;
  const lines = Object.entries(explained.identity).map(([name, value]) => `  ${name}: ${value ?? '(none)'}\n`);
  const roles = explained.roles.map((role) => `  ${JSON.stringify(role)}\n`);
  const dropped = explained.dropped.length === 0 ? '' : `Dropped, not valid: ${explained.dropped.join(', ')}\n`;
  return `Admitted.\n${lines.join('')}Groups: ${explained.groups.join(', ') || '(none)'}\nRoles:\n${roles.join('') || '  (none)\n'}${dropped}`;
}
