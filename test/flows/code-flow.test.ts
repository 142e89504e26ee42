import { createHash, generateKeyPairSync } from 'node:crypto';
import { createLocalJWKSet, exportJWK, generateKeyPair, jwtVerify } from 'jose';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Answer, Call, Claims } from '../support/adversary.ts';
import {
  ACME_CALLBACK,
  type Asked,
  askedOf,
  type House,
  openHouse,
  sessionOf,
  start,
  validClaims,
} from '../support/house.ts';
import type { Reply, Visitor } from '../support/visitor.ts';

/** The code flow against an IdP that answers as each test wants: Acme by code, Globex by the implicit flow beside it. */
const SECRET = 's3cret+/:%& é';
const PAIR = generateKeyPairSync('ec', { namedCurve: 'P-384' });
const KEY = JSON.stringify(PAIR.privateKey.export({ format: 'jwk' }));
const PUBLIC_KEY = JSON.stringify(PAIR.publicKey.export({ format: 'jwk' }));
const X25519_KEY = JSON.stringify(generateKeyPairSync('x25519').privateKey.export({ format: 'jwk' }));
let house: House;
let visitor: Visitor;

async function open(oidc: Record<string, unknown> = {}, discovery: Record<string, unknown> = {}): Promise<void> {
  house = await openHouse({ acmeOidc: { flow: 'code', client_secret: SECRET, ...oidc } });
  Object.assign(house.acme.discovery, { token_endpoint: `${house.acme.issuer}/token`, ...discovery });
  visitor = house.visitor();
}
beforeEach(() => open());
afterEach(() => house.close());

/** The token endpoint of this attempt. */
function answerWith(asked: Asked, claims: Claims = {}, more: Record<string, unknown> = {}): void {
  house.acme.endpoints.set('/token', async (): Promise<Answer> => {
    const id_token = await house.acme.sign(validClaims(house.acme, asked, house.gateway.clock, claims));
    return { body: { access_token: 'the-access-token', token_type: 'Bearer', expires_in: 60, id_token, ...more } };
  });
}

const comeBack = (asked: Asked, more: Record<string, string> = {}): Promise<Reply> =>
  visitor.post(ACME_CALLBACK, { code: 'the-code', state: asked.state, ...more });

const tokenCalls = (): Call[] => house.acme.calls.filter(({ path }) => path === '/token');

describe('a sign-in by code', () => {
  it('asks with PKCE, state and nonce, redeems the code with them, and signs in', async () => {
    const asked = await start(visitor, '/AcmeCorp/x');
    const query = asked.url.searchParams;
    expect(Object.fromEntries(query)).toMatchObject({
      response_type: 'code',
      response_mode: 'form_post',
      client_id: 'gatehouse-acme',
      code_challenge_method: 'S256',
      redirect_uri: `${house.gateway.url}${ACME_CALLBACK}`,
    });
    expect(asked.nonce).toMatch(/^[\w-]{22,43}$/);
    answerWith(asked);
    const reply = await comeBack(asked);
    expect(reply.status).toBe(303);
    expect(reply.location).toBe(`${house.gateway.url}/AcmeCorp/x`);
    expect(await sessionOf(visitor)).toMatchObject({
      sub: 'ada',
      connection: 'oidc',
      groups: ['billing-admins', 'invoice-readers'],
    });
    const [call] = tokenCalls();
    expect(Object.fromEntries(call?.form ?? [])).toMatchObject({
      grant_type: 'authorization_code',
      code: 'the-code',
      redirect_uri: `${house.gateway.url}${ACME_CALLBACK}`,
    });
    const verifier = call?.form.get('code_verifier') ?? '';
    expect(createHash('sha256').update(verifier).digest('base64url')).toBe(query.get('code_challenge'));
    expect(verifier).toMatch(/^[\w-]{43}$/);
    for (const secret of ['the-code', 'the-access-token', verifier, SECRET, asked.state, asked.nonce])
      expect(house.gateway.logText()).not.toContain(secret);
  });

  it('two attempts have nothing in common', async () => {
    const [one, other] = [await start(visitor), await start(visitor)];
    for (const name of ['code_challenge', 'state', 'nonce'])
      expect(one.url.searchParams.get(name)).not.toBe(other.url.searchParams.get(name));
  });

  it('redeems a code once, however often the answer comes at the same time', async () => {
    const asked = await start(visitor);
    answerWith(asked);
    const cookies = new Map(visitor.cookies);
    const replies = await Promise.all(
      Array.from({ length: 10 }, async () => {
        const tab = house.visitor();
        for (const [name, value] of cookies) tab.cookies.set(name, value);
        await tab.post(ACME_CALLBACK, { code: 'the-code', state: asked.state });
        return sessionOf(tab);
      }),
    );
    expect(replies.filter((session) => session !== undefined)).toHaveLength(1);
    expect(tokenCalls()).toHaveLength(1);
  });

  it('is renewed silently by a round trip where the IdP gave no refresh token', async () => {
    const asked = await start(visitor);
    answerWith(asked);
    await comeBack(asked);
    house.gateway.clock.advance(15 * 60_000 + 1_000);
    const again = askedOf(await visitor.go('/AcmeCorp'));
    expect(again.url.searchParams.get('prompt')).toBe('none');
    expect(again.url.searchParams.get('response_type')).toBe('code');
    answerWith(again, { roles: ['invoice-readers'] });
    await comeBack(again);
    expect(await sessionOf(visitor)).toMatchObject({ groups: ['invoice-readers'] });
  });
});

