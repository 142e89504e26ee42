import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GatewayFailure } from '../src/kernel/failure.ts';
import { createRedisStore } from '../src/storage/redis.ts';
import type { Store } from '../src/storage/store.ts';
import { describeStore } from './contracts/store.ts';
import { addressOf, openCluster, openSentinels, tell, untilStoreReady, type WatchedRedis } from './support/redis.ts';

/** Redis as it is run where one server is not enough: real Sentinels, a real Cluster. */
describe('by a Cluster', () => {
  let cluster: Awaited<ReturnType<typeof openCluster>>;
  let store: Store;
  beforeAll(async () => {
    cluster = await openCluster();
    store = createRedisStore(addressOf(cluster.url), () => {});
    await untilStoreReady(store);
  });
  afterAll(async () => {
    await store.close();
    await cluster.close();
  });
  describeStore('Redis Cluster', () => ({ store, wait: sleep, nowMs: Date.now }));

  it('keeps keys of many tenants on many nodes, and finds one tenant’s', async () => {
    const tenants = Array.from({ length: 20 }, (_, index) => `t${index}`);
    await Promise.all(tenants.map((tenant) => store.set(`gatehouse:{${tenant}}:session:a`, tenant, 10_000)));
    const nodes = await Promise.all(tenants.map((tenant) => cluster.masterOf(`gatehouse:{${tenant}}:session:a`)));
    expect(new Set(nodes).size).toBe(3);
    expect(await Promise.all(tenants.map((tenant) => store.get(`gatehouse:{${tenant}}:session:a`)))).toEqual(tenants);
    expect(await Array.fromAsync(store.scan('gatehouse:{t7}:session:'))).toEqual(['gatehouse:{t7}:session:a']);
  });

  it('hears announcements, whichever node they are said to', async () => {
    const heard: (string | undefined)[] = [];
    const other = createRedisStore(addressOf(cluster.url), () => {});
    const hears = other.listen((key) => heard.push(key));
    await untilStoreReady(other);
    await expect.poll(hears, { timeout: 5_000 }).toBe(true);
    await store.announce('gatehouse:{t}:session:x');
    await expect.poll(() => heard).toContain('gatehouse:{t}:session:x');
    await other.close();
  });
});

describe('by Sentinels', () => {
  let watched: WatchedRedis;
  let store: Store;
  beforeAll(async () => {
    watched = await openSentinels();
    store = createRedisStore(addressOf(watched.url), () => {});
    await untilStoreReady(store);
  });
  afterAll(async () => {
    await store.close();
    await watched.close();
  });

  it('follows the master when it dies, with what the replica had, and hears again', async () => {
    let heard: (string | undefined)[] = [];
    const hears = store.listen((key) => heard.push(key));
    await expect.poll(hears, { timeout: 5_000 }).toBe(true);
    await store.set('gatehouse:{t}:session:a', 'x', 60_000);
    const master = await watched.master();
    await expect
      .poll(async () => Promise.all(watched.servers.map(({ port }) => tell(port, 'DBSIZE'))))
      .toEqual(['1', '1']);
    await master.stop();
    await expect(store.set('gatehouse:{t}:session:b', 'x', 60_000)).rejects.toThrow(GatewayFailure);
    await expect
      .poll(() => store.add('gatehouse:{t}:session:c', 'x', 60_000).catch(() => false), { timeout: 15_000 })
      .toBe(true);
    expect(await store.get('gatehouse:{t}:session:a')).toBe('x');
    await expect.poll(hears, { timeout: 5_000 }).toBe(true);
    expect(heard).toContain(undefined); // it may have missed some, and said so
    heard = [];
    await store.announce('gatehouse:{t}:session:a');
    await expect.poll(() => heard).toEqual(['gatehouse:{t}:session:a']);
  });
});
