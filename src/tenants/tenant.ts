/**
 * A tenant, frozen and ready to serve: its file, with everything worked out that requests need. The addresses are built
 * from PUBLIC_URL and the tenant's own hosts, never from a request.
 */
import type { LinkConfig } from '../config/links.ts';
import type { OidcConfig } from '../config/oidc.ts';
import type { TenantFile } from '../config/tenant-file.ts';
import { createGroupTable, type GroupTable } from '../identity/groups.ts';

export type Tenant = {
  readonly id: string;
  readonly slug: string;
  readonly name: string;
  readonly hosts: readonly string[];
  /** absent: people come by signed links only */
  readonly oidc: OidcConfig | undefined;
  readonly links: readonly LinkConfig[];
  readonly groups: GroupTable;
  readonly access: TenantFile['access'];
  readonly upstream: TenantFile['upstream'];
  readonly session: TenantFile['session'];
  readonly signOut: TenantFile['sign_out'];
  readonly branding: TenantFile['branding'];
  /** the name of this tenant's session cookie, on whatever host */
  readonly sessionCookie: string;
};

/**
 * Where a tenant is reached: `origin` without a slash at the end (`scheme` and `host` are its parts, `host` with the port), and what
 * stands before its own paths (`/AcmeCorp`, or nothing on a host of its own).
 */
export type Site = {
  readonly origin: string;
  readonly scheme: string;
  readonly host: string;
  readonly prefix: string;
};

export function createTenant(file: TenantFile): Tenant {
  return Object.freeze({
    id: file.id,
    slug: file.slug ?? file.id,
    name: file.name ?? file.slug ?? file.id,
    hosts: file.hosts,
    oidc: file.oidc && Object.freeze(file.oidc),
    links: Object.freeze(file.links),
    groups: createGroupTable(file),
    access: file.access,
    upstream: file.upstream,
    session: file.session,
    signOut: file.sign_out,
    branding: file.branding,
    sessionCookie: `__Host-gatehouse-session-${file.id}`,
  });
}

/** Every site of a tenant, that of PUBLIC_URL first. */
export function sitesOf(tenant: Pick<Tenant, 'slug' | 'hosts'>, publicUrl: URL): Site[] {
  const port = publicUrl.port === '' ? '' : `:${publicUrl.port}`;
  const scheme = publicUrl.protocol.slice(0, -1);
  const at = (host: string, prefix: string): Site => ({ origin: `${scheme}://${host}`, scheme, host, prefix });
  return [at(publicUrl.host, `/${tenant.slug}`), ...tenant.hosts.map((host) => at(`${host}${port}`, ''))];
}

/** The gateway's own addresses for one tenant at one of its sites: contract section 3. */
export const urls = {
  home: (site: Site): string => `${site.origin}${site.prefix || '/'}`,
  signIn: (tenant: Pick<Tenant, 'id'>, site: Site, parameters: Readonly<Record<string, string>> = {}): string =>
    `${site.origin}/SSO/OIDC/${tenant.id}/SignIn${query(parameters)}`,
  callback: (tenant: Pick<Tenant, 'id'>, site: Site): string => `${site.origin}/SSO/OIDC/${tenant.id}/Callback`,
  signOut: (tenant: Pick<Tenant, 'id'>, site: Site): string => `${site.origin}/SSO/OIDC/${tenant.id}/SignOut`,
  link: (tenant: Pick<Tenant, 'id'>, site: Site, parameters: Readonly<Record<string, string>> = {}): string =>
    `${site.origin}/SSO/Link/${tenant.id}${query(parameters)}`,
  account: (tenant: Pick<Tenant, 'id'>, site: Site): string => `${site.origin}/SSO/Account/${tenant.id}`,
};

function query(parameters: Readonly<Record<string, string>>): string {
  const text = new URLSearchParams(parameters).toString();
  return text === '' ? '' : `?${text}`;
}
