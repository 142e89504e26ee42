/** What every store promises. One suite, as many implementations as there are. */
import { describe, expect, it } from 'vitest';
import type { Store } from '../../src/storage/store.ts';

export type StoreUnderTest = {
  readonly store: Store;
  /** lets time pass for the store */
  readonly wait: (ms: number) => Promise<void>;
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

    it('deletes and says whether there was something', async () => {
      const { store } = under();
      const one = key();
      await store.set(one, 'x', 5_000);
      expect(await store.delete(one)).toBe(true);
      expect(await store.delete(one)).toBe(false);
      expect(await store.get(one)).toBeUndefined();
    });

    it('answers a ping', async () => {
      await expect(under().store.ping()).resolves.toBeUndefined();
    });
  });
}
