/**
 * The seam between the gateway and what remembers: a few verbs over strings, each with a lifetime, each atomic. Two
 * implementations pass one behavioural suite (test/contracts/store.ts). What cannot be answered in time is thrown as a
 * `StoreUnavailable`, so that nobody takes an outage for an absent session.
 */
import { GatewayFailure } from '../kernel/failure.ts';
import type { Limiter, LimitRule } from './limiter.ts';

const RETRY_AFTER_SECONDS = '5';

/** In milliseconds; `forever` is for accounts and nothing else. */
export type Lifetime = number | 'forever';

export type Listener = (key: string | undefined) => void;

export type Store = {
  /** The value, and with `touchMs` also a new lifetime for it, in one step; `undefined`: there is none. */
  readonly get: (key: string, touchMs?: number) => Promise<string | undefined>;
  /** Writes, whatever was there. */
  readonly set: (key: string, value: string, ttlMs: Lifetime) => Promise<void>;
  /** Writes only where nothing is. @returns whether it wrote: true for exactly one of any number of callers */
  readonly add: (key: string, value: string, ttlMs: Lifetime) => Promise<boolean>;
  /** Writes and answers what was there before. */
  readonly swap: (key: string, value: string, ttlMs: number) => Promise<string | undefined>;
  /** Writes only where `before` is, and leaves the lifetime as it was. @returns whether it wrote */
  readonly replaceIf: (key: string, before: string, after: string) => Promise<boolean>;
  /** Removes. @returns what was there: for exactly one of any number of callers */
  readonly take: (key: string) => Promise<string | undefined>;
  /** How long a value still lives, in milliseconds; `undefined`: there is none. */
  readonly remainingMs: (key: string) => Promise<number | undefined>;
  /** Puts a member into a set until then; the set lives as long as the member that lives longest. */
  readonly addMember: (key: string, member: string, expiresAtMs: number, nowMs: number) => Promise<void>;
  /** The members that have not expired. */
  readonly members: (key: string, nowMs: number) => Promise<readonly string[]>;
  readonly removeMember: (key: string, member: string) => Promise<void>;
  /** Adds to a list that keeps about the last so many, and lives so long after the last. */
  readonly append: (key: string, entry: string, keep: number, ttlMs: number) => Promise<void>;
  /** The last so many, the oldest first. */
  readonly tail: (key: string, count: number) => Promise<readonly string[]>;
  /** Every key that begins so, each at least once if it is there all the while. For operators: it looks at everything. */
  readonly scan: (prefix: string) => AsyncIterable<string>;
  /**
   * Says to every replica that what this key holds has changed. Sent after whatever this process wrote before. One that misses it
   * must do without: nothing may stand on its arrival.
   */
  readonly announce: (key: string) => Promise<void>;
  /**
   * @param listener of announcements, those of this process too; `undefined`: some may have been missed
   * @returns whether announcements arrive at present
   */
  readonly listen: (listener: Listener) => () => boolean;
  /** Counts for all replicas together. Never fails: what cannot be counted there is counted here. */
  readonly limiter: (rule: LimitRule) => Limiter;
  /** Answers when the store does. */
  readonly ping: () => Promise<void>;
  readonly close: () => Promise<void>;
};

export class StoreUnavailable extends GatewayFailure {
  constructor(cause: unknown) {
    super('store_unavailable', {
      reason: 'store_unavailable',
      cause,
      headers: { 'Retry-After': RETRY_AFTER_SECONDS },
    });
  }
}
