/** Real Redis servers on ports of their own, without persistence, gone with the test: one, some under Sentinels, a Cluster. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { parseRedisUrl, type RedisAddress } from '../../src/config/redis-url.ts';
import type { Store } from '../../src/storage/store.ts';
import { freePort } from './gateway.ts';

export type RedisServer = {
  readonly url: string;
  readonly port: number;
  readonly stop: () => Promise<void>;
  readonly start: () => Promise<void>;
  /** stops answering without closing anything */
  readonly freeze: () => void;
  readonly thaw: () => void;
};

export function addressOf(url: string): RedisAddress {
  const address = parseRedisUrl(url);
  if (address === undefined) throw new Error('not a URL of Redis');
  return address;
}

/** @param more settings, as on redis-server's command line */
export async function openRedis(more: readonly string[] = []): Promise<RedisServer> {
  for (let attempt = 0; ; attempt++) {
    const port = await freePort();
    try {
      return await openOn(port, more);
    } catch (error) {
      if (attempt === 5) throw error;
    }
  }
}

/** In a folder of its own, gone with it, unless one is given: what replicas and dumps leave behind would be read by the next. */
async function openOn(port: number, more: readonly string[]): Promise<RedisServer> {
  let dir = '';
  const start = async (): Promise<ChildProcess> => {
    if (more.includes('--dir')) return launch(port, more);
    dir = await mkdtemp(join(tmpdir(), 'gatehouse-redis-'));
    return launch(port, ['--dir', dir, ...more]);
  };
  let server = await start();
  return {
    port,
    url: `redis://127.0.0.1:${port}`,
    async stop() {
      const ended = new Promise((resolve) => server.once('exit', resolve));
      if (server.exitCode !== null || server.signalCode !== null) return;
      server.kill('SIGKILL');
      await ended;
      if (dir !== '') await rm(dir, { recursive: true });
    },
    async start() {
      server = await start();
    },
    freeze: () => void server.kill('SIGSTOP'),
    thaw: () => void server.kill('SIGCONT'),
  };
}

/** A replica gets what there is without waiting for others that may want it too. */
const SYNC_AT_ONCE = ['--repl-diskless-sync-delay', '0'];

function launch(port: number, more: readonly string[]): Promise<ChildProcess> {
  const own = [
    '--port',
    String(port),
    '--bind',
    '127.0.0.1',
    '--save',
    '',
    '--appendonly',
    'no',
    ...SYNC_AT_ONCE,
    ...more,
  ];
  return untilReady(spawn('redis-server', own, { stdio: ['ignore', 'pipe', 'ignore'] }), 'Ready to accept connections');
}

function untilReady(server: ChildProcess, sign: string): Promise<ChildProcess> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.once('exit', () => reject(new Error('redis-server ended at once')));
    server.stdout?.on('data', (chunk: Buffer) => {
      if (chunk.includes(sign)) resolve(server);
    });
  });
}

const run = promisify(execFile);
/** What redis-cli says to one server. */
export async function tell(port: number, ...command: string[]): Promise<string> {
  return (await run('redis-cli', ['-p', String(port), ...command])).stdout.trim();
}

