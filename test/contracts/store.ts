/** What every store promises. One suite, as many implementations as there are. */
import { describe, expect, it } from 'vitest';
import type { Store } from '../../src/storage/store.ts';

export type StoreUnderTest = {
  readonly store: Store;
  /** lets time pass for the store */
  readonly wait: (ms: number) => Promise<void>;
  readonly nowMs: () => number;
};

export function describeStore(name: string, under: () => StoreUnderTest): void {
  let made = 0;
  const key = (): string => `gatehouse:{t}:test:${++made}:${Math.random()}`;

  describe(`the ${name} store`, () => {
    it('gives back what was set, byte for byte', async () => {
      const { store } = under();
      const [one, other] = [key(), key()];
      await store.set(one, 'ä\u0000"\n😀', 10_000);
      expect(await store.get(one)).toBe('ä\u0000"\n😀');
      expect(await store.get(other)).toBeUndefined();
    });

    it('forgets when the lifetime is over, fractions included', async () => {
      const { store, wait } = under();
      const one = key();
      await store.set(one, 'x', 60.5);
      await wait(120);
      expect(await store.get(one)).toBeUndefined();
    });

    it('gives a new lifetime to what is touched, and does not bring back what is gone', async () => {
      const { store, wait } = under();
      const one = key();
      await store.set(one, 'x', 100);
      expect(await store.get(one, 5_000)).toBe('x');
      await wait(200);
      expect(await store.get(one)).toBe('x');
      expect(await store.get(key(), 5_000)).toBeUndefined();
    });

    it('adds for exactly one of many callers, and again when the lifetime is over', async () => {
      const { store, wait } = under();
      const one = key();
      const wrote = await Promise.all(Array.from({ length: 50 }, (_, i) => store.add(one, String(i), 60)));
      expect(wrote.filter(Boolean)).toHaveLength(1);
      await wait(120);
      expect(await store.add(one, 'x', 60)).toBe(true);
    });

    it('swaps and says what was there', async () => {
      const { store } = under();
      const one = key();
      expect(await store.swap(one, 'a', 5_000)).toBeUndefined();
      expect(await store.swap(one, 'b', 5_000)).toBe('a');
      expect(await store.get(one)).toBe('b');
    });

    it('announces to all who listen, after what was written before', async () => {
      const { store } = under();
      const one = key();
      const seen: (string | undefined)[] = [];
      const heard = new Promise<string | undefined>((resolve) => {
        const hears = store.listen((changed) => {
          if (changed === one) seen.push(changed);
          if (changed === one) void store.get(one).then(resolve);
        });
        const whenHearing = async (): Promise<void> => {
          while (!hears()) await new Promise((again) => setTimeout(again, 5));
          await Promise.all([store.set(one, 'new', 5_000), store.announce(one)]);
        };
        void whenHearing();
      });
      expect(await heard).toBe('new');
      expect(seen).toEqual([one]);
    });

    it('takes for exactly one of many callers', async () => {
      const { store } = under();
      const one = key();
      await store.set(one, 'x', 5_000);
      const took = await Promise.all(Array.from({ length: 20 }, () => store.take(one)));
      expect(took.filter((value) => value === 'x')).toHaveLength(1);
      expect(await store.get(one)).toBeUndefined();
    });

    it('replaces only what is still there, and leaves its lifetime alone', async () => {
      const { store, wait } = under();
      const one = key();
      expect(await store.replaceIf(one, 'a', 'b')).toBe(false);
      expect(await store.get(one)).toBeUndefined();
      await store.set(one, 'a', 100);
      expect(await store.replaceIf(one, 'x', 'b')).toBe(false);
      const wrote = await Promise.all(Array.from({ length: 10 }, (_, i) => store.replaceIf(one, 'a', `b${i}`)));
      expect(wrote.filter(Boolean)).toHaveLength(1);
      expect(await store.get(one)).toMatch(/^b\d$/);
      await wait(150);
      expect(await store.get(one)).toBeUndefined();
    });

    it('says how long a value still lives', async () => {
      const { store } = under();
      const one = key();
      expect(await store.remainingMs(one)).toBeUndefined();
      await store.set(one, 'x', 5_000);
      expect(await store.remainingMs(one)).toBeGreaterThan(4_000);
      expect(await store.remainingMs(one)).toBeLessThanOrEqual(5_000);
    });

    it('keeps members each for their own time', async () => {
      const { store, wait, nowMs } = under();
      const one = key();
      expect(await store.members(one, nowMs())).toEqual([]);
      await store.addMember(one, 'long', nowMs() + 5_000, nowMs());
      await store.addMember(one, 'short', nowMs() + 80, nowMs());
      await store.addMember(one, 'gone', nowMs() + 5_000, nowMs());
      await store.removeMember(one, 'gone');
      expect([...(await store.members(one, nowMs()))].sort()).toEqual(['long', 'short']);
      await wait(150);
      expect(await store.members(one, nowMs())).toEqual(['long']);
    });

    it('forgets a set with its last member', async () => {
      const { store, wait, nowMs } = under();
      const one = key();
      await store.addMember(one, 'a', nowMs() + 60, nowMs());
      await store.addMember(one, 'b', nowMs() + 40, nowMs());
      await wait(120);
      expect(await store.members(one, nowMs())).toEqual([]);
    });

    it('finds keys by their beginning, whatever characters it has', async () => {
      const { store } = under();
      const start = `gatehouse:{scan*[x]?}:${Math.random()}:`;
      for (const end of ['a', 'b']) await store.set(`${start}${end}`, 'x', 5_000);
      await store.set(`gatehouse:{scanxx}:${start}`, 'x', 5_000);
      const found = new Set<string>();
      for await (const one of store.scan(start)) found.add(one);
      expect([...found].sort()).toEqual([`${start}a`, `${start}b`]);
    });

    it('counts for all who count by one key, and says how long to wait', async () => {
      const { store } = under();
      const [one, other] = [key(), key()];
      const rule = { times: 3, seconds: 60 };
      const [here, there] = [store.limiter(rule), store.limiter(rule)];
      const isShared = name !== 'embedded'; // each limiter of it counts by itself, and there is one of each
      for (const limiter of [here, isShared ? there : here, here]) expect(await limiter.count(one)).toBeUndefined();
      for (const limiter of isShared ? [there, here] : [here]) {
        const seconds = await limiter.count(one);
        expect(seconds).toBeGreaterThan(0);
        expect(seconds).toBeLessThanOrEqual(60);
      }
      expect(await here.count(other)).toBeUndefined();
    });

    it('keeps the last of a list, in their order, and forgets them in time', async () => {
      const { store, wait } = under();
      const one = key();
      expect(await store.tail(one, 5)).toEqual([]);
      for (let index = 0; index < 5; index++) await store.append(one, `{"n":${index}}`, 1_000, 100);
      expect(await store.tail(one, 2)).toEqual(['{"n":3}', '{"n":4}']);
      expect(await store.tail(one, 99)).toHaveLength(5);
      await wait(200);
      expect(await store.tail(one, 5)).toEqual([]);
      const full = key();
      for (let index = 0; index < 300; index++) await store.append(full, 'x', 10, 5_000);
      expect((await store.tail(full, 1_000)).length).toBeLessThan(200); // about ten: Redis cuts whole blocks
    });

    it('answers a ping', async () => {
      await expect(under().store.ping()).resolves.toBeUndefined();
    });
  });
}
