import { randomUUID } from 'node:crypto';
import type { JWK } from 'jose';
import { afterEach, describe, expect, it } from 'vitest';
import type { PresetName } from '../../src/config/presets.ts';
import type { Adversary, Claims } from '../support/adversary.ts';
import { DIRECTORY_ID, DISCOVERY, type Discovery, entraAt } from '../support/discovery-documents.ts';
import type { TenantYaml } from '../support/gateway.ts';
import {
  ACME_CALLBACK,
  type Asked,
  acmeYaml,
  type House,
  openHouse,
  sessionOf,
  signInAtGlobex,
  start,
  validClaims,
} from '../support/house.ts';
import { signExactly } from '../support/senders.ts';
import type { Reply, Visitor } from '../support/visitor.ts';

/** A whole sign-in for each preset, at an IdP that writes its tokens and its discovery document as that provider does. */
const ZITADEL = 'urn:zitadel:iam:org:project:roles';
let house: House;
afterEach(() => house.close());

type Imitation = {
  readonly preset: PresetName;
  readonly claims: Claims;
  readonly oidc?: Record<string, unknown>;
  readonly discovery?: (base: string) => Discovery;
};

const IMITATIONS: readonly Imitation[] = [
  { preset: 'entra', claims: { roles: ['BillingAdmin'], tid: DIRECTORY_ID, oid: 'o', ver: '2.0', sid: 's' } },
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
  { preset: 'adfs', claims: { roles: 'BillingAdmin', auth_time: '2026-01-01T00:00:00.000Z', upn: 'ada@acme.example' } },
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

const pathOf = (url: unknown): string => new URL(String(url)).pathname;

/** @returns the gateway's tenant at this imitation */
function imitate(idp: Adversary, { preset, oidc = {}, discovery = DISCOVERY[preset] }: Imitation): TenantYaml {
  const document = discovery(idp.issuer);
  idp.discovery = document;
  idp.endpoints.set(pathOf(document.jwks_uri), () => ({ body: { keys: idp.keys } }));
  return { preset, issuer: document.issuer, ...oidc };
}

/** One answer of that IdP, for the attempt that the visitor has begun. */
async function answer(visitor: Visitor, { claims }: Pick<Imitation, 'claims'>, asked: Asked): Promise<Reply> {
  const { discovery } = house.acme;
  const whole = validClaims(house.acme, asked, house.gateway.clock, { iss: discovery.issuer, ...claims });
  const id_token = await house.acme.sign(whole);
  const { state } = asked;
  if (asked.url.searchParams.get('response_type') === 'id_token')
    return visitor.post(ACME_CALLBACK, { id_token, state });
  house.acme.endpoints.set(pathOf(discovery.token_endpoint), () => ({
    body: { access_token: 'x', token_type: 'Bearer', id_token },
  }));
  const mode = asked.url.searchParams.get('response_mode') ?? 'query';
  const iss = discovery.authorization_response_iss_parameter_supported ? { iss: String(discovery.issuer) } : {};
  const parameters = { code: 'c', state, ...iss };
  if (mode === 'form_post') return visitor.post(ACME_CALLBACK, parameters);
  return visitor.go(`${ACME_CALLBACK}?${new URLSearchParams(parameters)}`);
}

async function signInAs(imitation: Imitation): Promise<Visitor> {
  house = await openHouse({ acmeOidc: (idp) => imitate(idp, imitation) });
  const visitor = house.visitor();
  await answer(visitor, imitation, await begin(visitor));
  return visitor;
}

/** What was asked for, pushed (RFC 9126) or not. */
async function begin(visitor: Visitor): Promise<Asked> {
  const { endpoints, calls, discovery } = house.acme;
  const par = discovery.pushed_authorization_request_endpoint;
  if (par !== undefined)
    endpoints.set(pathOf(par), () => ({ status: 201, body: { request_uri: 'urn:x:1', expires_in: 60 } }));
  const asked = await start(visitor);
  const pushed = calls.find(({ path }) => par !== undefined && path === pathOf(par));
  if (pushed === undefined) return asked;
  const { form } = pushed;
  const url = new URL(`${asked.url.origin}${asked.url.pathname}?${form}`);
  return { url, state: form.get('state') ?? '', nonce: form.get('nonce') ?? '' };
}

const CODE_TOO = IMITATIONS.filter(({ preset }) => !['cognito', 'gitlab', 'google'].includes(preset)).map((one) => ({
  ...one,
  oidc: { ...one.oidc, flow: 'code', client_secret: 'a-secret-of-acme' },
}));

describe('a sign-in at an IdP that writes as', () => {
  it.each(IMITATIONS)('$preset gives the group, and nothing at the tenant beside it', async (imitation) => {
    const visitor = await signInAs(imitation);
    expect(await sessionOf(visitor)).toMatchObject({ sub: 'ada', groups: ['billing-admins'] });
    expect(await sessionOf(visitor, 'globex')).toBeUndefined();
    await signInAtGlobex(house, visitor);
    expect(await sessionOf(visitor, 'globex')).toMatchObject({ groups: ['invoice-readers'] });
  });

  it.each(CODE_TOO)('$preset gives it by the code flow too', async (imitation) => {
    const visitor = await signInAs(imitation);
    expect(await sessionOf(visitor)).toMatchObject({ sub: 'ada', groups: ['billing-admins'] });
  });
});

describe('signing out goes on to', () => {
  const leave = async (preset: PresetName): Promise<URL> => {
    const imitation = IMITATIONS.find((one) => one.preset === preset);
    if (imitation === undefined) throw new Error('no such imitation');
    const visitor = await signInAs(imitation);
    const reply = await visitor.post('/SSO/OIDC/acme/SignOut', {}, { 'sec-fetch-site': 'same-origin' });
    expect(await sessionOf(visitor)).toBeUndefined();
    return new URL(reply.location);
  };

  it('Cognito’s own address, with its own names', async () => {
    const url = await leave('cognito');
    expect(`${url.origin}${url.pathname}`).toBe(`${house.acme.issuer}/logout`);
    expect(Object.fromEntries(url.searchParams)).toEqual({
      client_id: 'gatehouse-acme',
      logout_uri: `${house.gateway.url}/SSO/OIDC/acme/SignOut`,
    });
  });

  it('what an older PingFederate calls its own', async () => {
    const url = await leave('ping');
    expect(url.pathname).toBe('/idp/startSLO.ping');
    expect(url.searchParams.get('id_token_hint')).toMatch(/^ey/);
  });

  it('our own page where there is no such place', async () => {
    const url = await leave('google');
    expect(url.href).toBe(`${house.gateway.url}/SSO/OIDC/acme/SignOut`);
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
    const claims = {
      iss: house.acme.discovery.issuer,
      aud: 'gatehouse-acme',
      iat,
      jti: randomUUID(),
      sub: 'ada',
      events,
    };
    const body = new URLSearchParams({ logout_token: await house.acme.sign(claims, { typ: 'JWT' }) });
    const reply = await house.visitor().send('/SSO/OIDC/acme/SignOut', { method: 'POST', body });
    expect(reply.status).toBe(200);
    expect(await sessionOf(visitor)).toBeUndefined();
  });

  it('an HS256 token is refused, and the log says which algorithm came and what to do about it', async () => {
    house = await openHouse({ acmeOidc: { preset: 'authentik' } });
    const visitor = house.visitor();
    const asked = await start(visitor);
    const id_token = signExactly(validClaims(house.acme, asked, house.gateway.clock), 'gatehouse-acme-client-secret');
    await visitor.post(ACME_CALLBACK, { id_token, state: asked.state });
    expect(await sessionOf(visitor)).toBeUndefined();
    expect(house.gateway.events('sign_in.refused')).toMatchObject([
      { reason: 'token_algorithm', algorithm: 'HS256', accepted: 'RS256', fix: expect.stringMatching('signing key') },
    ]);
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

  it.each([
    { groups: ['BillingAdmin'], _claim_names: { groups: 'src1' } },
    { groups: [], hasgroups: true },
    { groups: 'BillingAdmin', hasgroups: 'true' },
  ])('some of the roles are not the roles: %j', async (claims) => {
    const visitor = await signInAs({ preset: 'entra', oidc: { claims: { roles: 'groups' } }, claims });
    expect(await sessionOf(visitor)).toBeUndefined();
    expect(house.gateway.events('sign_in.refused')).toMatchObject([{ reason: 'roles_overage' }]);
  });

  it('Entra’s overage may mean: without roles, and the log says so', async () => {
    house = await openHouse({
      acme: { default_groups: ['invoice-readers'] },
      acmeOidc: (idp) =>
        imitate(idp, { preset: 'entra', oidc: { claims: { roles: 'groups' }, roles_overage: 'ignore' }, claims: {} }),
    });
    const visitor = house.visitor();
    await answer(visitor, { claims: { groups: ['BillingAdmin'] } }, await start(visitor));
    expect(await sessionOf(visitor)).toMatchObject({ groups: ['billing-admins', 'invoice-readers'] });
    house.gateway.clock.advance(16 * 60_000);
    await answer(visitor, { claims: { groups: ['BillingAdmin'], hasgroups: true } }, await start(visitor)); // a renewal
    expect(await sessionOf(visitor)).toMatchObject({ groups: ['invoice-readers'] });
    expect(house.gateway.events('claims.dropped')).toMatchObject([{ claim: 'roles' }]);
  });

  it('roles in one text are several only by the tenant’s delimiter', async () => {
    const claims = { roles: undefined, groups: 'nobody; BillingAdmin ;;' };
    expect(await sessionOf(await signInAs({ preset: 'ping', claims }))).toBeUndefined();
    await house.close();
    const visitor = await signInAs({ preset: 'ping', oidc: { roles_delimiter: ';' }, claims });
    expect(await sessionOf(visitor)).toMatchObject({ groups: ['billing-admins'] });
  });
});

/** Entra for several directories: one issuer template, and a list. */
describe('an issuer that stands for several directories', () => {
  const OTHER_ID = '22222222-2222-4222-8222-222222222222';
  const FOREIGN_ID = '33333333-3333-4333-8333-333333333333';
  const issuerOf = (tid: string): string => `${house.acme.issuer}/${tid}/v2.0`;
  const keyOf = (tid: string): JWK => Object.assign({ issuer: issuerOf(tid) }, house.acme.signer.jwk);
  const openDirectories = async (oidc: Record<string, unknown> = {}): Promise<void> => {
    house = await openHouse({
      acmeOidc: (idp) =>
        imitate(idp, {
          preset: 'entra',
          claims: {},
          oidc: { allowed_tids: [DIRECTORY_ID, OTHER_ID], ...oidc },
          discovery: (base) => entraAt(base, 'organizations', `${base}/{tenantid}/v2.0`),
        }),
    });
  };
  const arrive = async (claims: Claims): Promise<Visitor> => {
    const visitor = house.visitor();
    await answer(visitor, { claims }, await start(visitor));
    return visitor;
  };

  it.each([{}, { flow: 'code', client_secret: 'a-secret-of-acme' }])(
    'lets in people of each that is listed, and nobody else: %j',
    async (oidc) => {
      await openDirectories(oidc);
      const [ada, bob, eve] = [
        await arrive({ iss: issuerOf(DIRECTORY_ID), tid: DIRECTORY_ID, sub: 'ada' }),
        await arrive({ iss: issuerOf(OTHER_ID), tid: OTHER_ID, sub: 'bob' }),
        await arrive({ iss: issuerOf(FOREIGN_ID), tid: FOREIGN_ID, sub: 'eve' }),
      ];
      expect(await sessionOf(ada)).toMatchObject({ sub: 'ada' });
      expect(await sessionOf(bob)).toMatchObject({ sub: 'bob' });
      expect(await sessionOf(eve)).toBeUndefined();
      expect(house.gateway.events('sign_in.refused')).toMatchObject([{ reason: 'issuer_mismatch' }]);
      expect(await sessionOf(ada, 'globex')).toBeUndefined();
    },
  );

  it('the template itself is nobody', async () => {
    await openDirectories();
    expect(await sessionOf(await arrive({ iss: issuerOf('{tenantid}'), tid: DIRECTORY_ID }))).toBeUndefined();
  });

  it('a key that is one directory’s is worth nothing for another’s people', async () => {
    await openDirectories();
    house.acme.keys = [keyOf(OTHER_ID)];
    expect(await sessionOf(await arrive({ iss: issuerOf(DIRECTORY_ID), tid: DIRECTORY_ID }))).toBeUndefined();
    expect(await sessionOf(await arrive({ iss: issuerOf(OTHER_ID), tid: OTHER_ID }))).toMatchObject({ sub: 'ada' });
    expect(house.gateway.events('sign_in.refused')).toMatchObject([{ reason: 'token_key_unknown' }]);
  });

  it('a key that is the template’s is for a token whose `tid` and `iss` agree', async () => {
    await openDirectories();
    house.acme.keys = [keyOf('{tenantid}')];
    expect(await sessionOf(await arrive({ iss: issuerOf(DIRECTORY_ID), tid: OTHER_ID }))).toBeUndefined();
    expect(await sessionOf(await arrive({ iss: issuerOf(DIRECTORY_ID), tid: DIRECTORY_ID }))).toMatchObject({
      sub: 'ada',
    });
  });

  it('a key that is another’s signs for nobody else, in the ordinary case too', async () => {
    house = await openHouse({ acmeOidc: (idp) => imitate(idp, { preset: 'entra', claims: {} }) });
    for (const issuer of [issuerOf(OTHER_ID), [issuerOf(DIRECTORY_ID)]]) {
      house.acme.keys = [Object.assign({ issuer }, house.acme.signer.jwk)];
      expect(await sessionOf(await arrive({ tid: DIRECTORY_ID }))).toBeUndefined();
      await house.acme.rotate();
    }
    house.acme.keys = [keyOf(DIRECTORY_ID)];
    expect(await sessionOf(await arrive({ tid: DIRECTORY_ID }))).toMatchObject({ sub: 'ada' });
  });

  it('the app can tell people of two directories apart', async () => {
    await openDirectories();
    const ada = await arrive({ iss: issuerOf(OTHER_ID), tid: OTHER_ID });
    expect(await sessionOf(ada)).toMatchObject({ sub: 'ada', issuer: issuerOf(OTHER_ID) });
  });

  it('a logout token needs no `tid`, and ends the sessions of its own directory', async () => {
    await openDirectories();
    house.acme.keys = [keyOf('{tenantid}')];
    const [one, other] = [
      await arrive({ iss: issuerOf(DIRECTORY_ID), tid: DIRECTORY_ID, sid: 'same' }),
      await arrive({ iss: issuerOf(OTHER_ID), tid: OTHER_ID, sid: 'same' }),
    ];
    const iat = Math.floor(house.gateway.clock.nowMs() / 1000);
    const events = { 'http://schemas.openid.net/event/backchannel-logout': {} };
    const claims = { iss: issuerOf(OTHER_ID), aud: 'gatehouse-acme', iat, exp: iat + 60, jti: randomUUID(), events };
    const body = new URLSearchParams({ logout_token: await house.acme.sign({ ...claims, sid: 'same' }) });
    const reply = await house.visitor().send('/SSO/OIDC/acme/SignOut', { method: 'POST', body });
    expect(reply.status).toBe(200);
    expect(await sessionOf(one)).toMatchObject({ sub: 'ada' });
    expect(await sessionOf(other)).toBeUndefined();
  });

  it('an answer by code may name its directory', async () => {
    await openDirectories({ flow: 'code', client_secret: 'a-secret-of-acme' });
    const visitor = house.visitor();
    const asked = await start(visitor);
    const claims = validClaims(house.acme, asked, house.gateway.clock, { iss: issuerOf(OTHER_ID), tid: OTHER_ID });
    const id_token = await house.acme.sign(claims);
    house.acme.endpoints.set(pathOf(house.acme.discovery.token_endpoint), () => ({
      body: { access_token: 'x', token_type: 'Bearer', id_token },
    }));
    await visitor.post(ACME_CALLBACK, { code: 'c', state: asked.state, iss: issuerOf(OTHER_ID) });
    expect(await sessionOf(visitor)).toMatchObject({ sub: 'ada' });
  });

  it('people of two directories with one `sub` are two people', async () => {
    await openDirectories();
    const [one, other] = [
      await arrive({ iss: issuerOf(DIRECTORY_ID), tid: DIRECTORY_ID, sid: 'one' }),
      await arrive({ iss: issuerOf(OTHER_ID), tid: OTHER_ID, sid: 'other' }),
    ];
    await one.post('/SSO/OIDC/acme/SignOut', { everywhere: '1' }, { 'sec-fetch-site': 'same-origin' });
    expect(await sessionOf(one)).toBeUndefined();
    expect(await sessionOf(other)).toMatchObject({ sub: 'ada' });
    await house.visitor().go('/SSO/OIDC/acme/SignOut?sid=other');
    expect(await sessionOf(other)).toBeUndefined();
  });

  it('an answer that names another listed directory than its token is refused', async () => {
    await openDirectories();
    const visitor = house.visitor();
    const asked = await start(visitor);
    const claims = validClaims(house.acme, asked, house.gateway.clock, { iss: issuerOf(OTHER_ID), tid: OTHER_ID });
    const id_token = await house.acme.sign(claims);
    await visitor.post(ACME_CALLBACK, { id_token, state: asked.state, iss: issuerOf(DIRECTORY_ID) });
    expect(house.gateway.events('sign_in.refused')).toMatchObject([{ reason: 'issuer_parameter_mismatch' }]);
    expect(await sessionOf(visitor)).toBeUndefined();
  });

  it('a directory that leaves the list takes its sessions with it', async () => {
    await openDirectories();
    const bob = await arrive({ iss: issuerOf(OTHER_ID), tid: OTHER_ID, sub: 'bob' });
    const ada = await arrive({ iss: issuerOf(DIRECTORY_ID), tid: DIRECTORY_ID });
    const issuer = issuerOf('{tenantid}');
    const yaml = acmeYaml(house.acme, {}, { preset: 'entra', issuer, allowed_tids: [DIRECTORY_ID] });
    const changed = house.gateway.waitFor('tenant.changed');
    await house.gateway.writeTenant(yaml);
    await changed;
    expect(await sessionOf(bob)).toBeUndefined();
    expect(await sessionOf(ada)).toMatchObject({ sub: 'ada' });
  });
});
