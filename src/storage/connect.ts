/**
 * How Redis is reached: one server, the master that Sentinels name, or a Cluster. Every command ends within a bounded time, and one that
 * cannot be sent now is an error now: a person should see an error page rather than wait.
 */
import { Cluster, Redis, type RedisOptions } from 'ioredis';
import type { RedisAddress, RedisNode } from '../config/redis-url.ts';

/** A healthy Redis answers in well under a millisecond. */
const COMMAND_TIMEOUT_MS = 250;
const CONNECT_TIMEOUT_MS = 2_000;
const RECONNECT_MAX_MS = 1_000;
/** What may happen to one command in a Cluster that is changing: together shorter than a command's own time. */
const REDIRECTIONS_MAX = 4;
const RETRY_DELAY_MS = 50;
const SLOTS_EVERY_MS = 5_000;
const LOOK_EVERY_MS = 1_000;
/** Of a connection that should have answered: longer than a busy server takes. */
export const SILENCE_MAX_MS = 2_000;

/** Replies stay as the library maps them by default. */
type Options = Omit<RedisOptions, 'replyMapping'>;

const later = (attempt: number): number => Math.min(50 * 2 ** attempt, RECONNECT_MAX_MS);

/** Of every connection. */
const COMMON = {
  commandTimeout: COMMAND_TIMEOUT_MS,
  connectTimeout: CONNECT_TIMEOUT_MS,
  maxRetriesPerRequest: 1,
  connectionName: 'gatehouse',
  // after a fail-over that nobody announced (an address that moved) the old master says so with each write: look for the new one
  reconnectOnError: (error: Error) => error.message.startsWith('READONLY'),
} satisfies Options;

const ALONE = { ...COMMON, enableOfflineQueue: false, retryStrategy: later } satisfies Options;

export type Connection = {
  readonly redis: Redis | Cluster;
  /** Each server that takes writes, for what is asked of servers and not of keys. */
  readonly masters: () => readonly Redis[];
  /** Answers when commands on keys are answered. */
  readonly probe: () => Promise<unknown>;
  /**
   * A new connection for announcements, which can do nothing else in RESP2. In a Cluster they reach every node, so that any one will do,
   * and the next one when that is gone.
   */
  readonly openEar: () => Redis;
};

export function connect(address: RedisAddress): Connection {
  if (address.kind === 'cluster') return connectCluster(address);
  const open = (more: Options): Redis =>
    address.kind === 'single' ? new Redis(address.url.reveal(), more) : new Redis({ ...bySentinel(address), ...more });
  const redis = open({ ...ALONE, enableAutoPipelining: true });
  return {
    redis,
    masters: () => [redis],
    probe: () => redis.ping(),
    openEar: () => open({ ...ALONE, protocol: 2, autoResubscribe: false }),
  };
}

function bySentinel(address: RedisAddress & { kind: 'sentinel' }): Options {
  const { sentinels, name, db, sentinel } = address;
  return {
    sentinels: sentinels.map((node) => ({ ...node })),
    name,
    db,
    ...credentials(address),
    ...(address.tls && { tls: {}, sentinelTLS: {}, enableTLSForSentinelMode: true }),
    ...(sentinel.username !== undefined && { sentinelUsername: sentinel.username }),
    ...(sentinel.password !== undefined && { sentinelPassword: sentinel.password.reveal() }),
    sentinelRetryStrategy: later,
    sentinelCommandTimeout: CONNECT_TIMEOUT_MS,
  };
}

function connectCluster(address: RedisAddress & { kind: 'cluster' }): Connection {
  const redisOptions = { ...COMMON, ...credentials(address), ...(address.tls && { tls: {} }) };
  const cluster = new Cluster([...address.nodes], {
    redisOptions,
    enableOfflineQueue: false,
    // in a pipeline one answer of another kind keeps all of them from being sent again where a slot has moved
    enableAutoPipelining: false,
    // certificates are for names: ioredis would look them up and compare the address
    ...(address.tls && { dnsLookup: (name, done) => done(null, name) }),
    clusterRetryStrategy: later,
    maxRedirections: REDIRECTIONS_MAX,
    retryDelayOnFailover: RETRY_DELAY_MS,
    retryDelayOnClusterDown: RETRY_DELAY_MS,
    retryDelayOnTryAgain: RETRY_DELAY_MS,
    slotsRefreshTimeout: CONNECT_TIMEOUT_MS,
    slotsRefreshInterval: SLOTS_EVERY_MS,
  });
  watchNodes(cluster);
  let turn = 0;
  const nextNode = (): RedisNode => {
    const known = cluster.nodes('all').map(({ options }) => ({ host: options.host ?? '', port: options.port ?? 0 }));
    const nodes = known.length > 0 ? known : address.nodes;
    return nodes[turn++ % nodes.length] ?? { host: '', port: 0 };
  };
  return {
    redis: cluster,
    masters: () => cluster.nodes('master'),
    probe: () => cluster.get('gatehouse:probe'), // a node answers PING for a cluster that is down
    openEar: () =>
      new Redis({
        ...redisOptions,
        ...nextNode(),
        protocol: 2,
        autoResubscribe: false,
        enableOfflineQueue: false,
        retryStrategy: () => null,
      }),
  };
}

/**
 * A connection to one node that the network forgot is told so by nobody, and the others go on: each is asked now and then, and one that is
 * silent for too long is let go, so that the next command makes a new one.
 */
function watchNodes(cluster: Cluster): void {
  const answeredAt = new WeakMap<Redis, number>();
  const look = (node: Redis): void => {
    if (node.status !== 'ready') return void answeredAt.delete(node);
    const now = performance.now();
    if (!answeredAt.has(node)) answeredAt.set(node, now);
    node.ping().then(
      () => answeredAt.set(node, performance.now()),
      () => {
        if (now - (answeredAt.get(node) ?? now) > SILENCE_MAX_MS) node.disconnect();
      },
    );
  };
  const looking = setInterval(() => cluster.nodes('all').forEach(look), LOOK_EVERY_MS).unref();
  cluster.on('end', () => clearInterval(looking));
}

function credentials({
  username,
  password,
}: Exclude<RedisAddress, { kind: 'single' }>): Pick<Options, 'username' | 'password'> {
  return {
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password: password.reveal() }),
  };
}
