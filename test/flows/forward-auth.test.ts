import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { promisify } from 'node:util';
import { createLocalJWKSet, type JSONWebKeySet, jwtVerify } from 'jose';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { acmeYaml, askedOf, type House, openHouse, signIn, signInAtGlobex } from '../support/house.ts';
import { NAVIGATION, type Visitor } from '../support/visitor.ts';

const ACCESS = [
  { path: '/admin/**', groups: ['billing-admins'] },
  { path: '/open/**', anonymous: true },
];
const KEY_ONE = 'one-key-of-at-least-thirty-two-bytes';
const KEY_TWO = 'two-key-of-at-least-thirty-two-bytes';

let house: House;
let visitor: Visitor;
beforeAll(async () => {
  house = await openHouse({
    acme: { access: ACCESS },
    environment: { TRUSTED_PROXIES: '127.0.0.1', COOKIE_KEYS: KEY_ONE },
  });
});
afterAll(() => house.close());
beforeEach(async () => {
  visitor = house.visitor();
  await signIn(house, visitor, { claims: { name: 'Ada Ümlaut', roles: ['invoice-readers'] } });
});

const ask = (by: Visitor, headers: Record<string, string>, query = '') => by.send(`/SSO/Auth${query}`, { headers });

describe('forward authentication', () => {
  it.each([
    ['Traefik and Caddy', { 'x-forwarded-uri': '/AcmeCorp/page?x=1', 'x-forwarded-method': 'GET' }],
    ['nginx', { 'x-original-url': 'https://127.0.0.1/AcmeCorp/page?x=1' }],
    ['nginx with a path', { 'x-original-url': '/AcmeCorp/page?x=1' }],
  ])('tells who it is, as %s ask', async (_who, headers) => {
    const reply = await ask(visitor, headers);
    expect(reply.status).toBe(200);
    expect(reply.headers).toMatchObject({
      'x-auth-request-user': 'ada',
      'x-auth-request-email': 'ada@acme.example',
      'x-auth-request-name': 'Ada%20%C3%9Cmlaut',
      'x-auth-request-groups': 'invoice-readers',
      'x-auth-request-tenant': 'acme',
    });
    expect(reply.text).toBe('');
  });

  it('says where to sign in, and comes back to the page', async () => {
    const headers = { 'x-forwarded-uri': '/AcmeCorp/page?x=1' };
    const reply = await ask(house.visitor(), headers);
    expect(reply.status).toBe(401);
    expect(reply.location).toBe(`${house.gateway.url}/SSO/OIDC/acme/SignIn?return_to=%2FAcmeCorp%2Fpage%3Fx%3D1`);
    expect(reply.json()).toMatchObject({ error: 'sign_in_required', sign_in_url: reply.location });
    const redirected = await ask(house.visitor(), headers, '?redirect=1');
    expect(redirected.status).toBe(302);
    expect(redirected.location).toBe(reply.location);
  });

  it('applies the rules of the tenant’s file to the path', async () => {
    const admin = house.visitor();
    await signIn(house, admin, { claims: { sub: 'boss', roles: ['BillingAdmin'] } });
    const headers = { 'x-forwarded-uri': '/AcmeCorp/admin/x' };
    expect((await ask(visitor, headers)).status).toBe(403);
    expect((await ask(visitor, headers)).json().error).toBe('access_denied');
    expect((await ask(admin, headers)).status).toBe(200);
    expect((await ask(house.visitor(), { 'x-forwarded-uri': '/AcmeCorp/open/x' })).status).toBe(401); // never 2xx without an identity
  });

  it('at the tenant URL itself: refused with who one is and another account', async () => {
    const reply = await visitor.go('/AcmeCorp/admin/x');
    expect(reply.status).toBe(403);
    expect(reply.text).toContain('access_denied');
    expect(reply.text).toContain('as Ada Ümlaut');
    expect(reply.text).toContain('switch_account=1');
    expect((await visitor.go('/AcmeCorp/%61dmin/x')).status).toBe(403);
    expect((await visitor.go('/AcmeCorp/page')).status).toBe(200);
  });

  it('takes the tenant by name, and denies what it cannot judge', async () => {
    expect((await ask(visitor, {}, '?tenant=acme')).status).toBe(403); // it has rules, and the path is not told
    expect((await ask(visitor, { 'x-forwarded-uri': '/page' }, '?tenant=acme')).status).toBe(200);
    await signInAtGlobex(house, visitor, { roles: ['invoice-readers'] });
    expect((await ask(visitor, {}, '?tenant=globex')).status).toBe(200);
    expect((await ask(visitor, { 'x-forwarded-uri': '/AcmeCorp/x' }, '?tenant=globex')).status).toBe(401);
  });

  it('sends a navigation to the IdP when the identity is to be asked for again, once', async () => {
    const headers = { 'x-forwarded-uri': '/AcmeCorp/page' };
    house.gateway.clock.advance(16 * 60_000);
    expect((await ask(visitor, headers)).status).toBe(200); // a script
    const reply = await ask(visitor, { ...NAVIGATION, ...headers });
    expect(reply.status).toBe(401);
    const asked = askedOf(await visitor.go(reply.location));
    expect(asked.url.searchParams.get('prompt')).toBe('none');
    expect((await ask(visitor, { ...NAVIGATION, ...headers })).status).toBe(200);
    expect((await visitor.go(reply.location)).location).toBe(`${house.gateway.url}/AcmeCorp/page`);
  });
});