describe('the client proves itself', () => {
  const proof = async (): Promise<Call> => {
    const asked = await start(visitor);
    answerWith(asked);
    expect((await comeBack(asked)).status).toBe(303);
    expect(await sessionOf(visitor)).toBeDefined();
    const [call] = tokenCalls();
    if (call === undefined) throw new Error('the token endpoint was not asked');
    return call;
  };

  it('by Basic, with name and secret form-encoded (RFC 6749 section 2.3.1)', async () => {
    const { authorization = '', form } = await proof();
    const parts = Buffer.from(authorization.slice('Basic '.length), 'base64').toString().split(':');
    const decoded = parts.map((part) => decodeURIComponent(part.replaceAll('+', ' ')));
    expect(decoded).toEqual(['gatehouse-acme', SECRET]);
    expect(parts[1]).toMatch(/^[\w.%+-]+$/);
    expect(form.has('client_secret')).toBe(false);
  });

  it('by POST where the IdP knows only that', async () => {
    house.acme.discovery.token_endpoint_auth_methods_supported = ['client_secret_post'];
    const { authorization, form } = await proof();
    expect(authorization).toBeUndefined();
    expect(form.get('client_secret')).toBe(SECRET);
  });

  it('by a signed assertion with its own key', async () => {
    await house.close();
    const { privateKey, publicKey } = await generateKeyPair('ES256', { extractable: true });
    const jwk = { ...(await exportJWK(privateKey)), kid: 'key-1' };
    await open({ client_secret: undefined, client_key: JSON.stringify(jwk) });
    const { form, authorization } = await proof();
    expect(authorization).toBeUndefined();
    expect(form.get('client_assertion_type')).toBe('urn:ietf:params:oauth:client-assertion-type:jwt-bearer');
    const keys = createLocalJWKSet({ keys: [{ ...(await exportJWK(publicKey)), kid: 'key-1', alg: 'ES256' }] });
    const { payload } = await jwtVerify(form.get('client_assertion') ?? '', keys, { clockTolerance: 60 });
    expect(payload).toMatchObject({ iss: 'gatehouse-acme', sub: 'gatehouse-acme' });
    expect(payload.jti).toBeDefined();
    expect(house.gateway.logText()).not.toContain(jwk.d);
  });

  it('by a key that does not say which algorithm it is for: its curve does', async () => {
    await house.close();
    await open({ client_secret: undefined, client_key: KEY });
    const { form } = await proof();
    const { payload } = await jwtVerify(form.get('client_assertion') ?? '', PAIR.publicKey, {
      algorithms: ['ES384'],
      clockTolerance: 60,
    });
    expect(payload.sub).toBe('gatehouse-acme');
  });

  it('by PKCE alone where it has no secret', async () => {
    await house.close();
    await open({ client_secret: undefined });
    const { authorization, form } = await proof();
    expect(authorization).toBeUndefined();
    expect(form.get('client_id')).toBe('gatehouse-acme');
    expect(form.get('code_verifier')).toBeTruthy();
  });
});

