import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { ACME_CALLBACK, askedOf, sessionOf, validClaims } from '../support/house.ts';
import { openReplicas, type Replicas } from '../support/replicas.ts';

/** A refresh token that is good once, two replicas, one Redis. */
const DUE_MS = 15 * 60_000 + 1_000;
let replicas: Replicas;
beforeAll(async () => {
  replicas = await openReplicas({}, { flow: 'code', client_secret: 'a-secret-of-acme' });
  replicas.acme.discovery.token_endpoint = `${replicas.acme.issuer}/token`;
});
afterAll(() => replicas.close());

it('twenty requests at both replicas make one refresh, and Redis holds no token that can be read', async () => {
  const { one, two, acme } = replicas;
  const visitor = one.house.visitor();
  const asked = askedOf(await visitor.go('/AcmeCorp'));
  const { clock } = one.house.gateway;
  let refreshes = 0;
  acme.endpoints.set('/token', async ({ form }) => {
    const isRefresh = form.get('grant_type') === 'refresh_token';
    if (isRefresh) refreshes += 1;
    if (isRefresh && form.get('refresh_token') !== 'the-first-refresh-token')
      return { status: 400, body: { error: 'invalid_grant' } };
    const claims = validClaims(acme, asked, clock, isRefresh ? { nonce: undefined, roles: ['invoice-readers'] } : {});
    const refresh_token = isRefresh ? 'the-second-refresh-token' : 'the-first-refresh-token';
    return {
      body: {
        access_token: 'the-access-token',
        token_type: 'Bearer',
        id_token: await acme.sign(claims),
        refresh_token,
      },
    };
  });
  await visitor.post(ACME_CALLBACK, { code: 'x', state: asked.state });
  expect(await sessionOf(visitor)).toBeDefined();
  const there = replicas.at(two, visitor);
  for (const { house } of [one, two]) house.gateway.clock.advance(DUE_MS);
  const replies = await Promise.all(
    Array.from({ length: 20 }, (_, i) => (i % 2 === 0 ? visitor : there).go('/AcmeCorp')),
  );
  expect(new Set(replies.map(({ status }) => status))).toEqual(new Set([200]));
  expect(refreshes).toBe(1);
  await expect.poll(async () => (await sessionOf(there))?.groups).toEqual(['invoice-readers']);
  const redis = new Redis(replicas.redis.url);
  const values = await Promise.all(
    (await redis.keys('*')).map(async (key) =>
      (await redis.type(key)) === 'string' ? redis.get(key) : redis.zrange(key, 0, '-1'),
    ),
  );
  redis.disconnect();
  expect(JSON.stringify(values)).not.toMatch(/the-(?:first|second|access)/);
  expect(values.length).toBeGreaterThan(3);
});
