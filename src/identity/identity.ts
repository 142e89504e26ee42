/**
 * Verified claims -> who the person is. Pure. Missing or malformed required claims are refusals, all of them at once;
 * `locale` and `zoneinfo` are dropped when they are not what they should be (contract section 4).
 */
import { isJsonObject, type JsonObject, member, memberAt } from '../kernel/json.ts';
import type { Refusal } from '../kernel/refusal.ts';
import { ok, type Result, refuse } from '../kernel/result.ts';
import { isEmail } from './email.ts';

export type Identity = {
  /** unique together with the issuer, and the only thing a person is known by (Core 5.7) */
  readonly sub: string;
  readonly email: string | null;
  readonly name: string | null;
  readonly preferred_username: string | null;
  readonly given_name: string | null;
  readonly family_name: string | null;
  /** BCP 47 */
  readonly locale: string | null;
  /** IANA time zone */
  readonly zoneinfo: string | null;
};

export type Person = {
  readonly identity: Identity;
  readonly roles: readonly string[];
  /** claims that were there, not valid, and not needed */
  readonly dropped: readonly string[];
};

/** Where the tenant's IdP puts what, and what it may leave out. */
export type ClaimRules = {
  readonly claims: { readonly roles: readonly string[]; readonly email: readonly string[] };
  readonly optional_claims: readonly ('email' | 'roles' | 'name')[];
  /** `keys`: an object, or a list of such, whose names are the roles (Zitadel) */
  readonly roles_shape?: 'values' | 'keys';
  /** between the roles of one text; without it a text is one role */
  readonly roles_delimiter?: string | null;
  /** when there are more than the token holds: refuse, or go on without any */
  readonly roles_overage?: 'reject' | 'ignore';
};

const TEXT_MAX_CHARACTERS = 1_024;
const ROLES_MAX = 1_000;
const ROLE_MAX_CHARACTERS = 256;

/** @param claims that have been verified, or that somebody wants explained */
export function readPerson(claims: JsonObject, rules: ClaimRules): Result<Person, readonly Refusal[]> {
  const refusals: Refusal[] = [];
  const dropped: string[] = [];
  const isOptional = (name: 'email' | 'roles' | 'name'): boolean => rules.optional_claims.includes(name);

  function take<T>(result: Result<T>): T | null {
    if (result.ok) return result.value;
    refusals.push(result.refusal);
    return null;
  }

  function keepIf(name: string, isValid: (value: string) => boolean): string | null {
    const value = member(claims, name);
    if (isAbsent(value)) return null;
    if (typeof value === 'string' && isValid(value)) return value;
    dropped.push(name);
    return null;
  }

  const sub = take(readSub(member(claims, 'sub')));
  const email = take(readEmail(memberAt(claims, rules.claims.email), isOptional('email')));
  const isOver = isOverage(claims, rules);
  const goesOnWithout = isOver && rules.roles_overage === 'ignore';
  if (goesOnWithout) dropped.push('roles');
  const sentRoles = goesOnWithout ? [] : rolesAsSent(memberAt(claims, rules.claims.roles), rules);
  const roles = take(
    isOver && !goesOnWithout ? refuse('roles_overage', { claim: 'roles' }) : readRoles(sentRoles, isOptional('roles')),
  );
  const sentName = take(readText('name', member(claims, 'name')));
  const sentUsername = take(readText('preferred_username', member(claims, 'preferred_username')));
  const name = sentName ?? sentUsername;
  if (name === null && !isOptional('name') && !refusals.some(({ evidence }) => isNameClaim(evidence?.claim)))
    refusals.push({ reason: 'claim_missing', evidence: { claim: 'name' } });
  const givenName = take(readText('given_name', member(claims, 'given_name')));
  const familyName = take(readText('family_name', member(claims, 'family_name')));
  const locale = keepIf('locale', isLanguageTag);
  const zoneinfo = keepIf('zoneinfo', isTimeZone);
  if (refusals.length > 0 || sub === null || roles === null) return { ok: false, refusal: refusals };
  const identity: Identity = {
    sub,
    email,
    name,
    preferred_username: sentUsername ?? name,
    given_name: givenName ?? name,
    family_name: familyName ?? name,
    locale,
    zoneinfo,
  };
  return ok({ identity, roles, dropped });
}

/** `null` is not a value (Core 13.3). */
function isAbsent(value: unknown): value is null | undefined {
  return value === undefined || value === null;
}

