import { afterEach, describe, expect, it } from 'vitest';
import { networksOf, parseAddress } from '../../src/edge/address.ts';
import { ACME_CALLBACK, type House, openHouse, sessionOf, signIn, signInAtGlobex, start } from '../support/house.ts';
import { openReplicas } from '../support/replicas.ts';
import type { Visitor } from '../support/visitor.ts';

/** How often one may: 429 with `Retry-After`, and nobody else’s matter. */
const FEW = { per_address: 3, per_tenant: 5 };
let house: House;
let close: () => Promise<void> = async () => {};
afterEach(async () => {
  await close();
  close = async () => {};
});

async function open(limits: Record<string, object>): Promise<void> {
  house = await openHouse({ gatewayYaml: { limits }, environment: { TRUSTED_PROXIES: '127.0.0.1' } });
  close = house.close;
}
/** Somebody out there, as the proxy in front tells it. */
function visitorAt(address = '203.0.113.9', at: House = house): Visitor {
  const visitor = at.visitor();
  const send = visitor.send.bind(visitor);
  visitor.send = (path, sending = {}) =>
    send(path, { ...sending, headers: { 'x-forwarded-for': address, ...sending.headers } });
  return visitor;
}
const from = (address: string) => ({ headers: { 'x-forwarded-for': address } });

describe('sign-ins', () => {
  it('of one address are limited at one tenant: 429, when to come again, and a page', async () => {
    await open({ sign_in: FEW });
    for (let times = 0; times < 3; times++) await start(visitorAt());
    const reply = await visitorAt().go('/AcmeCorp');
    expect(reply.status).toBe(429);
    expect(Number(reply.headers['retry-after'])).toBeGreaterThan(0);
    expect(Number(reply.headers['retry-after'])).toBeLessThanOrEqual(60);
    expect(reply.text).toContain('rate_limited');
    expect(reply.setCookies).toEqual([]);
    expect(house.gateway.events('sign_in.refused')).toMatchObject([
      { tenant: 'acme', error: 'rate_limited', reason: 'rate_limited', limit: 'sign_in.per_address' },
    ]);
    expect((await visitorAt().go('/SSO/OIDC/acme/SignIn')).status).toBe(429);
    const visitor = visitorAt();
    await signInAtGlobex(house, visitor);
    expect(await sessionOf(visitor, 'globex')).toMatchObject({ sub: 'ada' });
  });

  it('of another address go on, until the tenant’s own limit; what an address was refused does not count', async () => {
    await open({ sign_in: FEW });
    const visitor = visitorAt();
    for (let times = 0; times < 10; times++) await visitor.go('/AcmeCorp', from('203.0.113.1'));
    const others = ['203.0.113.2', '203.0.113.3', '203.0.113.4'].map((one) => visitor.go('/AcmeCorp', from(one)));
    const statuses = (await Promise.all(others)).map(({ status }) => status).sort();
    expect(statuses).toEqual([303, 303, 429]);
    expect(house.gateway.events('sign_in.refused').at(-1)).toMatchObject({ limit: 'sign_in.per_tenant' });
    expect((await visitor.go('/globex', from('203.0.113.1'))).status).toBe(303);
  });

  it('are the business of nobody who is signed in', async () => {
    await open({ sign_in: { per_address: 1 } });
    const visitor = visitorAt();
    await signIn(house, visitor);
    for (let times = 0; times < 5; times++) expect((await visitor.go('/AcmeCorp')).status).toBe(200);
    house.gateway.clock.advance(16 * 60_000);
    const renewed = await visitor.go('/AcmeCorp'); // nor is their renewal
    expect(new URL(renewed.location).searchParams.get('prompt')).toBe('none');
  });

  it('have no limit where it is 0, and a network of IPv6 is one address', async () => {
    await open({ sign_in: { per_address: 1, per_tenant: 0 } });
    expect((await visitorAt().go('/AcmeCorp', from('2001:db8:1:2::1'))).status).toBe(303);
    expect((await visitorAt().go('/AcmeCorp', from('2001:db8:1:2:ffff::9'))).status).toBe(429);
    expect((await visitorAt().go('/AcmeCorp', from('2001:db8:1:3::1'))).status).toBe(303);
    await house.close();
    await open({ sign_in: { per_address: 0, per_tenant: 0 } });
    for (let times = 0; times < 10; times++) expect((await visitorAt().go('/AcmeCorp')).status).toBe(303);
  });
});

describe('answers, links and orders to sign out', () => {
  it('are limited by themselves', async () => {
    await open({ callback: { per_address: 3 } });
    for (let times = 0; times < 3; times++)
      expect((await visitorAt().post(ACME_CALLBACK, { id_token: 'x', state: 'y' })).status).not.toBe(429);
    expect((await visitorAt().post(ACME_CALLBACK, { id_token: 'x', state: 'y' })).status).toBe(429);
    expect((await visitorAt().go('/AcmeCorp')).status).toBe(303);
  });

  it('a logout token that holds is always obeyed; those that do not are limited', async () => {
    await open({ logout: { per_address: 2 } });
    const order = async (sid: string): Promise<number> => {
      const iat = Math.floor(house.gateway.clock.nowMs() / 1000);
      const events = { 'http://schemas.openid.net/event/backchannel-logout': {} };
      const claims = { iss: house.acme.issuer, aud: 'gatehouse-acme', iat, exp: iat + 60, jti: sid, sid, events };
      const body = new URLSearchParams({ logout_token: await house.acme.sign(claims, { typ: 'logout+jwt' }) });
      return (await visitorAt().send('/SSO/OIDC/acme/SignOut', { method: 'POST', body })).status;
    };
    for (let times = 0; times < 6; times++) expect(await order(`sid-${times}`)).toBe(200);
    const wrong = { method: 'POST', body: new URLSearchParams({ logout_token: 'x' }) };
    const statuses: number[] = [];
    for (let times = 0; times < 4; times++)
      statuses.push((await visitorAt().send('/SSO/OIDC/acme/SignOut', wrong)).status);
    expect(statuses).toEqual([400, 400, 429, 429]);
    expect(house.gateway.events('sign_out.refused')).toHaveLength(4); // each once
    expect(await order('sid-after')).toBe(200); // whoever else is at the IdP's address
    expect((await visitorAt().send('/SSO/OIDC/globex/SignOut', wrong)).status).toBe(400);
  });

  it('frames of the front channel cannot fill the store', async () => {
    await open({ front_channel: { per_address: 2 } });
    const frame = async (): Promise<number> =>
      (await visitorAt().go(`/SSO/OIDC/acme/SignOut?iss=${encodeURIComponent(house.acme.issuer)}&sid=x`)).status;
    expect([await frame(), await frame(), await frame()]).toEqual([200, 200, 429]);
    expect(house.gateway.events('sign_out.refused')).toMatchObject([{ limit: 'front_channel.per_address' }]);
    expect(house.gateway.events('sign_in.refused')).toEqual([]);
  });
});

