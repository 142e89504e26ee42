import { afterEach, describe, expect, it } from 'vitest';
import { type House, openHouse, signIn, signInAtGlobex } from '../support/house.ts';
import { run } from '../support/process.ts';
import { openRedis, tell } from '../support/redis.ts';

/** What operators are told: each event whose it is, and by which request; and, where they want it, in Redis too. */
let close: () => Promise<void>;
afterEach(() => close());

async function open(gatewayYaml: Record<string, unknown>): Promise<House & { redisUrl: string; redisPort: number }> {
  const redis = await openRedis();
  const environment = { REDIS_URL: redis.url, TRUSTED_PROXIES: '127.0.0.1' };
  const house = await openHouse({ environment, gatewayYaml });
  close = async () => {
    await house.close();
    await redis.stop();
  };
  await expect.poll(async () => (await house.visitor().send('/readyz')).status).toBe(200);
  return { ...house, redisUrl: redis.url, redisPort: redis.port };
}

describe('an event', () => {
  it('has tenant, request and client, however deep it comes from', async () => {
    const house = await open({});
    const visitor = house.visitor();
    await signIn(house, visitor);
    const reply = await visitor.post(
      '/SSO/OIDC/acme/SignOut',
      {},
      { 'sec-fetch-site': 'same-origin', 'x-forwarded-for': '198.51.100.7' },
    );
    const who = { tenant: 'acme', request_id: reply.headers['x-request-id'], client: '198.51.100.7' };
    expect(house.gateway.events('session.ended')).toMatchObject([{ ...who, sub: 'ada', reason: 'signed_out' }]);
    expect(house.gateway.events('sign_out')).toMatchObject([who]);
  });

  it('is in its tenant’s stream too, the last so many, and the command shows them', async () => {
    const house = await open({ audit: { keep: 50 } });
    await signIn(house, house.visitor());
    await signInAtGlobex(house, house.visitor());
    const environment = { REDIS_URL: house.redisUrl, CONFIG_DIR: house.gateway.configDir };
    const events = async (tenant: string, ...more: string[]) => {
      const command = run(['src/cli/gatehouse.ts', 'events', '--tenant', tenant, '--json', ...more], environment);
      expect(await command.exited).toBe(0);
      return JSON.parse(command.output());
    };
    expect(await events('acme', '--last', '2')).toMatchObject([
      { event: 'sign_in.started', tenant: 'acme', request_id: expect.any(String) },
      { event: 'sign_in.succeeded', tenant: 'acme', sub: 'ada', time: expect.stringMatching(/Z$/) },
    ]);
    expect(await events('globex', '--last', '1')).toMatchObject([{ event: 'sign_in.succeeded', tenant: 'globex' }]);
    expect(Number(await tell(house.redisPort, 'PTTL', 'gatehouse:{acme}:audit'))).toBeGreaterThan(0);
  });

  it('of an operator’s doing is told on standard error, and is in the stream', async () => {
    const house = await open({ audit: { keep: 50 } });
    await signIn(house, house.visitor());
    const environment = { REDIS_URL: house.redisUrl, CONFIG_DIR: house.gateway.configDir };
    const command = run(['src/cli/gatehouse.ts', 'sessions', 'end', '--tenant', 'acme', '--all'], environment);
    expect(await command.exited).toBe(0);
    const ended = { event: 'session.ended', tenant: 'acme', sub: 'ada', reason: 'ended_by_operator' };
    expect(JSON.parse(command.errors())).toMatchObject(ended);
    const [last] = (await tell(house.redisPort, 'XREVRANGE', 'gatehouse:{acme}:audit', '+', '-', 'COUNT', '1'))
      .split('\n')
      .slice(-1);
    expect(JSON.parse(last ?? '')).toMatchObject(ended);
  });

  it('of somebody who signs in is remembered for `gatehouse tenants`', async () => {
    const house = await open({});
    await signIn(house, house.visitor());
    const environment = { REDIS_URL: house.redisUrl, CONFIG_DIR: house.gateway.configDir };
    const command = run(['src/cli/gatehouse.ts', 'tenants', '--json', '--offline'], environment);
    expect(await command.exited).toBe(0);
    expect(JSON.parse(command.output())).toMatchObject([
      { tenant: 'acme', last_sign_in: expect.stringMatching(/^20.*Z$/) },
      { tenant: 'globex', last_sign_in: null },
    ]);
  });

  it('of a storm pushes nothing out of the stream', async () => {
    const house = await open({ audit: { keep: 20 }, limits: { sign_in: { per_address: 2 } } });
    await signIn(house, house.visitor());
    for (let times = 0; times < 40; times++)
      await house.visitor().go('/AcmeCorp', { headers: { 'x-forwarded-for': '203.0.113.9' } });
    const stream = await tell(house.redisPort, 'XRANGE', 'gatehouse:{acme}:audit', '-', '+');
    expect(stream).toContain('sign_in.succeeded');
    expect(stream).not.toContain('rate_limited');
  });

  it('is in no stream where nobody asked for one', async () => {
    const house = await open({});
    await signIn(house, house.visitor());
    expect(await tell(house.redisPort, 'EXISTS', 'gatehouse:{acme}:audit')).toBe('0');
  });
});
