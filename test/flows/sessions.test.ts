import { hash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ACME_CALLBACK, type House, openHouse, sessionOf, signIn, start, validClaims } from '../support/house.ts';
import { openRedis, type RedisServer } from '../support/redis.ts';
import { Visitor } from '../support/visitor.ts';

const session = { session: { idle: '30m', absolute: '2h' } };

describe('a session in the embedded store', () => {
  let house: House;
  beforeAll(async () => {
    house = await openHouse({ acme: session });
  });
  afterAll(() => house.close());

  it('ends when it was not used for the idle time', async () => {
    const visitor = house.visitor();
    await signIn(house, visitor);
    house.gateway.clock.advance(29 * 60_000);
    expect(await sessionOf(visitor)).toBeDefined(); // which is a use
    house.gateway.clock.advance(29 * 60_000);
    expect(await sessionOf(visitor)).toBeDefined();
    house.gateway.clock.advance(30 * 60_000);
    expect(await sessionOf(visitor)).toBeUndefined();
  });

  it('ends after the absolute time, however much it is used', async () => {
    const visitor = house.visitor();
    await signIn(house, visitor);
    for (let minutes = 0; minutes < 115; minutes += 23) {
      house.gateway.clock.advance(23 * 60_000);
      expect(await sessionOf(visitor)).toBeDefined();
    }
    house.gateway.clock.advance(5 * 60_000);
    expect(await sessionOf(visitor)).toBeUndefined();
  });
});

describe('a session in Redis', () => {
  let house: House;
  let server: RedisServer;
  let redis: Redis;
  beforeAll(async () => {
    server = await openRedis();
    redis = new Redis(server.url);
    house = await openHouse({ acme: session, environment: { REDIS_URL: server.url } });
    await readyAgain(house);
  });
  afterAll(async () => {
    await house.close();
    redis.disconnect();
    await server.stop();
  });

  const NAME = '__Host-gatehouse-session-acme';
  let visitor: Visitor;
  let key: string;
  beforeEach(async () => {
    visitor = house.visitor();
    await signIn(house, visitor);
    key = `gatehouse:{acme}:session:${hash('sha256', visitor.cookies.get(NAME) ?? '', 'base64url')}`;
  });

  it('is kept under a digest, with the idle time as its lifetime, and without anything that works as a cookie', async () => {
    expect(await redis.pttl(key)).toBeGreaterThan(29 * 60_000);
    expect(await redis.pttl(key)).toBeLessThanOrEqual(30 * 60_000);
    const everything = (await redis.keys('*')).join() + (await redis.mget(await redis.keys('*'))).join();
    for (const value of visitor.cookies.values()) expect(everything).not.toContain(value);
  });

  it('gives every key a lifetime', async () => {
    for (const name of await redis.keys('*')) expect(await redis.pttl(name)).toBeGreaterThan(0);
  });

  it('costs the server nothing before an attempt is answered', async () => {
    const before = await redis.dbsize();
    for (const page of Array(20).keys()) await start(house.visitor(), `/AcmeCorp/${page}`);
    expect(await redis.dbsize()).toBe(before);
  });

  const spoilt: [string, (record: Record<string, unknown>) => string][] = [
    ['is no JSON', () => '{'],
    ['is empty', () => ''],
    ['is a list', () => '[]'],
    ['lacks a field', ({ sub: _, ...rest }) => JSON.stringify(rest)],
    ['has groups that are no list', (record) => JSON.stringify({ ...record, groups: 'billing-admins' })],
    ['is of another version', (record) => JSON.stringify({ ...record, v: 2 })],
    ['is another tenant’s', (record) => JSON.stringify({ ...record, tenant: 'globex' })],
    ['is of another issuer', (record) => JSON.stringify({ ...record, issuer: 'https://evil.example' })],
    ['is past its end', (record) => JSON.stringify({ ...record, expires_at_ms: 1 })],
  ];
  it.each(spoilt)('is none when its record %s', async (_what, spoil) => {
    const record = JSON.parse((await redis.get(key)) ?? '');
    await redis.set(key, spoil(record), 'PX', 60_000);
    expect(await sessionOf(visitor)).toBeUndefined();
    expect((await visitor.go('/AcmeCorp')).status).toBe(303);
    await redis.set(key, JSON.stringify(record), 'PX', 60_000);
    expect(await sessionOf(visitor)).toBeDefined();
  });

  it('is neither there nor gone while Redis does not answer: 503 for who shows a cookie', async () => {
    const asked = await start(house.visitor());
    const waiting = house.visitor();
    const attempt = await start(waiting);
    server.freeze();
    for (const path of ['/AcmeCorp', '/SSO/Session/acme', '/SSO/OIDC/acme/SignOut']) {
      const reply = await visitor.go(path);
      expect(reply.status).toBe(503);
      expect(reply.text).toContain('store_unavailable');
      expect(reply.headers['retry-after']).toMatch(/^\d+$/);
      expect(reply.setCookies).toEqual([]);
    }
    expect((await house.visitor().send('/readyz')).status).toBe(503);
    expect((await house.visitor().send('/livez')).status).toBe(200);
    const token = await house.acme.sign(validClaims(house.acme, attempt, house.gateway.clock));
    const refused = await waiting.post(ACME_CALLBACK, { id_token: token, state: attempt.state });
    expect(refused.status).toBe(503);
    expect(refused.setCookies.join()).not.toContain('-session-');
    expect((await house.visitor().go('/AcmeCorp')).status).toBe(303); // without a cookie there is nothing to read
    server.thaw();
    await readyAgain(house);
    expect(await sessionOf(visitor)).toBeDefined(); // nobody was signed out
    expect(asked.state).not.toBe('');
  });

  it('is the same for every replica: one signs in, the other knows', async () => {
    const other = await openHouse({ environment: { REDIS_URL: server.url } });
    await readyAgain(other);
    await other.gateway.writeTenant({
      id: 'acme',
      slug: 'AcmeCorp',
      oidc: { issuer: house.acme.issuer, client_id: 'gatehouse-acme', allow_insecure: true },
      groups: [{ id: 'billing-admins', roles: ['BillingAdmin'] }],
    });
    await other.gateway.waitFor('tenant.changed', 0);
    const elsewhere = new Visitor(other.gateway.url);
    for (const [name, value] of visitor.cookies) elsewhere.cookies.set(name, value);
    await expect.poll(() => sessionOf(elsewhere)).toBeDefined();
    await other.close();
  });
});

async function readyAgain(house: House): Promise<void> {
  for (let tries = 0; tries < 100; tries++) {
    if ((await house.visitor().send('/readyz')).status === 200) return;
    await sleep(50);
  }
  throw new Error('the gateway did not get ready');
}