/** Core 2: at most 255 ASCII characters; those that cannot be printed have no business in an identifier. */
function readSub(value: unknown): Result<string> {
  if (isAbsent(value)) return refuse('claim_missing', { claim: 'sub' });
  if (typeof value === 'string' && /^[\x20-\x7e]{1,255}$/.test(value)) return ok(value);
  return refuse('claim_malformed', { claim: 'sub' });
}

function readEmail(value: unknown, optional: boolean): Result<string | null> {
  if (isAbsent(value)) return optional ? ok(null) : refuse('claim_missing', { claim: 'email' });
  return typeof value === 'string' && isEmail(value) ? ok(value) : refuse('claim_malformed', { claim: 'email' });
}

/** An empty text is as good as none; anything but text, or text with control characters, is malformed. */
function readText(claim: string, value: unknown): Result<string | null> {
  if (isAbsent(value) || value === '') return ok(null);
  const isText = typeof value === 'string' && value.length <= TEXT_MAX_CHARACTERS && !/\p{Cc}/u.test(value);
  return isText ? ok(value) : refuse('claim_malformed', { claim });
}

/** One string counts as a list of one; nothing is split, folded or normalised; doubles and empty ones go. */
function readRoles(value: unknown, optional: boolean): Result<readonly string[]> {
  if (isAbsent(value)) return optional ? ok([]) : refuse('claim_missing', { claim: 'roles' });
  const sent: unknown[] | undefined = typeof value === 'string' ? [value] : Array.isArray(value) ? value : undefined;
  if (sent === undefined) return refuse('claim_malformed', { claim: 'roles', expected: 'an array of strings' });
  if (sent.length > ROLES_MAX) return refuse('claim_malformed', { claim: 'roles', count: sent.length });
  const roles = sent.filter((role) => typeof role === 'string');
  if (roles.length < sent.length) return refuse('claim_malformed', { claim: 'roles', expected: 'strings only' });
  const longest = roles.reduce((most, role) => Math.max(most, role.length), 0);
  if (longest > ROLE_MAX_CHARACTERS) return refuse('claim_malformed', { claim: 'roles', longest });
  return ok([...new Set(roles)].filter((role) => role !== ''));
}

/** An object whose names are the roles, or a list of such; a text with the tenant's delimiter. Anything else stays what it is, and is judged as such. */
function rolesAsSent(value: unknown, { roles_shape: shape, roles_delimiter: delimiter }: ClaimRules): unknown {
  if (typeof value === 'string' && delimiter)
    return value.split(delimiter).map((role) => role.replace(/^[ \t]+|[ \t]+$/g, ''));
  if (shape !== 'keys') return value;
  if (isJsonObject(value)) return Object.keys(value);
  return Array.isArray(value) && value.every(isJsonObject) ? value.flatMap((one) => Object.keys(one)) : value;
}

/**
 * More groups than fit: the token says only where to ask for them (Core 5.6.2; Entra sends six at most in the implicit flow). Those that
 * came with such a mark are some of them, and some are not what the IdP says.
 */
function isOverage(claims: JsonObject, { claims: paths }: ClaimRules): boolean {
  const elsewhere = member(claims, '_claim_names');
  const [name = ''] = paths.roles;
  const marks: unknown[] = [true, 'true'];
  return (
    (isJsonObject(elsewhere) && Object.hasOwn(elsewhere, name)) ||
    (name === 'groups' && marks.includes(member(claims, 'hasgroups')))
  );
}

function isNameClaim(claim: unknown): boolean {
  return claim === 'name' || claim === 'preferred_username';
}

function isLanguageTag(value: string): boolean {
  try {
    return value.length <= 64 && Intl.getCanonicalLocales(value).length === 1;
  } catch {
    return false;
  }
}

/** Zones by name only: an offset such as `+01:00` is accepted by Intl and is no IANA zone. */
function isTimeZone(value: string): boolean {
  if (!/^[A-Za-z][A-Za-z0-9_+/-]{0,63}$/.test(value)) return false;
  const known = knownZones.get(value);
  if (known !== undefined) return known;
  let valid = true;
  try {
    new Intl.DateTimeFormat('en', { timeZone: value });
  } catch {
    valid = false;
  }
  if (knownZones.size < KNOWN_ZONES_MAX) knownZones.set(value, valid);
  return valid;
}

/** Intl takes about 20 µs for a zone; there are about 600. */
const knownZones = new Map<string, boolean>();
const KNOWN_ZONES_MAX = 2_000;
