/**
 * The embedded store: one process, nothing survives it. For the demo, for tests, and for trying things out. Expired
 * entries are dropped when met and by a sweep; the number of values is bounded, so that sessions cannot eat the machine.
 */
import type { Clock } from '../kernel/clock.ts';
import { createLimiter } from './limiter.ts';
import { type Lifetime, type Listener, type Store, StoreUnavailable } from './store.ts';

const SWEEP_EVERY_MS = 30_000;
const MAX_ENTRIES = 500_000; // about 1 GB of sessions; past that it refuses to write rather than forget anybody

type Entry = { readonly value: string; readonly expiresAtMs: number };
/** member -> when it expires */
type MemberSet = Map<string, number>;

export function createMemoryStore(clock: Clock, maxEntries = MAX_ENTRIES): Store {
  const entries = new Map<string, Entry>();
  const sets = new Map<string, MemberSet>();
  const lists = new Map<string, { readonly entries: string[]; readonly expiresAtMs: number }>();
  const listeners = new Set<Listener>();
  const sweeper = setInterval(sweep, SWEEP_EVERY_MS).unref();

  function sweep(): void {
    for (const [key, { expiresAtMs }] of entries) if (expiresAtMs <= clock.nowMs()) entries.delete(key);
    for (const key of sets.keys()) live(key, clock.nowMs());
    for (const [key, { expiresAtMs }] of lists) if (expiresAtMs <= clock.nowMs()) lists.delete(key);
  }

  /** The set without its expired members; an empty one is no set. */
  function live(key: string, nowMs: number): MemberSet | undefined {
    const set = sets.get(key);
    if (set === undefined) return undefined;
    for (const [member, expiresAtMs] of set) if (expiresAtMs <= nowMs) set.delete(member);
    if (set.size === 0) sets.delete(key);
    return set;
  }

  function find(key: string): string | undefined {
    const entry = entries.get(key);
    if (entry === undefined || entry.expiresAtMs > clock.nowMs()) return entry?.value;
    entries.delete(key);
    return undefined;
  }

  function write(key: string, value: string, ttlMs: Lifetime): void {
    if (entries.size >= maxEntries && !entries.has(key)) {
      sweep();
      if (entries.size >= maxEntries) throw new StoreUnavailable(new Error('the embedded store is full'));
    }
    entries.set(key, { value, expiresAtMs: ttlMs === 'forever' ? Number.POSITIVE_INFINITY : clock.nowMs() + ttlMs });
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
    async replaceIf(key, before, after) {
      const entry = entries.get(key);
      if (entry === undefined || find(key) !== before) return false;
      entries.set(key, { value: after, expiresAtMs: entry.expiresAtMs });
      return true;
    },
    async take(key) {
      const value = find(key);
      entries.delete(key);
      return value;
    },
    async remainingMs(key) {
      const entry = find(key) === undefined ? undefined : entries.get(key);
      return entry && entry.expiresAtMs - clock.nowMs();
    },
    async addMember(key, member, expiresAtMs, nowMs) {
      const set = live(key, nowMs) ?? new Map();
      sets.set(key, set.set(member, expiresAtMs));
    },
    async members(key, nowMs) {
      return [...(live(key, nowMs)?.keys() ?? [])];
    },
    async removeMember(key, member) {
      sets.get(key)?.delete(member);
    },
    async append(key, entry, keep, ttlMs) {
      const entries = lists.get(key)?.entries ?? [];
      entries.push(entry);
      if (entries.length > 2 * keep) entries.splice(0, entries.length - keep);
      lists.set(key, { entries, expiresAtMs: clock.nowMs() + ttlMs });
    },
    async tail(key, count) {
      const list = lists.get(key);
      return list !== undefined && list.expiresAtMs > clock.nowMs() ? list.entries.slice(-count) : [];
    },
    async *scan(prefix) {
      for (const key of [...entries.keys()]) if (key.startsWith(prefix) && find(key) !== undefined) yield key;
    },
    async announce(key) {
      for (const listener of listeners) listener(key);
    },
    listen(listener) {
      listeners.add(listener);
      return () => true;
    },
    limiter: (rule) => createLimiter(rule),
    async ping() {},
    async close() {
      clearInterval(sweeper);
      entries.clear();
      sets.clear();
      lists.clear();
      listeners.clear();
    },
  };
}