describe('the assertion', () => {
  const keysOf = async (at: House): Promise<JSONWebKeySet> =>
    JSON.parse((await at.visitor().send('/SSO/jwks.json')).text);
  const assertionOf = async (by: Visitor): Promise<string> =>
    String((await ask(by, { 'x-forwarded-uri': '/AcmeCorp/page' })).headers['x-auth-request-assertion']);

  it('can be verified with the published keys, for this tenant, for a minute', async () => {
    const keys = createLocalJWKSet(await keysOf(house));
    const token = await assertionOf(visitor);
    const currentDate = new Date(house.gateway.clock.nowMs());
    const options = { issuer: house.gateway.url, audience: 'acme', algorithms: ['EdDSA'], currentDate };
    const { payload } = await jwtVerify(token, keys, options);
    expect(payload).toMatchObject({
      sub: 'ada',
      tenant: 'acme',
      email: 'ada@acme.example',
      groups: ['invoice-readers'],
    });
    expect((payload.exp ?? 0) - (payload.iat ?? 0)).toBe(60);
    await expect(jwtVerify(token, keys, { ...options, audience: 'globex' })).rejects.toThrow();
    const later = new Date(currentDate.getTime() + 61_000);
    await expect(jwtVerify(token, keys, { ...options, currentDate: later })).rejects.toThrow();
  });

  it('is signed once for many requests, and anew in time and with other groups', async () => {
    const first = await assertionOf(visitor);
    expect(await assertionOf(visitor)).toBe(first);
    house.gateway.clock.advance(26_000);
    const second = await assertionOf(visitor);
    expect(second).not.toBe(first);
    const other = house.visitor();
    await signIn(house, other, { claims: { roles: ['BillingAdmin'] } });
    expect(
      JSON.parse(Buffer.from((await assertionOf(visitor)).split('.')[1] ?? '', 'base64url').toString()).groups,
    ).toEqual(['billing-admins']);
  });

  it('says what the headers say, also when two tokens of one second give different groups', async () => {
    const iat = Math.floor(house.gateway.clock.nowMs() / 1000) + 5;
    const first = house.visitor();
    await signIn(house, first, { claims: { sub: 'two', iat, roles: ['BillingAdmin', 'invoice-readers'] } });
    await assertionOf(first);
    await signIn(house, house.visitor(), { claims: { sub: 'two', iat, roles: ['invoice-readers'] } });
    const reply = await ask(first, { 'x-forwarded-uri': '/AcmeCorp/page' });
    const payload = String(reply.headers['x-auth-request-assertion']).split('.')[1] ?? '';
    expect(reply.headers['x-auth-request-groups']).toBe('invoice-readers');
    expect(JSON.parse(Buffer.from(payload, 'base64url').toString()).groups).toEqual(['invoice-readers']);
  });

  it('has keys that no key document leaks, that survive a restart, and that rotate with overlap', async () => {
    const before = await keysOf(house);
    expect(JSON.stringify(before)).not.toContain('"d"');
    const rotated = await openHouse({ environment: { COOKIE_KEYS: `${KEY_TWO},${KEY_ONE}` } });
    const after = await keysOf(rotated);
    expect(after.keys).toHaveLength(2);
    expect(after.keys[1]).toEqual(before.keys[0]);
    await rotated.close();
  });
});

