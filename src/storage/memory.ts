/**
 * The embedded store: one process, nothing survives it. For the demo, for tests, and for trying things out. Expired
 * entries are dropped when met and by a sweep; the number of entries is bounded, so that it cannot eat the machine.
 */
import type { Clock } from '../kernel/clock.ts';
import { type Store, StoreUnavailable } from './store.ts';

const SWEEP_EVERY_MS = 30_000;
const MAX_ENTRIES = 500_000; // about 1 GB of sessions; past that it refuses to write rather than forget anybody

type Entry = { readonly value: string; readonly expiresAtMs: number };

export function createMemoryStore(clock: Clock, maxEntries = MAX_ENTRIES): Store {
  const entries = new Map<string, Entry>();
  const sweeper = setInterval(sweep, SWEEP_EVERY_MS).unref();

  function sweep(): void {
    for (const [key, { expiresAtMs }] of entries) if (expiresAtMs <= clock.nowMs()) entries.delete(key);
  }

  function find(key: string): string | undefined {
    const entry = entries.get(key);
    if (entry === undefined || entry.expiresAtMs > clock.nowMs()) return entry?.value;
    entries.delete(key);
    return undefined;
  }

  function write(key: string, value: string, ttlMs: number): void {
    if (entries.size >= maxEntries && !entries.has(key)) {
      sweep();
      if (entries.size >= maxEntries) throw new StoreUnavailable(new Error('the embedded store is full'));
    }
    entries.set(key, { value, expiresAtMs: clock.nowMs() + ttlMs });
  }

  return {
    async get(key, touchMs) {
      const value = find(key);
      if (value !== undefined && touchMs !== undefined) write(key, value, touchMs);
      return value;
    },
    async set(key, value, ttlMs) {
      write(key, value, ttlMs);
    },
    async add(key, value, ttlMs) {
      if (find(key) !== undefined) return false;
      write(key, value, ttlMs);
      return true;
    },
    async swap(key, value, ttlMs) {
      const before = find(key);
      write(key, value, ttlMs);
      return before;
    },
    async delete(key) {
      return find(key) !== undefined && entries.delete(key);
    },
    async ping() {},
    async close() {
      clearInterval(sweeper);
      entries.clear();
    },
  };
}