describe('the token endpoint answers with (ID tokens: both-flows.test.ts)', () => {
  it.each<[string, Answer, number, string]>([
    ['a refusal of the code', { status: 400, body: { error: 'invalid_grant' } }, 403, 'idp_refused'],
    ['a refusal of the client', { status: 401, body: { error: 'invalid_client' } }, 403, 'idp_refused'],
    ['an outage', { status: 500, body: '<html>' }, 503, 'idp_unavailable'],
    ['too many questions', { status: 429, body: { error: 'too_many_requests' } }, 503, 'idp_unavailable'],
    ['not now', { status: 400, body: { error: 'temporarily_unavailable' } }, 503, 'idp_unavailable'],
    ['nonsense', { body: '<html>' }, 503, 'idp_unavailable'],
    [
      'an ID token twice',
      { body: '{"access_token":"x","token_type":"Bearer","id_token":"a","id_token":"b"}' },
      503,
      'idp_unavailable',
    ],
    ['no ID token', { body: { access_token: 'x', token_type: 'Bearer' } }, 400, 'token_invalid'],
    ['far too much', { body: { access_token: 'x'.repeat(2_000_000), token_type: 'Bearer' } }, 503, 'idp_unavailable'],
  ])('%s', async (_what, answer, status, error) => {
    const asked = await start(visitor);
    house.acme.endpoints.set('/token', () => answer);
    const reply = await visitor.send(ACME_CALLBACK, form(asked));
    expect({ status: reply.status, ...reply.json() }).toMatchObject({ status, error });
    expect(await sessionOf(visitor)).toBeUndefined();
  });

  const form = (asked: Asked) => ({
    method: 'POST',
    body: new URLSearchParams({ code: 'the-code', state: asked.state }),
  });
});

describe('mix-up (RFC 9207, RFC 9700 section 4.4)', () => {
  const refusals = (from: number) => house.gateway.log.slice(from).filter(({ event }) => event === 'sign_in.refused');

  it.each<[string, Record<string, string>, string]>([
    ['another issuer names itself', { iss: 'https://evil.example' }, 'issuer_parameter_mismatch'],
    ['an ID token comes along', { id_token: 'a.b.c' }, 'parameter_unexpected'],
    ['an access token comes along', { access_token: 'x' }, 'parameter_unexpected'],
    ['an error comes along', { error: 'access_denied' }, 'parameters_contradictory'],
  ])('%s: no code leaves the house', async (_what, more, reason) => {
    const asked = await start(visitor);
    answerWith(asked);
    const from = house.gateway.log.length;
    await comeBack(asked, more);
    expect(refusals(from)).toMatchObject([{ reason }]);
    expect(tokenCalls()).toEqual([]);
  });

  it('an IdP that always names itself must', async () => {
    house.acme.discovery.authorization_response_iss_parameter_supported = true;
    const asked = await start(visitor);
    answerWith(asked);
    const from = house.gateway.log.length;
    await comeBack(asked);
    expect(refusals(from)).toMatchObject([{ reason: 'issuer_parameter_missing' }]);
    expect(tokenCalls()).toEqual([]);
    const again = await start(visitor);
    answerWith(again);
    expect((await comeBack(again, { iss: house.acme.issuer })).status).toBe(303);
    expect(await sessionOf(visitor)).toBeDefined();
  });

  it('an ID token instead of a code, and a code at a tenant that never asked for one', async () => {
    const asked = await start(visitor);
    const id_token = await house.acme.sign(validClaims(house.acme, asked, house.gateway.clock));
    const from = house.gateway.log.length;
    await visitor.post(ACME_CALLBACK, { id_token, state: asked.state });
    expect(refusals(from)).toMatchObject([{ reason: 'parameters_missing' }]);
    expect(await sessionOf(visitor)).toBeUndefined();
    const globex = await start(visitor, '/globex');
    const reply = await visitor.send('/SSO/OIDC/globex/Callback', {
      method: 'POST',
      body: new URLSearchParams({ code: 'x', state: globex.state, response_mode: 'fragment' }),
    });
    expect(reply.json()).toMatchObject({ error: 'response_invalid' });
  });

  it('an answer in another mode', async () => {
    const asked = await start(visitor);
    answerWith(asked);
    const reply = await visitor.send(`${ACME_CALLBACK}?code=the-code&state=${asked.state}`);
    expect(reply.json()).toMatchObject({ error: 'response_invalid' });
    expect(tokenCalls()).toEqual([]);
  });

  it('another browser’s answer', async () => {
    const asked = await start(visitor);
    answerWith(asked);
    visitor = house.visitor();
    await comeBack(asked);
    expect(tokenCalls()).toEqual([]);
  });
});

