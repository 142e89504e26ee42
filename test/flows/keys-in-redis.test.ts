import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  ACME_CALLBACK,
  type House,
  openHouse,
  sessionOf,
  signIn,
  signInAtGlobex,
  start,
  validClaims,
} from '../support/house.ts';
import { ACME_KEY, linkPath, validLink } from '../support/link-house.ts';
import { openRedis, type RedisServer, tell } from '../support/redis.ts';
import { untilReady } from '../support/replicas.ts';
import { signExactly } from '../support/senders.ts';

/** What the gateway leaves in Redis: every key is in the table of storage/keys.ts, and ends by itself, accounts aside. */
let redis: RedisServer;
let house: House;
beforeAll(async () => {
  redis = await openRedis();
  house = await openHouse({
    environment: { REDIS_URL: redis.url },
    gatewayYaml: { audit: { keep: 100 } },
    acme: {
      links: [
        { dialect: 'frill', key: ACME_KEY },
        { dialect: 'issuely', key: ACME_KEY, company_id: 'company-acme' },
      ],
      no_groups: 'allow',
    },
  });
  await untilReady(house.gateway);
});
afterAll(async () => {
  await house.close();
  await redis.stop();
});

/** Everything that anybody does. */
async function liveThroughADay(): Promise<void> {
  const { gateway } = house;
  const visitor = house.visitor();
  await signIn(house, visitor, { claims: { sid: 'sid-1' } });
  await signInAtGlobex(house, house.visitor());
  gateway.clock.advance(16 * 60_000);
  await start(visitor); // a renewal begins
  const nowMs = gateway.clock.nowMs();
  for (const dialect of ['frill', 'issuely'] as const)
    await house.visitor().go(linkPath(dialect, signExactly(validLink(dialect, nowMs), ACME_KEY)));
  await visitor.go(linkPath('frill', signExactly(validLink('frill', nowMs), ACME_KEY))); // somebody else's: a question
  const iat = Math.floor(nowMs / 1000);
  const events = { 'http://schemas.openid.net/event/backchannel-logout': {} };
  const claims = { iss: house.acme.issuer, aud: 'gatehouse-acme', iat, exp: iat + 60, jti: randomUUID(), events };
  for (const logout_token of [await house.acme.sign({ ...claims, sid: 'sid-9', sub: 'nobody' }), 'x']) {
    const body = new URLSearchParams({ logout_token });
    await house.visitor().send('/SSO/OIDC/acme/SignOut', { method: 'POST', body });
  }
}

describe('every key', () => {
  it('is documented, and all documented ones but those of refresh tokens were seen', async () => {
    await liveThroughADay();
    const source = await readFile(resolve(import.meta.dirname, '../../src/storage/keys.ts'), 'utf8');
    const documented = [...source.matchAll(/^ \* \| `(gatehouse:[^`]+)`/gm)].map(([, shape = '']) => shape);
    const patterns = documented.map((shape) => ({
      shape,
      pattern: new RegExp(
        `^${shape
          .replace('{tenant}', '\\{[a-z0-9-]+\\}')
          .replace('<person or sid>', '(?:person|sid)')
          .replace(/<[^>]+>/g, '[^{}]+')}$`,
      ),
    }));
    const keys = (await tell(redis.port, '--scan')).split('\n');
    const seen = new Set<string>();
    for (const key of keys) {
      const shapes = patterns.filter(({ pattern }) => pattern.test(key)).map(({ shape }) => shape);
      expect({ key, shapes }).toEqual({ key, shapes: [expect.any(String)] });
      seen.add(shapes[0] ?? '');
      const lives = Number(await tell(redis.port, 'PTTL', key));
      if (/:(?:account|email):/.test(key)) expect(lives).toBe(-1);
      else expect({ key, ends: lives > 0 }).toEqual({ key, ends: true });
    }
    expect(documented.filter((shape) => !seen.has(shape))).toEqual([expect.stringContaining('refresh')]);
  });

  it('holds no token, cookie or secret as it is', async () => {
    const visitor = house.visitor();
    const asked = await start(visitor);
    const id_token = await house.acme.sign(validClaims(house.acme, asked, house.gateway.clock));
    await visitor.post(ACME_CALLBACK, { id_token, state: asked.state });
    expect(await sessionOf(visitor)).toMatchObject({ sub: 'ada' });
    const keys = (await tell(redis.port, '--scan')).split('\n');
    const dump = await Promise.all(keys.map((key) => tell(redis.port, 'DUMP', key)));
    for (const value of [...visitor.cookies.values(), id_token, asked.state, asked.nonce])
      expect(`${keys.join()}${dump.join()}`).not.toContain(value);
    expect(dump.join()).not.toContain(ACME_KEY);
  });
});
