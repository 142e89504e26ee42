/** Two tenants at one real OpenID provider (oidc-provider, the demo's), each a client of its own. */
import { type Idp, openIdp, type Person } from '../../demo/idp.ts';
import { freePort, openGateway, type TenantYaml, type TestGateway } from './gateway.ts';

export const PEOPLE: readonly Person[] = [
  {
    sub: 'ada',
    email: 'ada@acme.example',
    name: 'Ada Admin',
    locale: 'en-GB',
    zoneinfo: 'Europe/London',
    roles: ['BillingAdmin'],
  },
  { sub: 'ben', email: 'ben@acme.example', preferred_username: 'ben', roles: 'chess-club' },
];

export type RealHouse = { readonly gateway: TestGateway; readonly idp: Idp; readonly close: () => Promise<void> };

const SECRET = 'a-secret-of-initech-only/+=';

/** Acme: form_post. Globex: fragment. Initech: code. Ben has no group at any. */
export async function openRealHouse(environment: Record<string, string> = {}): Promise<RealHouse> {
  const port = await freePort();
  const oidc = { issuer: `http://localhost:${port}`, allow_insecure: true };
  const groups = [{ id: 'billing-admins', roles: ['BillingAdmin'] }];
  const tenants: TenantYaml[] = [
    { id: 'acme', slug: 'AcmeCorp', name: 'Acme Corporation', oidc: { ...oidc, client_id: 'gatehouse-acme' }, groups },
    { id: 'globex', oidc: { ...oidc, client_id: 'gatehouse-globex', response_mode: 'fragment' }, groups },
    { id: 'initech', oidc: { ...oidc, client_id: 'gatehouse-initech', flow: 'code', client_secret: SECRET }, groups },
  ];
  const gateway = await openGateway({ tenants, environment });
  const idp = await openIdp({
    port,
    people: PEOPLE,
    clients: ['acme', 'globex', 'initech'].map((id) => ({
      ...(id === 'initech' ? { secret: SECRET } : {}),
      clientId: `gatehouse-${id}`,
      redirectUris: [`${gateway.url}/SSO/OIDC/${id}/Callback`],
      signOutUris: [`${gateway.url}/SSO/OIDC/${id}/SignOut`],
    })),
  });
  return {
    gateway,
    idp,
    async close() {
      await gateway.close();
      await idp.close();
    },
  };
}
