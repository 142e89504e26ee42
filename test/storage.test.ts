import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GatewayFailure } from '../src/kernel/failure.ts';
import { Secret } from '../src/kernel/secret.ts';
import { createMemoryStore } from '../src/storage/memory.ts';
import { createRedisStore } from '../src/storage/redis.ts';
import type { Store } from '../src/storage/store.ts';
import { describeStore } from './contracts/store.ts';
import { openCutProxy } from './support/cut-proxy.ts';
import { createStillClock } from './support/fake-clock.ts';
import { openRedis, type RedisServer } from './support/redis.ts';

const clock = createStillClock();
const memory = createMemoryStore(clock);
describeStore('embedded', () => ({ store: memory, wait: async (ms) => clock.advance(ms), nowMs: clock.nowMs }));

let server: RedisServer;
let redis: Store;
beforeAll(async () => {
  server = await openRedis();
  redis = createRedisStore(new Secret(server.url), () => {});
  await ready(redis);
});
afterAll(async () => {
  await redis.close();
  await server.stop();
  await memory.close();
});
describeStore('Redis', () => ({ store: redis, wait: sleep, nowMs: Date.now }));

async function ready(store: Store): Promise<void> {
  for (let tries = 0; tries < 100; tries++) {
    try {
      return await store.ping();
    } catch {
      await sleep(50);
    }
  }
  throw new Error('the store did not come back');
}

describe('a store that fails', () => {
  it('is an outage and not an absence: Redis is frozen', async () => {
    server.freeze();
    await expect(redis.get('x')).rejects.toThrow(GatewayFailure);
    await expect(redis.add('x', '1', 10)).rejects.toMatchObject({ code: 'store_unavailable', status: 503 });
    server.thaw();
    await ready(redis);
  });

  it('comes back by itself: Redis is killed and started again', async () => {
    await redis.set('gatehouse:{t}:kept', 'x', 60_000);
    await server.stop();
    await expect(redis.get('gatehouse:{t}:kept')).rejects.toThrow(GatewayFailure);
    await server.start();
    await ready(redis);
    expect(await redis.get('gatehouse:{t}:kept')).toBeUndefined();
  });

  it('hears again when the network forgot the connection that only listens, and says that it heard nothing meanwhile', async () => {
    const line = await openCutProxy(server.port);
    const far = createRedisStore(new Secret(line.url), () => {});
    await ready(far);
    const heard: (string | undefined)[] = [];
    const hears = far.listen((key) => heard.push(key));
    await expect.poll(hears, { timeout: 5_000 }).toBe(true);
    line.blackHole();
    heard.length = 0;
    const isHeard = async (): Promise<boolean> => {
      await redis.announce('gatehouse:{t}:again');
      return heard.includes('gatehouse:{t}:again');
    };
    await expect.poll(isHeard, { timeout: 15_000, interval: 100 }).toBe(true);
    expect(heard[0]).toBeUndefined();
    await far.close();
    await line.close();
  });

  it('keeps nothing where it may not tell others', async () => {
    const { host, port } = new URL(server.url);
    const admin = new Redis(server.url);
    await admin.acl('SETUSER', 'mute', 'on', '>secret', '~*', '&*', '+@all', '-publish');
    const complaints: string[] = [];
    const mute = createRedisStore(
      new Secret(`redis://mute:secret@${host.replace(/:\d+$/, '')}:${port}`),
      ({ message }) => complaints.push(message),
    );
    await ready(mute);
    const hears = mute.listen(() => {});
    await expect.poll(hears, { timeout: 5_000 }).toBe(true);
    await expect(mute.announce('x')).rejects.toThrow(GatewayFailure);
    expect(hears()).toBe(false);
    expect(complaints.join()).toContain('NOPERM');
    await mute.close();
    admin.disconnect();
  });

  it('refuses rather than forgets anybody: the embedded store is full', async () => {
    const small = createMemoryStore(clock, 2);
    await small.set('a', '1', 1_000);
    await small.set('b', '1', 1_000);
    await expect(small.set('c', '1', 1_000)).rejects.toThrow(GatewayFailure);
    await small.set('a', '2', 1_000);
    clock.advance(1_000);
    await small.set('c', '1', 1_000);
    expect(await small.get('c')).toBe('1');
    await small.close();
  });
});