describe('over two replicas', () => {
  it('they count together, and each by itself while Redis is away', async () => {
    const replicas = await openReplicas({}, {}, { limits: { sign_in: FEW } });
    close = replicas.close;
    const ask = async (replica: typeof replicas.one): Promise<number> =>
      (await visitorAt('203.0.113.9', replica.house).go('/AcmeCorp')).status;
    expect([await ask(replicas.one), await ask(replicas.two), await ask(replicas.one)]).toEqual([303, 303, 303]);
    expect([await ask(replicas.one), await ask(replicas.two)]).toEqual([429, 429]);
    replicas.two.line.cut();
    const alone: number[] = [];
    for (let times = 0; times < 4; times++)
      alone.push((await visitorAt('203.0.113.9', replicas.two.house).go('/globex')).status);
    expect(alone).toEqual([303, 303, 303, 429]);
  });
});

describe('a page of another site', () => {
  it.each([
    { 'sec-fetch-mode': 'no-cors', 'sec-fetch-dest': 'image', 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'iframe', 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-mode': 'cors', 'sec-fetch-dest': 'empty', 'sec-fetch-site': 'cross-site' },
  ])('cannot use up its visitors’ sign-ins: %j', async (headers) => {
    await open({ sign_in: { per_address: 1 }, callback: { per_address: 1 } });
    for (let times = 0; times < 3; times++) {
      expect((await visitorAt().send('/SSO/OIDC/acme/SignIn', { headers })).status).toBe(400);
      expect((await visitorAt().send(`${ACME_CALLBACK}?error=x&state=y`, { headers })).status).toBe(400);
    }
    expect((await visitorAt().go('/AcmeCorp')).status).toBe(303);
  });
});

describe('a program', () => {
  it('that says `cors` and nothing of a site, as Node’s fetch does, starts sign-ins as ever', async () => {
    await open({});
    const headers = { 'sec-fetch-mode': 'cors' };
    expect((await visitorAt().send('/SSO/OIDC/acme/SignIn', { headers })).status).toBe(303);
  });
});

describe('a wide network', () => {
  it('may do what four addresses may, so that one tunnel is not everybody', async () => {
    await open({ sign_in: { per_address: 1, per_tenant: 100 } });
    const statuses: number[] = [];
    for (let index = 1; index <= 6; index++)
      statuses.push((await visitorAt().go('/AcmeCorp', from(`2001:db8:1:${index}::1`))).status);
    expect(statuses).toEqual([303, 303, 303, 303, 429, 429]);
    expect((await visitorAt().go('/AcmeCorp', from('2001:db8:2:1::1'))).status).toBe(303);
  });
});

describe('an address', () => {
  it.each([
    ['203.0.113.1', ['203.0.113.1']],
    ['203.0.113.1:40001', ['203.0.113.1']],
    ['::ffff:203.0.113.1', ['203.0.113.1']],
    ['::ffff:cb00:7101', ['203.0.113.1']],
    ['[2001:db8::1]:443', ['2001:db8:0:0::/64', '2001:db8:0::/48']],
    ['2001:0DB8:0001:0002:0003:0004:0005:0006', ['2001:db8:1:2::/64', '2001:db8:1::/48']],
    ['fe80::1%eth0', ['fe80:0:0:0::/64', 'fe80:0:0::/48']],
    ['::1', ['0:0:0:0::/64', '0:0:0::/48']],
  ])('%s counts as %j', (text, networks) => {
    expect(networksOf(parseAddress(text) ?? '')).toEqual(networks);
  });

  it.each(['', 'nginx', '203.0.113', '[::1', '203.0.113.1:x', '::g'])('%j is none', (text) => {
    expect(parseAddress(text)).toBeUndefined();
  });

  it('of this machine is nobody’s: a proxy that nobody named, or the operator', async () => {
    await open({ sign_in: { per_address: 1, per_tenant: 5 } });
    const statuses: number[] = [];
    for (let times = 0; times < 6; times++) statuses.push((await house.visitor().go('/AcmeCorp')).status);
    expect(statuses).toEqual([303, 303, 303, 303, 303, 429]);
  });

  it('of a proxy that nobody named is complained about, once', async () => {
    house = await openHouse();
    close = house.close;
    for (let times = 0; times < 3; times++) await visitorAt().go('/AcmeCorp', from('203.0.113.1'));
    const said = house.gateway.log.filter(({ event }) => event === 'proxy.untrusted');
    expect(said).toMatchObject([{ level: 'warn', peer: '127.0.0.1' }]);
  });
});
