import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { sessionOf, signIn } from '../support/house.ts';
import { run } from '../support/process.ts';
import { openReplicas, type Replicas, untilReady } from '../support/replicas.ts';
import type { Reply, Visitor } from '../support/visitor.ts';

/** Ended means ended: the next request with that cookie, on any replica, is not signed in. Redis behind a line that fails. */
let replicas: Replicas;
let visitor: Visitor;
let elsewhere: Visitor;
beforeAll(async () => {
  replicas = await openReplicas({ name: 'Acme Corporation' });
});
afterAll(() => replicas.close());
beforeEach(async () => {
  visitor = replicas.one.house.visitor();
  await signIn(replicas.one.house, visitor, { claims: { sid: 's-1' } });
  elsewhere = replicas.at(replicas.two, visitor);
  expect(await sessionOf(elsewhere)).toBeDefined();
});

async function logout(claims: Record<string, unknown> = {}): Promise<Reply> {
  const now = Math.floor(replicas.one.house.gateway.clock.nowMs() / 1000);
  const events = { 'http://schemas.openid.net/event/backchannel-logout': {} };
  const base = { iss: replicas.acme.issuer, aud: 'gatehouse-acme', iat: now, exp: now + 60, jti: randomUUID(), events };
  const token = await replicas.acme.sign({ ...base, sub: 'ada', ...claims }, { typ: 'logout+jwt' });
  const body = new URLSearchParams({ logout_token: token });
  return replicas.one.house.visitor().send('/SSO/OIDC/acme/SignOut', { method: 'POST', body });
}

describe('a session that ended at one replica is over at the other', () => {
  it('by sign-out', async () => {
    await visitor.post('/SSO/OIDC/acme/SignOut', {}, { 'sec-fetch-site': 'same-origin' });
    expect(await sessionOf(elsewhere)).toBeUndefined();
  });

  it('by back-channel logout', async () => {
    expect((await logout()).status).toBe(200);
    expect(await sessionOf(elsewhere)).toBeUndefined();
    expect((await elsewhere.go('/AcmeCorp')).status).toBe(303);
  });

  it('by front-channel logout', async () => {
    const iss = encodeURIComponent(replicas.acme.issuer);
    await replicas.one.house.visitor().go(`/SSO/OIDC/acme/SignOut?iss=${iss}&sid=s-1`);
    expect(await sessionOf(elsewhere)).toBeUndefined();
  });

  it('by the person, on the account page: one, then all', async () => {
    const other = replicas.two.house.visitor();
    await signInElsewhere(other);
    const page = await visitor.go('/SSO/Account/acme', { headers: { 'user-agent': 'x' } });
    const session = /name="session" value="([\w-]{43})"/.exec(page.text)?.[1] ?? '';
    expect(session).not.toBe('');
    expect(page.text).toContain('Sign out everywhere');
    await visitor.post('/SSO/OIDC/acme/SignOut', { session }, { 'sec-fetch-site': 'same-origin' });
    expect(await sessionOf(other)).toBeUndefined();
    expect(await sessionOf(visitor)).toBeDefined();
    await signInElsewhere(other);
    await visitor.post('/SSO/OIDC/acme/SignOut', { everywhere: '1' }, { 'sec-fetch-site': 'same-origin' });
    expect(await sessionOf(other)).toBeUndefined();
    expect(await sessionOf(visitor)).toBeUndefined();
  });

  it('by an operator, for one person', async () => {
    const ben = replicas.one.house.visitor();
    await signIn(replicas.one.house, ben, { claims: { sub: 'ben' } });
    const list = await cli('list', '--json');
    expect(
      JSON.parse(list.output())
        .map(({ sub }: { sub: string }) => sub)
        .sort(),
    ).toEqual(['ada', 'ben']);
    expect((await cli('end', '--sub', 'ada')).output()).toBe('Ended 1.\n');
    expect(await sessionOf(elsewhere)).toBeUndefined();
    expect(await sessionOf(ben)).toBeDefined();
    expect(await (await cli('end')).exited).toBe(2);
    expect((await cli('end', '--all', '--json')).output()).toBe('{"ended":1}\n');
    expect(await sessionOf(ben)).toBeUndefined();
  });
});

async function signInElsewhere(other: Visitor): Promise<void> {
  const { askedOf, validClaims, ACME_CALLBACK } = await import('../support/house.ts');
  const { clock } = replicas.two.house.gateway;
  const asked = askedOf(await other.go('/AcmeCorp'));
  const id_token = await replicas.acme.sign(validClaims(replicas.acme, asked, clock, { sid: 's-2' }));
  await other.post(ACME_CALLBACK, { id_token, state: asked.state });
  expect(await sessionOf(other)).toBeDefined();
}

async function cli(...args: string[]) {
  const { configDir } = replicas.one.house.gateway;
  const environment = { REDIS_URL: replicas.redis.url, CONFIG_DIR: configDir };
  const started = run(
    ['src/cli/gatehouse.ts', 'sessions', args[0] ?? '', '--tenant', 'acme', ...args.slice(1)],
    environment,
  );
  await started.exited;
  return started;
}

describe('while the line to Redis is cut', () => {
  it('nobody is signed in or out by it, a logout is not said to be obeyed, and all comes back', async () => {
    replicas.one.line.cut();
    expect((await visitor.go('/AcmeCorp')).status).toBe(503);
    expect((await visitor.post('/SSO/OIDC/acme/SignOut', {}, { 'sec-fetch-site': 'same-origin' })).status).toBe(503);
    expect((await logout()).status).toBe(400);
    expect(await sessionOf(elsewhere)).toBeDefined(); // the other replica's line holds
    replicas.one.line.restore();
    await untilReady(replicas.one.house.gateway);
    expect(await sessionOf(visitor)).toBeDefined();
    expect((await logout()).status).toBe(200);
    expect(await sessionOf(elsewhere)).toBeUndefined();
  });

  it('answers that come too late are an outage, and the next ones count', async () => {
    replicas.one.line.delay(600);
    expect((await visitor.go('/AcmeCorp')).status).toBe(503);
    replicas.one.line.restore();
    await expect.poll(async () => (await visitor.go('/AcmeCorp')).status, { timeout: 5_000 }).toBe(200);
  });

  it('a connection that the network forgot is given up for a new one', async () => {
    replicas.one.line.blackHole();
    expect((await visitor.go('/AcmeCorp')).status).toBe(503);
    await expect
      .poll(
        async () => {
          await sleep(100);
          return (await visitor.go('/AcmeCorp')).status;
        },
        { timeout: 10_000 },
      )
      .toBe(200);
  });
});