describe('an IdP that cannot, or will not know us', () => {
  it.each<[string, Answer]>([
    ['too many questions', { status: 429, body: { error: 'slow_down' } }],
    ['a secret that has expired', { status: 401, body: { error: 'invalid_client' } }],
  ])('%s at a renewal signs nobody out', async (_what, answer) => {
    const asked = await start(visitor);
    answerWith(asked);
    await comeBack(asked);
    house.gateway.clock.advance(15 * 60_000 + 1_000);
    const again = askedOf(await visitor.go('/AcmeCorp'));
    house.acme.endpoints.set('/token', () => answer);
    await comeBack(again);
    expect(await sessionOf(visitor)).toMatchObject({ sub: 'ada' });
  });

  it('many people come back at once: none waits for another', async () => {
    const asked = await Promise.all(
      Array.from({ length: 60 }, async () => {
        const person = house.visitor();
        return { person, asked: await start(person) };
      }),
    );
    house.acme.endpoints.set('/token', async ({ form }) => {
      await new Promise((resolve) => setTimeout(resolve, 300));
      const mine = asked.find(({ asked: one }) => one.state === form.get('code'));
      const id_token = await house.acme.sign(
        validClaims(house.acme, mine?.asked ?? (await start(visitor)), house.gateway.clock),
      );
      return { body: { access_token: 'x', token_type: 'Bearer', id_token } };
    });
    const replies = await Promise.all(
      asked.map(({ person, asked: { state } }) => person.post(ACME_CALLBACK, { code: state, state })),
    );
    expect(new Set(replies.map(({ status }) => status))).toEqual(new Set([303]));
  });

  it('without a token endpoint nobody is sent there', async () => {
    house.acme.discovery.token_endpoint = undefined;
    expect((await visitor.go('/AcmeCorp')).status).toBe(503);
  });

  it('a tenant’s file that moves to another IdP: what the one gave does not reach the other', async () => {
    const asked = await start(visitor);
    const { acmeYaml } = await import('../support/house.ts');
    house.globex.discovery.token_endpoint = `${house.globex.issuer}/token`;
    await house.gateway.writeTenant(acmeYaml(house.globex, {}, { flow: 'code', client_secret: SECRET }));
    await house.gateway.waitFor('tenant.changed');
    const reply = await comeBack(asked);
    expect(reply.status).toBe(303); // a new start, at the other
    expect(reply.location).toContain(house.globex.issuer);
    expect(house.globex.calls).toEqual([]);
  });
});

