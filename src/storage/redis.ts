/**
 * The store on Redis 6.2 or newer, through ioredis. Every command is about one key, so that a Cluster serves as one server does; it ends
 * within a bounded time, and whatever goes wrong is a `StoreUnavailable`. The connection comes back by itself.
 */
import type { Redis } from 'ioredis';
import type { RedisAddress } from '../config/redis-url.ts';
import { type Connection, connect, SILENCE_MAX_MS } from './connect.ts';
import { createLimiter } from './limiter.ts';
import { type Listener, type Store, StoreUnavailable } from './store.ts';

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
const APPEND = `
redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], '*', 'event', ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[3])`;
const SCAN_COUNT = 500;
/** One channel for all: what changes is rare beside what is read. */
const CHANNEL = 'gatehouse:changed';
const LISTEN_EVERY_MS = 1_000;

/** @param onError told of connection errors, which ioredis repeats until it is connected again */
export function createRedisStore(address: RedisAddress, onError: (error: Error) => void): Store {
  const connection = connect(address);
  const { redis } = connection;
  redis.on('error', (error: Error) => onError(withReason(error)));
  redis.on('ready', () => void warnOfEviction(connection, onError));
  const ears: Ear[] = [];
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
    async append(key, entry, keep, ttlMs) {
      await answer(redis.eval(APPEND, 1, key, entry, keep, Math.ceil(ttlMs)));
    },
    async tail(key, count) {
      const entries = await answer(redis.xrevrange(key, '+', '-', 'COUNT', count));
      return entries.map(([, [, entry = '']]) => entry).reverse();
    },
    async *scan(prefix) {
      const pattern = `${prefix.replace(/[*?[\]\\]/g, '\\$&')}*`;
      for (const master of connection.masters()) {
        let cursor = '0';
        do {
          const [next, found] = await answer(master.scan(cursor, 'MATCH', pattern, 'COUNT', SCAN_COUNT));
          yield* found;
          cursor = next;
        } while (cursor !== '0');
      }
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
      const ear = openEar(connection, listener, onError);
      ears.push(ear);
      return () => isHeard && ear.hears();
    },
    limiter: (rule) => createLimiter(rule, redis),
    async ping() {
      await answer(connection.probe());
    },
    async close() {
      for (const ear of ears) ear.close();
      redis.disconnect();
    },
  };
}

/** A Cluster says that it could not be reached; why, it says of the last node that it tried. */
function withReason(error: Error): Error {
  const inner = 'lastNodeError' in error ? error.lastNodeError : undefined;
  return inner instanceof Error ? new Error(`${error.message} (${inner.message})`) : error;
}

/** What was used once must be remembered as used: a server that forgets what it likes forgets that too. */
async function warnOfEviction({ masters }: Connection, warn: (error: Error) => void): Promise<void> {
  for (const master of masters()) {
    const said = await master.info('memory').catch(() => ''); // a user of ACL that may not ask gets no advice
    const [, limit = '0'] = /^maxmemory:(\d+)/m.exec(said) ?? [];
    const [, policy = 'noeviction'] = /^maxmemory_policy:([\w-]+)/m.exec(said) ?? [];
    if (limit === '0' || policy === 'noeviction') continue;
    warn(
      new Error(`Redis may evict keys (maxmemory-policy ${policy}): set noeviction, or used links can be used again`),
    );
  }
}

type Ear = { readonly hears: () => boolean; readonly close: () => void };

/**
 * A connection of its own that listens. It says so again each second: a connection that the network forgot is noticed by that, and
 * nobody else would ever notice. One that does not come back by itself gets a successor.
 */
function openEar(connection: Pick<Connection, 'openEar'>, listener: Listener, onError: (error: Error) => void): Ear {
  let hears = false;
  let closed = false;
  let redis = open();
  const again = setInterval(tick, LISTEN_EVERY_MS).unref();

  function turn(hearing: boolean): void {
    if (hears !== hearing) listener(undefined); // what was said meanwhile is lost
    hears = hearing;
  }

  function open(): Redis {
    const opened = connection.openEar();
    opened.on('error', onError);
    opened.on('message', (_channel, key) => listener(key));
    opened.on('ready', () => subscribe(opened));
    opened.on('close', () => turn(false));
    return opened;
  }

  function subscribe(opened: Redis): void {
    opened.subscribe(CHANNEL).then(
      () => turn(true),
      (error: Error) => {
        turn(false);
        onError(error);
        if (!error.message.startsWith('NOPERM')) opened.disconnect(true);
      },
    );
  }

  function tick(): void {
    if (redis.status === 'ready') subscribe(redis);
    else if (redis.status === 'end' && !closed) redis = open();
  }

  return {
    hears: () => hears,
    close() {
      closed = true;
      clearInterval(again);
      redis.disconnect();
    },
  };
}
