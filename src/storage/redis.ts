/**
 * The store on Redis 6.2 or newer, through ioredis. Every command ends within a bounded time, and whatever goes wrong is a
 * `StoreUnavailable`. The connection comes back by itself.
 */
import { Redis } from 'ioredis';
import type { Secret } from '../kernel/secret.ts';
import { type Listener, type Store, StoreUnavailable } from './store.ts';

/** A healthy Redis answers in well under a millisecond; a person should see an error page rather than wait. */
const COMMAND_TIMEOUT_MS = 250;
const CONNECT_TIMEOUT_MS = 2_000;
const SILENCE_MAX_MS = 2_000;
const RECONNECT_MAX_MS = 1_000;

/** Scripts run as one step. */
const REPLACE_IF = `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL')
return 1`;
const ADD_MEMBER = `
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[3])
redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
local last = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')
redis.call('PEXPIREAT', KEYS[1], last[2])`;
const SCAN_COUNT = 500;
/** One channel for all: what changes is rare beside what is read. */
const CHANNEL = 'gatehouse:changed';
const SUBSCRIBE_EVERY_MS = 1_000;

/** Of both connections. */
const OPTIONS = {
  commandTimeout: COMMAND_TIMEOUT_MS,
  connectTimeout: CONNECT_TIMEOUT_MS,
  maxRetriesPerRequest: 1,
  enableOfflineQueue: false, // a command that cannot be sent now is an error now
  retryStrategy: (attempt: number) => Math.min(50 * 2 ** attempt, RECONNECT_MAX_MS),
  connectionName: 'gatehouse',
};

/** @param onError told of connection errors, which ioredis repeats until it is connected again */
export function createRedisStore(url: Secret, onError: (error: Error) => void): Store {
  const redis = new Redis(url.reveal(), { ...OPTIONS, enableAutoPipelining: true });
  redis.on('error', onError);
  const ears: Redis[] = [];
  let isHeard = true;
  let answeredAt = performance.now();

  async function answer<T>(command: Promise<T>): Promise<T> {
    try {
      const reply = await command;
      answeredAt = performance.now();
      return reply;
    } catch (error) {
      // a connection that the network forgot is never told so: after some silence a new one is tried
      if (redis.status === 'ready' && performance.now() - answeredAt > SILENCE_MAX_MS) {
        answeredAt = performance.now();
        redis.disconnect(true);
      }
      throw new StoreUnavailable(error);
    }
  }

  return {
    async get(key, touchMs) {
      const value = await answer(touchMs === undefined ? redis.get(key) : redis.getex(key, 'PX', Math.ceil(touchMs)));
      return value ?? undefined;
    },
    async set(key, value, ttlMs) {
      await answer(ttlMs === 'forever' ? redis.set(key, value) : redis.set(key, value, 'PX', Math.ceil(ttlMs)));
    },
    async add(key, value, ttlMs) {
      const written =
        ttlMs === 'forever' ? redis.set(key, value, 'NX') : redis.set(key, value, 'PX', Math.ceil(ttlMs), 'NX');
      return (await answer(written)) === 'OK';
    },
    async swap(key, value, ttlMs) {
      return (await answer(redis.set(key, value, 'PX', Math.ceil(ttlMs), 'GET'))) ?? undefined;
    },
    async replaceIf(key, before, after) {
      return (await answer(redis.eval(REPLACE_IF, 1, key, before, after))) === 1;
    },
    async take(key) {
      return (await answer(redis.getdel(key))) ?? undefined;
    },
    async remainingMs(key) {
      const remaining = await answer(redis.pttl(key));
      return remaining < 0 ? undefined : remaining;
    },
    async addMember(key, member, expiresAtMs, nowMs) {
      await answer(redis.eval(ADD_MEMBER, 1, key, member, Math.ceil(expiresAtMs), Math.floor(nowMs)));
    },
    async members(key, nowMs) {
      return answer(redis.zrange(key, `(${Math.floor(nowMs)}`, '+inf', 'BYSCORE'));
    },
    async removeMember(key, member) {
      await answer(redis.zrem(key, member));
    },
    async *scan(prefix) {
      let cursor = '0';
      do {
        const [next, found] = await answer(
          redis.scan(cursor, 'MATCH', `${prefix.replace(/[*?[\]\\]/g, '\\$&')}*`, 'COUNT', SCAN_COUNT),
        );
        yield* found;
        cursor = next;
      } while (cursor !== '0');
    },
    async announce(key) {
      try {
        await answer(redis.publish(CHANNEL, key));
        isHeard = true;
      } catch (error) {
        const cause = error instanceof Error && error.cause instanceof Error ? error.cause : undefined;
        if (cause?.message.startsWith('NOPERM') !== true) throw error;
        // who may not tell others is not told by those that are like it: nothing is kept
        isHeard = false;
        onError(cause);
        throw error;
      }
    },
    listen(listener) {
      const ear = openEar(url, listener, onError);
      ears.push(ear.redis);
      return () => isHeard && ear.hears();
    },
    async ping() {
      await answer(redis.ping());
    },
    async close() {
      for (const connection of [redis, ...ears]) connection.disconnect();
    },
  };
}

/**
 * A connection of its own, since one that listens can do nothing else in RESP2. It says so again each second: a connection that the
 * network forgot is noticed by that, and nobody else would ever notice.
 */
function openEar(url: Secret, listener: Listener, onError: (error: Error) => void) {
  const redis = new Redis(url.reveal(), { ...OPTIONS, protocol: 2, autoResubscribe: false });
  let hears = false;

  function turn(hearing: boolean): void {
    if (hears !== hearing) listener(undefined); // what was said meanwhile is lost
    hears = hearing;
  }

  function subscribe(): void {
    if (redis.status !== 'ready') return;
    redis.subscribe(CHANNEL).then(
      () => turn(true),
      (error: Error) => {
        turn(false);
        onError(error);
        if (!error.message.startsWith('NOPERM')) redis.disconnect(true);
      },
    );
  }

  const again = setInterval(subscribe, SUBSCRIBE_EVERY_MS).unref();
  redis.on('error', onError);
  redis.on('message', (_channel, key) => listener(key));
  redis.on('ready', subscribe);
  redis.on('close', () => turn(false));
  redis.on('end', () => clearInterval(again));
  return { redis, hears: () => hears };
}