describe('UserInfo', () => {
  const withUserInfo = async (claims: Claims, answer: Answer): Promise<Reply> => {
    house.acme.discovery.userinfo_endpoint = `${house.acme.issuer}/userinfo`;
    house.acme.endpoints.set('/userinfo', () => answer);
    const asked = await start(visitor);
    answerWith(asked, claims);
    return visitor.send(ACME_CALLBACK, {
      method: 'POST',
      body: new URLSearchParams({ code: 'c', state: asked.state }),
    });
  };
  const userInfoCalls = (): Call[] => house.acme.calls.filter(({ path }) => path === '/userinfo');

  it('says what the ID token does not, and nothing that it does', async () => {
    const body = { sub: 'ada', email: 'info@acme.example', name: 'From UserInfo', roles: ['BillingAdmin'] };
    await withUserInfo({ email: undefined, roles: undefined }, { body });
    expect(await sessionOf(visitor)).toMatchObject({
      email: 'info@acme.example',
      name: 'Ada Admin',
      groups: ['billing-admins'],
    });
    expect(userInfoCalls()).toMatchObject([{ authorization: 'Bearer the-access-token' }]);
  });

  it('fills what is null, and what is nested, and says nothing of the protocol', async () => {
    await house.close();
    await open({ claims: { roles: ['resource_access', 'gatehouse', 'roles'] } });
    const there = { account: { roles: ['manage-account'] } };
    const body = {
      sub: 'ada',
      sid: 'of-userinfo',
      email: 'i@x.example',
      resource_access: { gatehouse: { roles: ['BillingAdmin'] } },
    };
    await withUserInfo({ email: null, roles: undefined, resource_access: there }, { body });
    expect(await sessionOf(visitor)).toMatchObject({ email: 'i@x.example', groups: ['billing-admins'] });
    const iss = encodeURIComponent(house.acme.issuer);
    await house.visitor().go(`/SSO/OIDC/acme/SignOut?iss=${iss}&sid=of-userinfo`);
    expect(await sessionOf(visitor)).toBeDefined();
  });

  it('is not asked where nothing is missing', async () => {
    await withUserInfo({}, { body: { sub: 'ada', roles: ['BillingAdmin'] } });
    expect(await sessionOf(visitor)).toBeDefined();
    expect(userInfoCalls()).toEqual([]);
  });

  it.each<[string, Answer, string]>([
    [
      'of somebody else is not used',
      { body: { sub: 'boss', email: 'b@x.example', roles: ['BillingAdmin'] } },
      'token_invalid',
    ],
    ['without a sub is not used', { body: { email: 'b@x.example', roles: ['BillingAdmin'] } }, 'token_invalid'],
    ['that cannot be had is an outage', { status: 500, body: '' }, 'idp_unavailable'],
  ])('%s', async (_what, answer, error) => {
    expect((await withUserInfo({ roles: undefined }, answer)).json()).toMatchObject({ error });
    expect(await sessionOf(visitor)).toBeUndefined();
  });
});

