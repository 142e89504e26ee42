/**
 * How often something may happen, counted by rate-limiter-flexible: in Redis for all replicas together, and in this process alone while Redis
 * cannot be reached, or where there is none. Keys are of storage/keys.ts.
 */
import type { Cluster, Redis } from 'ioredis';
import { RateLimiterMemory, RateLimiterRedis, RateLimiterRes } from 'rate-limiter-flexible';

/** So many in so long, for each key. */
export type LimitRule = { readonly times: number; readonly seconds: number };

export type Limiter = {
  /** Counts one. @returns how many seconds to wait, when it was one too many */
  readonly count: (key: string) => Promise<number | undefined>;
};

/** @param redis absent: this process is the only one */
export function createLimiter({ times, seconds }: LimitRule, redis?: Redis | Cluster): Limiter {
  const rule = { keyPrefix: '', points: times, duration: seconds };
  const alone = new RateLimiterMemory(rule);
  const limiter =
    redis === undefined
      ? alone
      : new RateLimiterRedis({
          ...rule,
          storeClient: redis,
          insuranceLimiter: alone,
          rejectIfRedisNotReady: true,
          // whoever is over the limit is known to be so without another round trip
          inMemoryBlockOnConsumed: times + 1,
        });

  return {
    async count(key) {
      try {
        await limiter.consume(key);
        return undefined;
      } catch (over) {
        if (over instanceof RateLimiterRes) return secondsOf(over);
        throw over;
      }
    },
  };
}

function secondsOf({ msBeforeNext }: RateLimiterRes): number {
  return Math.max(1, Math.ceil(msBeforeNext / 1000));
}
