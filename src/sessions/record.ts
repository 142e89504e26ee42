/**
 * What the store holds of a session, and what counts as one when it comes back. A record that is malformed, of another
 * tenant, of another issuer than the tenant's today, or past its end is no session.
 */
import { z } from 'zod';
import { DIALECTS } from '../config/links.ts';
import { issuerOf } from '../connections/links/verify.ts';
import type { ConnectionName } from '../connections/verified-claims.ts';
import type { Identity } from '../identity/identity.ts';
import type { Tenant } from '../tenants/tenant.ts';

const text = z.string().nullable();

const schema = z.object({
  v: z.literal(1),
  tenant: z.string(),
  connection: z.enum(['oidc', ...DIALECTS]),
  issuer: z.string(),
  sub: z.string(),
  email: text,
  name: text,
  preferred_username: text,
  given_name: text,
  family_name: text,
  locale: text,
  zoneinfo: text,
  groups: z.array(z.string()),
  /** the IdP's name for its own session, where it gave one (Back-Channel Logout 2.1) */
  sid: text,
  /** when the IdP made the token that this session stands on, seconds by its clock */
  token_iat: z.number(),
  /** the same of the token that the groups come from, which may be another session's of this person */
  groups_iat: z.number(),
  /** what the browser calls itself, cut short: so that people recognise their sessions */
  user_agent: text,
  /** which signed link opened it, by its digest; null for the IdP's people */
  link: text.default(null),
  /** where the link wants people to be sent when they sign out */
  logout_url: text.default(null),
  /** Issuely's: which project the person came for */
  project_id: text.default(null),
  signed_in_at_ms: z.number(),
  renewed_at_ms: z.number(),
  expires_at_ms: z.number(),
});

export type SessionRecord = Readonly<z.output<typeof schema>>;

const USER_AGENT_MAX_CHARACTERS = 256;

export type SessionFacts = {
  readonly identity: Identity;
  readonly groups: readonly string[];
  readonly connection: ConnectionName;
  readonly issuer: string;
  readonly sid: string | null;
  readonly tokenIat: number;
  readonly userAgent: string | null;
  readonly link?: string;
  readonly logoutUrl?: string | undefined;
  readonly projectId?: string | undefined;
};

export function createRecord(tenant: Tenant, facts: SessionFacts, nowMs: number): SessionRecord {
  return {
    v: 1,
    tenant: tenant.id,
    connection: facts.connection,
    issuer: facts.issuer,
    ...facts.identity,
    groups: [...facts.groups],
    sid: facts.sid,
    token_iat: facts.tokenIat,
    groups_iat: facts.tokenIat,
    user_agent: facts.userAgent?.slice(0, USER_AGENT_MAX_CHARACTERS) ?? null,
    link: facts.link ?? null,
    logout_url: facts.logoutUrl ?? null,
    project_id: facts.projectId ?? null,
    signed_in_at_ms: nowMs,
    renewed_at_ms: nowMs,
    expires_at_ms: nowMs + tenant.session.absolute,
  };
}

/** @returns the record, or `undefined` when `stored` is no session of this tenant now */
export function parseRecord(stored: string, tenant: Tenant, nowMs: number): SessionRecord | undefined {
  let value: unknown;
  try {
    value = JSON.parse(stored);
  } catch {
    return undefined;
  }
  const parsed = schema.safeParse(value);
  if (!parsed.success) return undefined;
  const record = parsed.data;
  const belongsHere = record.tenant === tenant.id && isVouchedFor(record, tenant);
  // a limit that the tenant's file made shorter counts for the sessions that are there
  const endsAtMs = Math.min(record.expires_at_ms, record.signed_in_at_ms + tenant.session.absolute);
  return belongsHere && endsAtMs > nowMs ? { ...record, expires_at_ms: endsAtMs } : undefined;
}

/** By a connection that the tenant has today. */
function isVouchedFor({ connection, issuer }: SessionRecord, { oidc, links }: Tenant): boolean {
  if (connection === 'oidc') return oidc?.issuers.includes(issuer) === true;
  return issuer === issuerOf(connection) && links.some(({ dialect }) => dialect === connection);
}

/** The public form: contract section 5. */
export function sessionJson(record: SessionRecord, { oidc }: Pick<Tenant, 'oidc'>): Record<string, unknown> {
  // of several directories each has its own people: one `sub` may be in two
  const isOfSeveral = record.connection === 'oidc' && oidc?.allowed_tids !== undefined;
  return {
    tenant: record.tenant,
    sub: record.sub,
    email: record.email,
    name: record.name,
    preferred_username: record.preferred_username,
    given_name: record.given_name,
    family_name: record.family_name,
    locale: record.locale,
    zoneinfo: record.zoneinfo,
    groups: record.groups,
    connection: record.connection,
    ...(isOfSeveral ? { issuer: record.issuer } : {}),
    ...(record.project_id === null ? {} : { project_id: record.project_id }),
    signed_in_at: new Date(record.signed_in_at_ms).toISOString(),
    renewed_at: new Date(record.renewed_at_ms).toISOString(),
    expires_at: new Date(record.expires_at_ms).toISOString(),
  };
}