describe('renewal by refresh token', () => {
  const DUE_MS = 15 * 60_000 + 1_000;
  let issued: number;
  /** An IdP that rotates: each refresh token is good once. */
  async function signInWithRefresh(): Promise<Asked> {
    issued = 0;
    const asked = await start(visitor);
    answerWith(asked, {}, { refresh_token: 'refresh-0' });
    await comeBack(asked);
    return asked;
  }
  function refreshWith(asked: Asked, claims: Claims = {}, more: Record<string, unknown> = {}): void {
    house.acme.endpoints.set('/token', async ({ form }): Promise<Answer> => {
      if (form.get('refresh_token') !== `refresh-${issued}`) return { status: 400, body: { error: 'invalid_grant' } };
      issued += 1;
      const id_token = await house.acme.sign(
        validClaims(house.acme, asked, house.gateway.clock, { nonce: undefined, ...claims }),
      );
      return {
        body: { access_token: 'again', token_type: 'Bearer', id_token, refresh_token: `refresh-${issued}`, ...more },
      };
    });
  }
  const refreshes = (): Call[] => tokenCalls().filter(({ form }) => form.get('grant_type') === 'refresh_token');

  it('asks the IdP without the browser, for any request, and applies the roles; again with the next token', async () => {
    const asked = await signInWithRefresh();
    for (const roles of [['invoice-readers'], ['BillingAdmin']]) {
      refreshWith(asked, { roles });
      house.gateway.clock.advance(DUE_MS);
      const reply = await visitor.send('/AcmeCorp'); // no navigation
      expect(reply.status).toBe(200);
      expect((await sessionOf(visitor))?.groups).toEqual(
        roles.map((role) => (role === 'BillingAdmin' ? 'billing-admins' : role)),
      );
    }
    expect(refreshes().map(({ form }) => form.get('refresh_token'))).toEqual(['refresh-0', 'refresh-1']);
    expect(refreshes()[0]?.authorization).toMatch(/^Basic /);
    await visitor.go('/AcmeCorp');
    expect(refreshes()).toHaveLength(2); // not due
    for (const secret of ['refresh-0', 'refresh-1', 'refresh-2']) expect(house.gateway.logText()).not.toContain(secret);
  });

  it('HEAD and OPTIONS change nothing', async () => {
    const asked = await signInWithRefresh();
    refreshWith(asked, { roles: ['invoice-readers'] });
    house.gateway.clock.advance(DUE_MS);
    for (const method of ['HEAD', 'OPTIONS']) await visitor.send('/AcmeCorp', { method });
    await visitor.send('/SSO/Auth?tenant=acme', { method: 'HEAD' });
    expect(refreshes()).toEqual([]);
    expect(await sessionOf(visitor)).toMatchObject({ groups: ['billing-admins', 'invoice-readers'] });
  });

  it('twenty requests at once make one', async () => {
    const asked = await signInWithRefresh();
    refreshWith(asked);
    house.gateway.clock.advance(DUE_MS);
    const replies = await Promise.all(Array.from({ length: 20 }, () => visitor.go('/AcmeCorp')));
    expect(new Set(replies.map(({ status }) => status))).toEqual(new Set([200]));
    expect(refreshes()).toHaveLength(1);
  });

  it('serves forward authentication too', async () => {
    const asked = await signInWithRefresh();
    refreshWith(asked, { roles: ['invoice-readers'] });
    house.gateway.clock.advance(DUE_MS);
    const reply = await visitor.send('/SSO/Auth?tenant=acme');
    expect(reply.status).toBe(200);
    expect(reply.headers['x-auth-request-groups']).toBe('invoice-readers');
  });

  it.each<[string, Claims]>([
    ['another person', { sub: 'boss' }],
    ['no group any more', { roles: ['chess'] }],
  ])('%s ends the session', async (_what, claims) => {
    const asked = await signInWithRefresh();
    refreshWith(asked, claims);
    house.gateway.clock.advance(DUE_MS);
    expect((await visitor.send('/AcmeCorp')).status).toBe(401);
    expect(await sessionOf(visitor)).toBeUndefined();
  });

  it.each<[string, Claims]>([
    ['of another client', { aud: 'somebody' }],
    ['of another issuer', { iss: 'https://evil.example' }],
    ['with another nonce', { nonce: 'other' }],
    ['that is over', { exp: 1 }],
  ])('a token %s changes nothing', async (_what, claims) => {
    const asked = await signInWithRefresh();
    refreshWith(asked, { roles: [], ...claims });
    house.gateway.clock.advance(DUE_MS);
    expect((await visitor.send('/AcmeCorp')).status).toBe(200);
    expect(await sessionOf(visitor)).toMatchObject({ groups: ['billing-admins', 'invoice-readers'] });
  });

  it('a refusal ends the session, an outage does not, and is tried again', async () => {
    const asked = await signInWithRefresh();
    house.acme.endpoints.set('/token', () => ({ status: 503, body: '' }));
    house.gateway.clock.advance(DUE_MS);
    expect((await visitor.go('/AcmeCorp')).status).toBe(200);
    expect((await visitor.go('/AcmeCorp')).status).toBe(200);
    expect(refreshes()).toHaveLength(1);
    house.gateway.clock.advance(31_000);
    refreshWith(asked, { roles: ['invoice-readers'] });
    await visitor.go('/AcmeCorp');
    expect(await sessionOf(visitor)).toMatchObject({ groups: ['invoice-readers'] });
    house.gateway.clock.advance(DUE_MS);
    house.acme.endpoints.set('/token', () => ({ status: 400, body: { error: 'invalid_grant' } }));
    expect((await visitor.send('/AcmeCorp')).status).toBe(401);
    expect(house.gateway.events('renewal.failed').at(-1)).toMatchObject({
      reason: 'invalid_grant',
      session_ended: true,
    });
  });

  it('a token that does not hold costs nothing: the next one is kept all the same', async () => {
    const asked = await signInWithRefresh();
    refreshWith(asked, { aud: 'another-client' });
    house.gateway.clock.advance(DUE_MS);
    await visitor.send('/AcmeCorp');
    house.gateway.clock.advance(31_000);
    refreshWith(asked, { roles: ['invoice-readers'] });
    await visitor.send('/AcmeCorp');
    expect(refreshes().map(({ form }) => form.get('refresh_token'))).toEqual(['refresh-0', 'refresh-1']);
    expect(await sessionOf(visitor)).toMatchObject({ groups: ['invoice-readers'] });
  });

  it('ends the session of who should have signed in anew (`max_age`)', async () => {
    await house.close();
    await open({ max_age: 600 });
    const auth_time = Math.floor(house.gateway.clock.nowMs() / 1000);
    issued = 0;
    const asked = await start(visitor);
    answerWith(asked, { auth_time }, { refresh_token: 'refresh-0' });
    await comeBack(asked);
    refreshWith(asked, { auth_time });
    house.gateway.clock.advance(DUE_MS);
    expect((await visitor.send('/AcmeCorp')).status).toBe(401);
    expect(house.gateway.events('renewal.failed').at(-1)).toMatchObject({
      reason: 'auth_time_too_old',
      session_ended: true,
    });
  });

  it('without an ID token UserInfo says who it is and with which roles', async () => {
    house.acme.discovery.userinfo_endpoint = `${house.acme.issuer}/userinfo`;
    const asked = await signInWithRefresh();
    refreshWith(asked, {}, { id_token: undefined });
    const body = { sub: 'ada', email: 'ada@acme.example', name: 'Ada', roles: ['invoice-readers'] };
    house.acme.endpoints.set('/userinfo', () => ({ body }));
    house.gateway.clock.advance(DUE_MS);
    await visitor.send('/AcmeCorp');
    expect(await sessionOf(visitor)).toMatchObject({ groups: ['invoice-readers'] });
    house.acme.endpoints.set('/userinfo', () => ({ body: { ...body, sub: 'boss', roles: ['BillingAdmin'] } }));
    house.gateway.clock.advance(DUE_MS);
    await visitor.send('/AcmeCorp');
    expect((await sessionOf(visitor))?.groups ?? []).not.toContain('billing-admins');
  });

  it('a logout that comes in meanwhile wins', async () => {
    const asked = await signInWithRefresh();
    refreshWith(asked);
    const refresh = house.acme.endpoints.get('/token');
    const other = house.visitor();
    for (const [name, value] of visitor.cookies) other.cookies.set(name, value);
    house.acme.endpoints.set('/token', async (call) => {
      await other.post('/SSO/OIDC/acme/SignOut', {}, { 'sec-fetch-site': 'same-origin' });
      return (await refresh?.(call)) ?? { body: {} };
    });
    house.gateway.clock.advance(DUE_MS);
    expect((await visitor.send('/AcmeCorp')).status).toBe(401);
    expect(await sessionOf(visitor)).toBeUndefined();
  });

  it('a sign-out revokes the token where the IdP offers it', async () => {
    house.acme.discovery.revocation_endpoint = `${house.acme.issuer}/revoke`;
    const revoked = new Promise<Call>((resolve) => {
      house.acme.endpoints.set('/revoke', (call) => {
        resolve(call);
        return { body: {} };
      });
    });
    await signInWithRefresh();
    await visitor.post('/SSO/OIDC/acme/SignOut', {}, { 'sec-fetch-site': 'same-origin' });
    expect(Object.fromEntries((await revoked).form)).toMatchObject({
      token: 'refresh-0',
      token_type_hint: 'refresh_token',
    });
  });
});

