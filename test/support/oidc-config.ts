/** A connection as a tenant's file gives it when it says no more than it must. */
import type { OidcConfig } from '../../src/config/oidc.ts';
import { tenantFileSchema } from '../../src/config/tenant-file.ts';

export function oidcConfig(oidc: Partial<OidcConfig> & Pick<OidcConfig, 'issuer' | 'client_id'>): OidcConfig {
  const { issuer, client_id } = oidc;
  const { oidc: parsed } = tenantFileSchema.parse({ id: 'acme', oidc: { issuer, client_id } });
  if (parsed === undefined) throw new Error('it is there');
  return { ...parsed, ...oidc };
}
