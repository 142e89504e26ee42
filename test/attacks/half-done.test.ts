import { randomUUID } from 'node:crypto';
import { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { askedOf, sessionOf, signIn } from '../support/house.ts';
import { ACME_KEY, linkPath, linksYaml, validLink } from '../support/link-house.ts';
import { openReplicas, type Replicas } from '../support/replicas.ts';
import { signExactly } from '../support/senders.ts';
import { NAVIGATION, type Visitor } from '../support/visitor.ts';

/** The store fails in the middle: single commands are refused, as by an ACL. Nothing is half-done, and trying again works. */
let replicas: Replicas;
let redis: Redis;
let visitor: Visitor;
let other: Visitor;
const SIGN_OUT = '/SSO/OIDC/acme/SignOut';
const FROM_HERE = { 'sec-fetch-site': 'same-origin' };

beforeAll(async () => {
  replicas = await openReplicas({ links: linksYaml(ACME_KEY, 'company-acme'), no_groups: 'allow' });
  redis = new Redis(replicas.redis.url);
});
afterAll(async () => {
  redis.disconnect();
  await replicas.close();
});
beforeEach(async () => {
  const { house } = replicas.one;
  [visitor, other] = [house.visitor(), house.visitor()];
  await signIn(house, visitor, { claims: { sid: 's-1' } });
  await signIn(house, other, { claims: { sid: 's-2' } });
});
afterEach(() => redis.acl('SETUSER', 'default', '+@all'));
const forbid = (...commands: string[]) => redis.acl('SETUSER', 'default', ...commands.map((command) => `-${command}`));
const allowAll = () => redis.acl('SETUSER', 'default', '+@all');

describe('a sign-out that the store interrupts', () => {
  it('leaves the session and its cookie, and works the next time', async () => {
    await forbid('getdel');
    const reply = await visitor.post(SIGN_OUT, {}, FROM_HERE);
    expect(reply.status).toBe(503);
    expect(reply.setCookies).toEqual([]);
    await allowAll();
    expect(await sessionOf(visitor)).toBeDefined();
    const kept = visitor.copy();
    expect((await visitor.post(SIGN_OUT, {}, FROM_HERE)).status).toBe(303);
    expect(await sessionOf(kept)).toBeUndefined();
  });

  it('everywhere can be repeated: this session is there until the others are gone', async () => {
    await forbid('zrange');
    expect((await visitor.post(SIGN_OUT, { everywhere: '1' }, FROM_HERE)).status).toBe(503);
    await allowAll();
    expect(await sessionOf(visitor)).toBeDefined();
    await visitor.post(SIGN_OUT, { everywhere: '1' }, FROM_HERE);
    expect(await sessionOf(other)).toBeUndefined();
  });
});

describe('a signed link that the store interrupts', () => {
  it.each([['eval'], ['set'], ['zrange']])(
    'at %s opens nothing, gives no cookie, and works the next time',
    async (command) => {
      const { house } = replicas.one;
      const person = house.visitor();
      const path = linkPath('frill', signExactly(validLink('frill', house.gateway.clock.nowMs()), ACME_KEY));
      await forbid(command);
      const reply = await person.go(path);
      expect(reply.status).toBe(503);
      expect(reply.setCookies.join()).not.toContain('-session-');
      await allowAll();
      await person.go(path);
      expect(await sessionOf(person)).toMatchObject({ connection: 'frill' });
    },
  );
});

describe('a sign-in that the store interrupts', () => {
  it('leaves the old session as it was and gives no cookie', async () => {
    await forbid('getdel');
    const before = visitor.copy();
    const reply = await signIn(replicas.one.house, visitor, { path: '/SSO/OIDC/acme/SignIn' });
    expect(reply.status).toBe(503);
    expect(reply.setCookies.join()).not.toContain('-session-');
    await allowAll();
    expect(await sessionOf(before)).toBeDefined();
  });

  it('does not lose what the IdP said of the groups: the next one tells the other sessions', async () => {
    replicas.one.house.gateway.clock.advance(1_000);
    const third = replicas.one.house.visitor();
    await forbid('zrange');
    expect((await signIn(replicas.one.house, third, { claims: { roles: ['invoice-readers'] } })).status).toBe(503);
    await allowAll();
    expect((await signIn(replicas.one.house, third, { claims: { roles: ['invoice-readers'] } })).status).toBe(303);
    expect((await sessionOf(other))?.groups).toEqual(['invoice-readers']);
  });
});

describe('a logout that the store interrupts', () => {
  it('is 400 by back channel, and may come again', async () => {
    const now = Math.floor(replicas.one.house.gateway.clock.nowMs() / 1000);
    const events = { 'http://schemas.openid.net/event/backchannel-logout': {} };
    const claims = {
      iss: replicas.acme.issuer,
      aud: 'gatehouse-acme',
      iat: now,
      exp: now + 60,
      jti: randomUUID(),
      events,
      sid: 's-1',
    };
    const body = new URLSearchParams({ logout_token: await replicas.acme.sign(claims, { typ: 'logout+jwt' }) });
    const deliver = () => replicas.one.house.visitor().send(SIGN_OUT, { method: 'POST', body });
    await forbid('getdel');
    expect((await deliver()).status).toBe(400);
    await allowAll();
    expect((await deliver()).status).toBe(200);
    expect(await sessionOf(visitor)).toBeUndefined();
  });

  it('is 200 by front channel, framed by the issuer, even when the browser shows a session', async () => {
    await forbid('getex', 'get');
    const reply = await visitor.go(`${SIGN_OUT}?iss=${encodeURIComponent(replicas.acme.issuer)}&sid=s-1`);
    expect(reply.status).toBe(200);
    expect(reply.headers['x-frame-options']).toBeUndefined();
    expect(replicas.one.house.gateway.events('sign_out.refused').at(-1)).toMatchObject({
      by: 'front_channel',
      level: 'warn',
    });
  });
});

describe('the clocks of the IdP', () => {
  it('may be ahead of ours: front-channel logout ends the session all the same', async () => {
    const { house } = replicas.one;
    const ahead = house.visitor();
    const iat = Math.floor(house.gateway.clock.nowMs() / 1000) + 20;
    await signIn(house, ahead, { claims: { sid: 's-ahead', iat } });
    expect(await sessionOf(ahead)).toBeDefined();
    await house.visitor().go(`${SIGN_OUT}?iss=${encodeURIComponent(replicas.acme.issuer)}&sid=s-ahead`);
    expect(await sessionOf(ahead)).toBeUndefined();
  });
});

describe('a renewal that is due', () => {
  it('takes no posted form away, and is not used up by a prefetch', async () => {
    replicas.one.house.gateway.clock.advance(16 * 60_000);
    expect((await visitor.go('/AcmeCorp', { method: 'POST', body: new URLSearchParams({ a: 'b' }) })).status).toBe(405);
    expect((await visitor.go('/AcmeCorp', { headers: { ...NAVIGATION, 'sec-purpose': 'prefetch' } })).status).toBe(200);
    expect((await visitor.go('/SSO/Account/acme')).status).toBe(200);
    expect(askedOf(await visitor.go('/AcmeCorp')).url.searchParams.get('prompt')).toBe('none');
  });
});
