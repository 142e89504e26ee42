/**
 * The store on Redis 6.2 or newer, through ioredis. Every command ends within a bounded time, and whatever goes wrong is a
 * `StoreUnavailable`. The connection comes back by itself.
 */
import { Redis } from 'ioredis';
import type { Secret } from '../kernel/secret.ts';
import { type Store, StoreUnavailable } from './store.ts';

/** A healthy Redis answers in well under a millisecond; a person should see an error page rather than wait. */
const COMMAND_TIMEOUT_MS = 250;
const CONNECT_TIMEOUT_MS = 2_000;
const RECONNECT_MAX_MS = 1_000;

/** @param onError told of connection errors, which ioredis repeats until it is connected again */
export function createRedisStore(url: Secret, onError: (error: Error) => void): Store {
  const redis = new Redis(url.reveal(), {
    commandTimeout: COMMAND_TIMEOUT_MS,
    connectTimeout: CONNECT_TIMEOUT_MS,
    maxRetriesPerRequest: 1,
    enableOfflineQueue: false, // a command that cannot be sent now is an error now
    enableAutoPipelining: true,
    retryStrategy: (attempt) => Math.min(50 * 2 ** attempt, RECONNECT_MAX_MS),
    connectionName: 'gatehouse',
  });
  redis.on('error', onError);

  async function answer<T>(command: Promise<T>): Promise<T> {
    try {
      return await command;
    } catch (error) {
      throw new StoreUnavailable(error);
    }
  }

  return {
    async get(key, touchMs) {
      const value = await answer(touchMs === undefined ? redis.get(key) : redis.getex(key, 'PX', Math.ceil(touchMs)));
      return value ?? undefined;
    },
    async set(key, value, ttlMs) {
      await answer(redis.set(key, value, 'PX', Math.ceil(ttlMs)));
    },
    async add(key, value, ttlMs) {
      return (await answer(redis.set(key, value, 'PX', Math.ceil(ttlMs), 'NX'))) === 'OK';
    },
    async swap(key, value, ttlMs) {
      return (await answer(redis.set(key, value, 'PX', Math.ceil(ttlMs), 'GET'))) ?? undefined;
    },
    async delete(key) {
      return (await answer(redis.unlink(key))) > 0;
    },
    async ping() {
      await answer(redis.ping());
    },
    async close() {
      redis.disconnect();
    },
  };
}