describe('pushed requests (RFC 9126)', () => {
  it('are used where the IdP offers them: the browser carries a reference and nothing else', async () => {
    house.acme.discovery.pushed_authorization_request_endpoint = `${house.acme.issuer}/par`;
    house.acme.endpoints.set('/par', () => ({ status: 201, body: { request_uri: 'urn:x:1', expires_in: 60 } }));
    const reply = await visitor.go('/AcmeCorp');
    const url = new URL(reply.location);
    expect(Object.fromEntries(url.searchParams)).toEqual({ client_id: 'gatehouse-acme', request_uri: 'urn:x:1' });
    const [pushed] = house.acme.calls;
    expect(pushed?.path).toBe('/par');
    expect(pushed?.authorization).toMatch(/^Basic /);
    const { state = '', nonce = '', code_challenge } = Object.fromEntries(pushed?.form ?? []);
    expect(code_challenge).toMatch(/^[\w-]{43}$/);
    const asked = { state, nonce, url: new URL(`${house.acme.issuer}/authorize?client_id=gatehouse-acme`) };
    answerWith(asked);
    await comeBack(asked);
    expect(await sessionOf(visitor)).toBeDefined();
  });

  it('that are refused are told as that, and nothing is begun', async () => {
    house.acme.discovery.pushed_authorization_request_endpoint = `${house.acme.issuer}/par`;
    house.acme.endpoints.set('/par', () => ({ status: 400, body: { error: 'invalid_request' } }));
    const reply = await visitor.go('/AcmeCorp');
    expect(reply.status).toBe(403);
    expect(house.gateway.log.find(({ event }) => event === 'sign_in.refused')).toMatchObject({
      error: 'idp_refused',
      idp_error: 'invalid_request',
      where: 'pushed request endpoint',
    });
    expect(reply.setCookies).toEqual([]);
  });
});

