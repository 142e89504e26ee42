import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GatewayFailure } from '../src/kernel/failure.ts';
import { createMemoryStore } from '../src/storage/memory.ts';
import { createRedisStore } from '../src/storage/redis.ts';
import type { Store } from '../src/storage/store.ts';
import { describeStore } from './contracts/store.ts';
import { openCutProxy } from './support/cut-proxy.ts';
import { createStillClock } from './support/fake-clock.ts';
import { addressOf, openRedis, type RedisServer, tell, until, untilStoreReady } from './support/redis.ts';

const clock = createStillClock();
const memory = createMemoryStore(clock);
describeStore('embedded', () => ({ store: memory, wait: async (ms) => clock.advance(ms), nowMs: clock.nowMs }));

let server: RedisServer;
let redis: Store;
beforeAll(async () => {
  server = await openRedis();
  redis = createRedisStore(addressOf(server.url), () => {});
  await untilStoreReady(redis);
});
afterAll(async () => {
  await redis.close();
  await server.stop();
  await memory.close();
});
describeStore('Redis', () => ({ store: redis, wait: sleep, nowMs: Date.now }));

describe('a store that fails', () => {
  it('is an outage and not an absence: Redis is frozen', async () => {
    server.freeze();
    await expect(redis.get('x')).rejects.toThrow(GatewayFailure);
    await expect(redis.add('x', '1', 10)).rejects.toMatchObject({ code: 'store_unavailable', status: 503 });
    server.thaw();
    await untilStoreReady(redis);
  });

  it('comes back by itself: Redis is killed and started again', async () => {
    await redis.set('gatehouse:{t}:kept', 'x', 60_000);
    await server.stop();
    await expect(redis.get('gatehouse:{t}:kept')).rejects.toThrow(GatewayFailure);
    await server.start();
    await untilStoreReady(redis);
    expect(await redis.get('gatehouse:{t}:kept')).toBeUndefined();
  });

  it('hears again when the network forgot the connection that only listens, and says that it heard nothing meanwhile', async () => {
    const line = await openCutProxy(server.port);
    const far = createRedisStore(addressOf(line.url), () => {});
    await untilStoreReady(far);
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
      addressOf(`redis://mute:secret@${host.replace(/:\d+$/, '')}:${port}`),
      ({ message }) => complaints.push(message),
    );
    await untilStoreReady(mute);
    const hears = mute.listen(() => {});
    await expect.poll(hears, { timeout: 5_000 }).toBe(true);
    await expect(mute.announce('x')).rejects.toThrow(GatewayFailure);
    expect(hears()).toBe(false);
    expect(complaints.join()).toContain('NOPERM');
    await mute.close();
    admin.disconnect();
  });

  it('full, it takes no more and forgets nobody; one that evicts is complained about', async () => {
    const full = await openRedis(['--maxmemory', '3mb', '--maxmemory-policy', 'noeviction']);
    const complaints: string[] = [];
    const store = createRedisStore(addressOf(full.url), ({ message }) => complaints.push(message));
    await untilStoreReady(store);
    await store.set('gatehouse:{t}:session:a', 'x', 60_000);
    const fill = async (): Promise<void> => {
      for (let index = 0; index < 1_000; index++)
        await store.set(`gatehouse:{t}:fill:${index}`, 'y'.repeat(5_000), 60_000);
    };
    await expect(fill()).rejects.toThrow(GatewayFailure);
    expect(await store.get('gatehouse:{t}:session:a', 60_000)).toBe('x');
    expect(complaints).toEqual([]);
    await tell(full.port, 'CONFIG', 'SET', 'maxmemory-policy', 'allkeys-lru');
    const other = createRedisStore(addressOf(full.url), ({ message }) => complaints.push(message));
    await expect.poll(() => complaints.join()).toContain('allkeys-lru');
    await Promise.all([store.close(), other.close()]);
    await full.stop();
  });

  it('finds the new master by itself when its own has become a replica (READONLY)', async () => {
    const [one, other] = [await openRedis(), await openRedis()];
    const line = await openCutProxy(one.port);
    const store = createRedisStore(addressOf(line.url), () => {});
    await untilStoreReady(store);
    await store.set('gatehouse:{t}:session:a', 'x', 60_000);
    await tell(one.port, 'REPLICAOF', '127.0.0.1', String(other.port));
    await expect(store.set('gatehouse:{t}:session:b', 'x', 60_000)).rejects.toThrow(GatewayFailure);
    line.leadTo(other.port); // the address moves, and the connection to the old one stays
    await expect
      .poll(() => store.add('gatehouse:{t}:session:c', 'x', 60_000).catch(() => false), { timeout: 5_000 })
      .toBe(true);
    await store.close();
    await Promise.all([line.close(), one.stop(), other.stop()]);
  });

  it('is an outage while it loads what it had', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'gatehouse-loading-'));
    const loading = await openRedis(['--dir', dir, '--enable-debug-command', 'yes']);
    const store = createRedisStore(addressOf(loading.url), () => {});
    await untilStoreReady(store);
    await Promise.all(Array.from({ length: 500 }, (_, index) => store.set(`gatehouse:{t}:x:${index}`, 'x', 60_000)));
    await tell(loading.port, 'SAVE');
    await tell(loading.port, 'CONFIG', 'SET', 'key-load-delay', '2000'); // a second in all
    const reloaded = tell(loading.port, 'DEBUG', 'RELOAD');
    const outcomes: string[] = [];
    await until('it has been loading, and is there again', async () => {
      outcomes.push(await store.get('gatehouse:{t}:x:1').then(String, (error: GatewayFailure) => error.code));
      return outcomes.includes('store_unavailable') && outcomes.at(-1) === 'x';
    });
    expect(new Set(outcomes)).toEqual(new Set(['x', 'store_unavailable'])); // and never: there is no such session
    await reloaded;
    await store.close();
    await loading.stop();
    await rm(dir, { recursive: true });
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
