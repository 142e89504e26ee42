/**
 * What the app is told of a person, as headers. One value for each name; what is not printable ASCII is percent-encoded UTF-8, so
 * that no value can end a header or begin another.
 */
export type ToldOf = {
  readonly tenant: string;
  readonly sub: string;
  readonly email: string | null;
  readonly name: string | null;
  readonly preferred_username: string | null;
  readonly groups: readonly string[];
  /** Issuely's project, for people who came by such a link */
  readonly project_id?: string | null;
};

export function identityHeaders(person: ToldOf): Record<string, string> {
  const told: Readonly<Record<string, string | null>> = {
    'X-Auth-Request-User': person.sub,
    'X-Auth-Request-Email': person.email,
    'X-Auth-Request-Preferred-Username': person.preferred_username,
    'X-Auth-Request-Name': person.name,
    'X-Auth-Request-Groups': person.groups.join(','),
    'X-Auth-Request-Tenant': person.tenant,
    'X-Auth-Request-Project': person.project_id ?? null,
  };
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(told)) if (value !== null) headers[name] = headerValue(value);
  return headers;
}

/** As it is when it can be; otherwise every byte that cannot, and `%` itself, as `%XX`. */
function headerValue(value: string): string {
  if (/^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/.test(value) || value === '') return value;
  return value
    .toWellFormed()
    .replace(/[^\x21-\x24\x26-\x7e]/gu, (character) => (character === ' ' ? '%20' : encodeURIComponent(character)));
}