export async function until(what: string, isSo: () => Promise<boolean>, tries = 600): Promise<void> {
  for (let done = 0; done < tries; done++) {
    if (await isSo().catch(() => false)) return;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error(`it never came to this: ${what}`);
}

export function untilStoreReady(store: Pick<Store, 'ping'>): Promise<void> {
  return until('the store answers', async () => store.ping().then(() => true));
}

export type WatchedRedis = {
  /** for REDIS_URL */
  readonly url: string;
  readonly servers: readonly RedisServer[];
  /** the one that takes writes now, as the Sentinels know it */
  readonly master: () => Promise<RedisServer>;
  readonly close: () => Promise<void>;
};

const SENTINELS = 3;
const DOWN_AFTER_MS = '500';

/** A master with a replica, and three Sentinels that agree by two. */
export async function openSentinels(): Promise<WatchedRedis> {
  const dir = await mkdtemp(join(tmpdir(), 'gatehouse-sentinel-'));
  const first = await openRedis();
  const second = await openRedis(['--replicaof', '127.0.0.1', String(first.port)]);
  const servers = [first, second];
  await until('the replica has all', async () => (await tell(second.port, 'INFO')).includes('master_link_status:up'));
  const watchers = await Promise.all(
    Array.from({ length: SENTINELS }, async (_, index) => {
      const port = await freePort();
      const file = join(dir, `${index}.conf`);
      await writeFile(
        file,
        [
          `port ${port}`,
          'bind 127.0.0.1',
          `sentinel monitor main 127.0.0.1 ${first.port} 2`,
          `sentinel down-after-milliseconds main ${DOWN_AFTER_MS}`,
          'sentinel failover-timeout main 3000',
          '',
        ].join('\n'),
      );
      const process = spawn('redis-server', [file, '--sentinel'], { stdio: ['ignore', 'pipe', 'ignore'] });
      return { port, process: await untilReady(process, '+monitor') };
    }),
  );
  const ask = (...command: string[]): Promise<string> => tell(watchers[0]?.port ?? 0, ...command);
  await until('the Sentinels know each other', async () => {
    const said = await Promise.all(watchers.map(({ port }) => tell(port, 'SENTINEL', 'CKQUORUM', 'main')));
    return said.every((line) => line.includes(`OK ${SENTINELS} usable`));
  });
  await until('they know the replica', async () => (await ask('SENTINEL', 'REPLICAS', 'main')).includes('name'));
  return {
    url: `redis+sentinel://${watchers.map(({ port }) => `127.0.0.1:${port}`).join(',')}/main`,
    servers,
    async master() {
      const [, port] = (await ask('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', 'main')).split('\n');
      const found = servers.find((server) => server.port === Number(port));
      if (found === undefined) throw new Error('the Sentinels name no server of ours');
      return found;
    },
    async close() {
      for (const { process } of watchers) process.kill('SIGKILL');
      for (const server of servers) server.thaw();
      await Promise.all(servers.map((server) => server.stop()));
      await rm(dir, { recursive: true });
    },
  };
}

export type RedisCluster = {
  readonly url: string;
  readonly nodes: readonly RedisServer[];
  /** the node that has this key's slot now */
  readonly masterOf: (key: string) => Promise<RedisServer>;
  readonly close: () => Promise<void>;
};

/** Three masters, each with so many replicas. */
export async function openCluster(replicas = 0): Promise<RedisCluster> {
  const dir = await mkdtemp(join(tmpdir(), 'gatehouse-cluster-'));
  const nodes = await Promise.all(
    Array.from({ length: 3 * (1 + replicas) }, (_, index) =>
      openRedis([
        '--cluster-enabled',
        'yes',
        '--cluster-config-file',
        join(dir, `${index}.conf`),
        '--cluster-node-timeout',
        '1000',
      ]),
    ),
  );
  const all = nodes.map(({ port }) => `127.0.0.1:${port}`);
  await run('redis-cli', ['--cluster', 'create', ...all, '--cluster-replicas', String(replicas), '--cluster-yes']);
  const isWell = async ({ port }: RedisServer): Promise<boolean> =>
    (await tell(port, 'CLUSTER', 'INFO')).includes('cluster_state:ok');
  await until('all nodes are well', async () => (await Promise.all(nodes.map(isWell))).every(Boolean));
  const hasAll = async ({ port }: RedisServer): Promise<boolean> =>
    /role:master|master_link_status:up/.test(await tell(port, 'INFO', 'replication'));
  await until('all replicas have all', async () => (await Promise.all(nodes.map(hasAll))).every(Boolean));
  return {
    url: `redis+cluster://${all.slice(0, 2).join(',')}`,
    nodes,
    async masterOf(key) {
      for (const node of nodes) {
        const slots = await tell(node.port, 'CLUSTER', 'NODES').catch(() => '');
        const slot = Number(await tell(node.port, 'CLUSTER', 'KEYSLOT', key).catch(() => 'NaN'));
        for (const line of slots.split('\n')) {
          const [, at = '', flags = '', , , , , ...ranges] = line.split(' ');
          const has = ranges.some((range) => {
            const [from, to = from] = range.split('-').map(Number);
            return from !== undefined && to !== undefined && slot >= from && slot <= to;
          });
          const port = Number(/:(\d+)@/.exec(at)?.[1]);
          const found = nodes.find((one) => one.port === port);
          if (has && flags.includes('master') && !flags.includes('fail') && found) return found;
        }
      }
      throw new Error('no node has this key');
    },
    async close() {
      for (const node of nodes) node.thaw();
      await Promise.all(nodes.map((node) => node.stop()));
      await rm(dir, { recursive: true });
    },
  };
}