describe('the README’s own lines verify it', () => {
  it('in Python, with PyJWT', async () => {
    const readme = await readFile(resolve(import.meta.dirname, '../../README.md'), 'utf8');
    const lines = readme.split('```').find((block) => block.includes('# Python, with PyJWT')) ?? '';
    const fresh = await openHouse({ environment: { TRUSTED_PROXIES: '127.0.0.1' } }); // whose time is the real one
    const person = fresh.visitor();
    await signIn(fresh, person, { claims: { roles: ['invoice-readers'] } });
    const assertion = (await ask(person, { 'x-forwarded-uri': '/AcmeCorp/page' })).headers['x-auth-request-assertion'];
    const program = [
      'import jwt, json, sys',
      'from jwt import PyJWKClient',
      'assertion = sys.argv[1]',
      lines.slice(lines.indexOf('\n') + 1).replaceAll('https://login.example.com', fresh.gateway.url),
      'print(json.dumps(person))',
    ].join('\n');
    const python = (token: string) => promisify(execFile)('/usr/bin/python3', ['-c', program, token]);
    const { stdout } = await python(String(assertion));
    expect(JSON.parse(stdout)).toMatchObject({ sub: 'ada', tenant: 'acme', groups: ['invoice-readers'] });
    const [head, , signature] = String(assertion).split('.');
    const forged = Buffer.from(JSON.stringify({ ...JSON.parse(stdout), sub: 'boss' })).toString('base64url');
    await expect(python(`${head}.${forged}.${signature}`)).rejects.toThrow('InvalidSignatureError');
    await fresh.close();
  });
});

describe('methods', () => {
  it('are any for a trusted proxy, since Envoy asks with the method of the request', async () => {
    const headers = { 'x-forwarded-uri': '/AcmeCorp/page' };
    expect((await visitor.send('/SSO/Auth', { method: 'POST', headers })).status).toBe(200);
    expect((await house.visitor().send('/SSO/Auth', { method: 'DELETE', headers })).status).toBe(401);
    const appended = '/SSO/Auth?redirect=1&asked=/AcmeCorp/page?tenant=globex&redirect=0';
    expect((await visitor.send(appended, { headers })).status).toBe(200);
    expect((await house.visitor().send(appended, { headers })).status).toBe(302);
  });

  it('are GET and HEAD for everybody else', async () => {
    const plain = await openHouse();
    const reply = await plain.visitor().send('/SSO/Auth?tenant=acme', { method: 'POST' });
    expect(reply.status).toBe(405);
    expect(reply.headers.allow).toBe('GET, HEAD');
    await plain.close();
  });
});

describe('who is no trusted proxy', () => {
  it('tells nothing about what was asked for', async () => {
    const plain = await openHouse({ acme: { access: ACCESS } });
    const person = plain.visitor();
    await signIn(plain, person);
    expect((await ask(person, { 'x-forwarded-uri': '/AcmeCorp/page' })).status).toBe(401);
    expect((await ask(person, { 'x-forwarded-uri': '/page' }, '?tenant=acme')).status).toBe(403);
    await plain.gateway.writeTenant(acmeYaml(plain.acme));
    await plain.gateway.waitFor('tenant.changed');
    expect((await ask(person, {}, '?tenant=acme')).status).toBe(200);
    await plain.close();
  });
});
