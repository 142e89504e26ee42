/** A connection as a tenant's file gives it when it says no more than it must. */
import { type OidcConfig, tenantFileSchema } from '../../src/config/tenant-file.ts';

export function oidcConfig(oidc: Partial<OidcConfig> & Pick<OidcConfig, 'issuer' | 'client_id'>): OidcConfig {
  const { issuer, client_id } = oidc;
  return { ...tenantFileSchema.parse({ id: 'acme', oidc: { issuer, client_id } }).oidc, ...oidc };
}