describe('a tenant’s file', () => {
  it('with a preset that answers by the query', async () => {
    await house.close();
    await open({ flow: undefined, preset: 'gitlab' });
    const asked = await start(visitor);
    expect(asked.url.searchParams.get('response_type')).toBe('code');
    expect(asked.url.searchParams.has('response_mode')).toBe(false);
    answerWith(asked, { roles: undefined, groups_direct: ['BillingAdmin'] });
    const reply = await visitor.go(`${ACME_CALLBACK}?code=the-code&state=${asked.state}`);
    expect(reply.location).toBe(`${house.gateway.url}/AcmeCorp`);
    expect(await sessionOf(visitor)).toMatchObject({ groups: ['billing-admins'] });
  });

  it.each([
    ['a secret and a key', { client_key: KEY }],
    ['a key that is none', { client_secret: undefined, client_key: '{}' }],
    ['a key that signs nothing here', { client_secret: undefined, client_key: X25519_KEY }],
    ['half a key', { client_secret: undefined, client_key: '{"kty":"EC","d":"x"}' }],
    ['a public key', { client_secret: undefined, client_key: PUBLIC_KEY }],
    ['a symmetric key', { client_secret: undefined, client_key: '{"kty":"oct","k":"AAAA","d":"x"}' }],
    ['a secret where nothing asks for one', { flow: 'implicit' }],
  ])('with %s is wrong', async (_what, oidc) => {
    const { acmeYaml } = await import('../support/house.ts');
    await house.gateway.writeTenant(acmeYaml(house.acme, {}, { flow: 'code', client_secret: SECRET, ...oidc }));
    const line = await house.gateway.waitFor('tenant.refused');
    expect(JSON.stringify(line)).not.toContain(SECRET);
  });
});
