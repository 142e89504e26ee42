/** Verified claims -> the person and their groups at a tenant, with what has to be told to the operator on the way. */
import type { VerifiedClaims } from '../connections/verified-claims.ts';
import { assignGroups } from '../identity/groups.ts';
import { type ClaimRules, type Identity, readPerson } from '../identity/identity.ts';
import { member } from '../kernel/json.ts';
import type { Refusal } from '../kernel/refusal.ts';
import { ok, type Result } from '../kernel/result.ts';
import type { Tenant } from '../tenants/tenant.ts';

export type Identified = {
  readonly identity: Identity;
  readonly groups: readonly string[];
  readonly sid: string | null;
  /** claims that were not valid and not needed */
  readonly dropped: readonly string[];
};

export type Unidentified = {
  readonly refusal: Refusal;
  /** who it is, where that much is known: somebody who lost the last group is still somebody */
  readonly identity: Identity | undefined;
};

/** A dialect has looked at what it requires; the rest may be absent. */
export const LINK_CLAIMS: ClaimRules = {
  claims: { roles: ['roles'], email: ['email'] },
  optional_claims: ['email', 'roles', 'name'],
};

export function identify(verified: VerifiedClaims, tenant: Tenant): Result<Identified, Unidentified> {
  const rules = verified.connection === 'oidc' ? tenant.oidc : LINK_CLAIMS;
  if (rules === undefined) throw new Error('this tenant has no such connection');
  const person = readPerson(verified.claims, rules);
  if (!person.ok) return { ok: false, refusal: { refusal: combine(person.refusal), identity: undefined } };
  const { identity, roles, dropped } = person.value;
  const groups = assignGroups(roles, tenant.groups);
  if (!groups.ok) return { ok: false, refusal: { refusal: groups.refusal, identity } };
  const sid = member(verified.claims, 'sid');
  return ok({ identity, groups: groups.value, sid: typeof sid === 'string' ? sid : null, dropped });
}

/** Several claims may be wrong; the log names them all. */
function combine(refusals: readonly Refusal[]): Refusal {
  const [first = { reason: 'claim_malformed' as const }] = refusals;
  const claims = refusals.map(({ reason, evidence }) => `${evidence?.claim}: ${reason}`).join(', ');
  return { ...first, evidence: { ...first.evidence, claims } };
}
