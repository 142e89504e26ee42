/**
 * Who is served. A whole that is never changed, only replaced: a request that began with one sees it to its end.
 * Disabled tenants are not in it, so they are as unknown as any misspelt name.
 */
import type { OidcConfig } from '../config/oidc.ts';
import type { TenantFile } from '../config/tenant-file.ts';
import { createTenant, type Site, sitesOf, type Tenant } from './tenant.ts';

/** First segments that the gateway answers itself, on every host. */
export const GATEWAY_SEGMENTS: ReadonlySet<string> = new Set(['SSO', 'livez', 'readyz']);

export type Place = { readonly tenant: Tenant; readonly site: Site };
/** Of a tenant that has an OpenID Connect connection. */
export type OidcPlace = Place & { readonly tenant: Tenant & { readonly oidc: OidcConfig } };

export function hasOidc(place: Place): place is OidcPlace {
  return place.tenant.oidc !== undefined;
}

export type Registry = {
  /** By the id of a protocol URL, exactly. On a tenant's own host no other tenant exists. */
  readonly byId: (id: string, host: string) => Place | undefined;
  /**
   * By the first segment of a path as it was sent: decoded once, whatever its case; on a tenant's own host every path is
   * its own, but the gateway's.
   */
  readonly byPath: (segment: string, host: string) => Place | undefined;
  /** Whether a path's first segment is some tenant's slug. */
  readonly isSlug: (segment: string) => boolean;
  /** By the name that Issuely gives a company. On a tenant's own host no other tenant exists. */
  readonly byCompany: (companyId: string, host: string) => Place | undefined;
  readonly tenants: () => readonly Tenant[];
  /** Puts other tenants in force. A file that stayed the same keeps its tenant. */
  readonly replace: (files: readonly TenantFile[]) => void;
};

type Snapshot = {
  readonly byId: ReadonlyMap<string, Tenant>;
  readonly bySlug: ReadonlyMap<string, Tenant>;
  readonly byHost: ReadonlyMap<string, Tenant>;
  readonly byCompany: ReadonlyMap<string, Tenant>;
};

export function createRegistry(publicUrl: URL): Registry {
  let snapshot: Snapshot = { byId: new Map(), bySlug: new Map(), byHost: new Map(), byCompany: new Map() };
  /** one for each of a tenant's sites, in their order */
  const places = new WeakMap<Tenant, readonly Place[]>();
  let built = new Map<TenantFile, Tenant>();

  function place(tenant: Tenant | undefined, host: string): Place | undefined {
    if (tenant === undefined) return undefined;
    const own = snapshot.byHost.get(host);
    if (own !== undefined && own !== tenant) return undefined;
    return placesOf(tenant)[own === undefined ? 0 : 1 + tenant.hosts.indexOf(host)];
  }

  function placesOf(tenant: Tenant): readonly Place[] {
    const known = places.get(tenant);
    if (known !== undefined) return known;
    const all = sitesOf(tenant, publicUrl).map((site) => ({ tenant, site }));
    places.set(tenant, all);
    return all;
  }

  return {
    byId: (id, host) => place(snapshot.byId.get(id), host),
    byPath: (segment, host) => place(snapshot.byHost.get(host) ?? snapshot.bySlug.get(slugOf(segment)), host),
    byCompany: (companyId, host) => place(snapshot.byCompany.get(companyId), host),
    isSlug: (segment) => snapshot.bySlug.has(slugOf(segment)),
    tenants: () => [...snapshot.byId.values()],
    replace(files) {
      const next = new Map<TenantFile, Tenant>();
      for (const file of files) if (file.enabled) next.set(file, built.get(file) ?? createTenant(file));
      const tenants = [...next.values()];
      built = next;
      snapshot = {
        byId: new Map(tenants.map((tenant) => [tenant.id, tenant])),
        bySlug: new Map(tenants.map((tenant) => [tenant.slug.toLowerCase(), tenant])),
        byHost: new Map(tenants.flatMap((tenant) => tenant.hosts.map((host) => [host, tenant]))),
        byCompany: new Map(tenants.flatMap((tenant) => companiesOf(tenant).map((company) => [company, tenant]))),
      };
    },
  };
}

function companiesOf({ links }: Tenant): string[] {
  return links.flatMap((link) => (link.dialect === 'issuely' ? link.company_id : []));
}

/** Whether the gateway answers what begins so; however it is encoded, so that no app is reached by such a path. */
export function isGatewaySegment(segment: string): boolean {
  return GATEWAY_SEGMENTS.has(decode(segment) ?? '');
}

/** What a path's first segment stands for; an empty text, which is nobody's slug, for one that is not percent-encoded UTF-8. */
export function slugOf(segment: string): string {
  return decode(segment)?.toLowerCase() ?? '';
}

function decode(segment: string): string | undefined {
  if (!segment.includes('%')) return segment;
  try {
    return decodeURIComponent(segment);
  } catch {
    return undefined;
  }
}
