import { randomUUID } from 'node:crypto';
import { afterEach, describe, expect, it } from 'vitest';
import type { PresetName } from '../../src/config/presets.ts';
import type { Claims } from '../support/adversary.ts';
import {
  ACME_CALLBACK,
  type House,
  openHouse,
  sessionOf,
  signInAtGlobex,
  start,
  validClaims,
} from '../support/house.ts';
import type { Visitor } from '../support/visitor.ts';

/** A whole sign-in for each preset, at an IdP that writes its tokens and its discovery document as that provider does. */
const ZITADEL = 'urn:zitadel:iam:org:project:roles';
let house: House;
afterEach(() => house.close());

type Imitation = {
  readonly preset: PresetName;
  readonly claims: Claims;
  readonly oidc?: Record<string, unknown>;
  readonly discovery?: Record<string, unknown>;
};

const IMITATIONS: readonly Imitation[] = [
  {
    preset: 'entra',
    claims: { roles: ['BillingAdmin'], tid: 't', oid: 'o', ver: '2.0', sid: 's' },
    discovery: { response_modes_supported: ['query', 'fragment', 'form_post'] },
  },
  { preset: 'okta', claims: { roles: undefined, groups: ['Everyone', 'BillingAdmin'], ver: 1 } },
  {
    preset: 'auth0',
    oidc: { claims: { roles: 'https://acme.example/roles' } },
    claims: { roles: undefined, 'https://acme.example/roles': ['BillingAdmin'] },
  },
  {
    preset: 'keycloak',
    claims: {
      roles: undefined,
      realm_access: { roles: ['offline_access', 'BillingAdmin'] },
      typ: 'ID',
      azp: 'gatehouse-acme',
    },
  },
  {
    preset: 'adfs',
    claims: { roles: 'BillingAdmin', auth_time: '2026-01-01T00:00:00.000Z', upn: 'ada@acme.example' },
    discovery: { access_token_issuer: 'http://adfs/adfs/services/trust' },
  },
  { preset: 'google', claims: { roles: undefined, hd: 'BillingAdmin' } },
  { preset: 'ping', claims: { roles: undefined, groups: 'BillingAdmin' } },
  {
    preset: 'zitadel',
    oidc: { trusted_audiences: ['project-1', 'other-client'] },
    claims: {
      roles: undefined,
      aud: ['gatehouse-acme', 'other-client', 'project-1'],
      azp: 'gatehouse-acme',
      [ZITADEL]: { BillingAdmin: { 1: 'a.example' } },
    },
  },
  { preset: 'authentik', claims: { roles: undefined, groups: ['BillingAdmin'], email_verified: false } },
  {
    preset: 'cognito',
    claims: { roles: undefined, 'cognito:groups': ['BillingAdmin'], token_use: 'id', 'cognito:username': 'ada' },
  },
  { preset: 'gitlab', claims: { roles: undefined, groups_direct: ['BillingAdmin'], sub_legacy: 'x' } },
];

async function signInAs({ preset, claims, oidc = {}, discovery = {} }: Imitation): Promise<Visitor> {
  house = await openHouse({ acmeOidc: { preset, ...oidc } });
  Object.assign(house.acme.discovery, discovery, { token_endpoint: `${house.acme.issuer}/token` });
  const visitor = house.visitor();
  const asked = await start(visitor);
  const id_token = await house.acme.sign(validClaims(house.acme, asked, house.gateway.clock, claims));
  const { state } = asked;
  if (asked.url.searchParams.get('response_type') === 'id_token') {
    await visitor.post(ACME_CALLBACK, { id_token, state });
    return visitor;
  }
  house.acme.endpoints.set('/token', () => ({ body: { access_token: 'x', token_type: 'Bearer', id_token } }));
  await visitor.go(`${ACME_CALLBACK}?code=c&state=${state}`);
  return visitor;
}

describe('a sign-in at an IdP that writes as', () => {
  it.each(IMITATIONS)('$preset gives the group, and nothing at the tenant beside it', async (imitation) => {
    const visitor = await signInAs(imitation);
    expect(await sessionOf(visitor)).toMatchObject({ sub: 'ada', groups: ['billing-admins'] });
    expect(await sessionOf(visitor, 'globex')).toBeUndefined();
    await signInAtGlobex(house, visitor);
    expect(await sessionOf(visitor, 'globex')).toMatchObject({ groups: ['invoice-readers'] });
  });
});

describe('quirks', () => {
  it('Entra ends a session by `sid` alone', async () => {
    const visitor = await signInAs({ preset: 'entra', claims: { sid: 'entra-sid' } });
    await house.visitor().go('/SSO/OIDC/acme/SignOut?sid=entra-sid');
    expect(await sessionOf(visitor)).toBeUndefined();
  });

  it('authentik’s logout tokens have no `exp`', async () => {
    const visitor = await signInAs({ preset: 'authentik', claims: { roles: undefined, groups: ['BillingAdmin'] } });
    const iat = Math.floor(house.gateway.clock.nowMs() / 1000);
    const events = { 'http://schemas.openid.net/event/backchannel-logout': {} };
    const claims = { iss: house.acme.issuer, aud: 'gatehouse-acme', iat, jti: randomUUID(), sub: 'ada', events };
    const body = new URLSearchParams({ logout_token: await house.acme.sign(claims, { typ: 'JWT' }) });
    const reply = await house.visitor().send('/SSO/OIDC/acme/SignOut', { method: 'POST', body });
    expect(reply.status).toBe(200);
    expect(await sessionOf(visitor)).toBeUndefined();
  });

  it('an HS256 token is refused, and the log says which algorithm came', async () => {
    house = await openHouse({ acmeOidc: { preset: 'authentik' } });
    const visitor = house.visitor();
    const asked = await start(visitor);
    const { signExactly } = await import('../support/senders.ts');
    const id_token = signExactly(validClaims(house.acme, asked, house.gateway.clock), 'gatehouse-acme-client-secret');
    await visitor.post(ACME_CALLBACK, { id_token, state: asked.state });
    expect(await sessionOf(visitor)).toBeUndefined();
    expect(house.gateway.events('sign_in.refused')).toMatchObject([{ reason: 'token_algorithm', algorithm: 'HS256' }]);
  });

  it('Entra’s overage is told as that', async () => {
    const claims = {
      roles: undefined,
      _claim_names: { groups: 'src1' },
      _claim_sources: { src1: { endpoint: 'https://graph.example' } },
    };
    const visitor = await signInAs({ preset: 'entra', oidc: { claims: { roles: 'groups' } }, claims });
    expect(await sessionOf(visitor)).toBeUndefined();
    expect(house.gateway.events('sign_in.refused')).toMatchObject([
      { error: 'claims_invalid', reason: 'roles_overage' },
    ]);
  });
});
