import { type ChildProcess, spawn } from 'node:child_process';
import { openSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { freePort, NO_LIMITS } from '../support/gateway.ts';
import { ACME_CALLBACK, acmeYaml, globexYaml, sessionOf, start, validClaims } from '../support/house.ts';
import { openProviders, type Providers, type Tally, underLoad } from '../support/load.ts';
import { ROOT } from '../support/process.ts';
import { openRedis, type RedisServer, until } from '../support/redis.ts';
import { untilReady } from '../support/replicas.ts';
import { Visitor } from '../support/visitor.ts';

/** Real processes, and what happens to them; HAProxy in front where there are two, as an operator would have it. */
const KEYS = 'a-key-that-both-replicas-know-of-32-bytes';
const rows: string[] = [];
afterAll(() => process.stdout.write(`\n${rows.join('\n')}\n`));

let providers: Providers;
let redis: RedisServer;
let dir: string;
const children = new Set<ChildProcess>();
beforeEach(async () => {
  [providers, redis, dir] = await Promise.all([
    openProviders(),
    openRedis(),
    mkdtemp(join(tmpdir(), 'gatehouse-faults-')),
  ]);
  await mkdir(join(dir, 'tenants'));
  await writeFile(join(dir, 'tenants', 'acme.yaml'), stringify(acmeYaml(providers.acme)));
  await writeFile(join(dir, 'tenants', 'globex.yaml'), stringify(globexYaml(providers.globex)));
  await writeFile(join(dir, 'gatehouse.yaml'), stringify({ limits: NO_LIMITS }));
});
afterEach(async () => {
  for (const child of children) child.kill('SIGKILL');
  children.clear();
  await Promise.all([providers.close(), redis.stop(), rm(dir, { recursive: true })]);
});

type Replica = { readonly port: number; child: ChildProcess };

async function launch(port: number, publicUrl: string, stdout: 'ignore' | number = 'ignore'): Promise<Replica> {
  const child = spawn(process.execPath, ['src/main.ts'], {
    cwd: ROOT,
    stdio: ['ignore', stdout, 'inherit'],
    env: {
      PATH: process.env.PATH ?? '',
      PORT: String(port),
      OPS_PORT: String(await freePort()),
      PUBLIC_URL: publicUrl,
      CONFIG_DIR: dir,
      REDIS_URL: redis.url,
      COOKIE_KEYS: KEYS,
      DRAIN_DELAY: '2s',
    },
  });
  children.add(child);
  await untilReady({ url: `http://127.0.0.1:${port}` });
  return { port, child };
}

function ended(child: ChildProcess): Promise<number | null> {
  return new Promise((resolve) => child.once('exit', (code) => resolve(code)));
}

async function behindHaproxy(replicas: readonly number[], port: number): Promise<void> {
  const config = [
    'defaults',
    '  mode http',
    '  timeout connect 1s',
    '  timeout client 60s',
    '  timeout server 60s',
    '  retries 3',
    '  option redispatch',
    '  option httpchk GET /readyz',
    'frontend public',
    `  bind 127.0.0.1:${port}`,
    '  default_backend gatehouse',
    'backend gatehouse',
    ...replicas.map((replica, index) => `  server r${index} 127.0.0.1:${replica} check inter 500 fall 1 rise 1`),
    '',
  ].join('\n');
  await writeFile(join(dir, 'haproxy.cfg'), config);
  children.add(spawn('haproxy', ['-db', '-f', join(dir, 'haproxy.cfg')], { stdio: 'ignore' }));
  await untilReady({ url: `http://127.0.0.1:${port}` });
}

async function twoUnderLoad(
  what: string,
  trouble: (replicas: Replica[], url: string) => Promise<void>,
): Promise<Tally> {
  const [port, one, two] = [await freePort(), await freePort(), await freePort()];
  const url = `http://127.0.0.1:${port}`;
  const replicas = await Promise.all([launch(one, url), launch(two, url)]);
  await behindHaproxy([one, two], port);
  const tally = await underLoad(providers, [url], async () => {
    await sleep(1_000);
    await trouble(replicas, url);
    await sleep(1_000);
  });
  const { right, broken, unavailable, sessionsLost, signIns, signInsLost, wrong } = tally;
  rows.push(
    `| ${what} | ${broken + unavailable} of ${right + broken + unavailable} | ${sessionsLost} of 24 | ${signInsLost} of ${signIns + signInsLost} | ${wrong.length} |`,
  );
  return tally;
}

describe('two replicas behind a balancer', () => {
  it('are restarted one after the other without one failed request', async () => {
    const tally = await twoUnderLoad('rolling restart of both', async (replicas, url) => {
      for (const replica of replicas) {
        const gone = ended(replica.child);
        replica.child.kill('SIGTERM');
        expect(await gone).toBe(0);
        replica.child = (await launch(replica.port, url)).child;
        await sleep(1_000); // the balancer has to see that it is there again
      }
    });
    expect(tally).toMatchObject({ wrong: [], broken: 0, unavailable: 0, signInsLost: 0, sessionsLost: 0 });
    expect(tally.signIns).toBeGreaterThan(20);
  });

  it('one is killed with -9: what it was doing is lost, and nothing else', async () => {
    const tally = await twoUnderLoad('one of two killed with -9, back after 2 s', async (replicas, url) => {
      const [replica] = replicas;
      if (replica === undefined) throw new Error('no replica');
      replica.child.kill('SIGKILL');
      await sleep(2_000);
      await launch(replica.port, url);
    });
    // the balancer says 502 or 503 for what had been sent to it; nobody gets what is not theirs
    expect(tally.wrong.filter((one) => !/^50[23] for/.test(one))).toEqual([]);
    expect(tally.sessionsLost).toBe(0);
  });
});

describe('one process', () => {
  async function one(stdout: 'ignore' | number = 'ignore'): Promise<{ url: string; child: ChildProcess }> {
    const port = await freePort();
    const url = `http://127.0.0.1:${port}`;
    return { url, child: (await launch(port, url, stdout)).child };
  }

  async function signIn(url: string): Promise<Visitor> {
    const visitor = new Visitor(url);
    const asked = await start(visitor);
    const id_token = await providers.acme.sign(validClaims(providers.acme, asked, { nowMs: () => Date.now() }));
    await visitor.post(ACME_CALLBACK, { id_token, state: asked.state });
    return visitor;
  }

  it('serves on where its log cannot be written: a full disk', async () => {
    const { url, child } = await one(openSync('/dev/full', 'w'));
    for (let times = 0; times < 20; times++) expect(await sessionOf(await signIn(url))).toMatchObject({ sub: 'ada' });
    const gone = ended(child);
    child.kill('SIGTERM');
    expect(await gone).toBe(0);
  });

  it('holds ten thousand idle connections, and serves the others', async () => {
    const { url, child } = await one();
    const before = await memoryOf(child);
    const sockets = await idle(Number(new URL(url).port), 10_000);
    const visitor = await signIn(url);
    const startedAt = performance.now();
    for (let times = 0; times < 200; times++) expect(await sessionOf(visitor)).toMatchObject({ sub: 'ada' });
    const took = (performance.now() - startedAt) / 200;
    const each = ((await memoryOf(child)) - before) / 10_000;
    rows.push(
      `10,000 idle connections: ${each.toFixed(1)} KiB each, ${took.toFixed(1)} ms for a session check beside them`,
    );
    for (const socket of sockets) socket.destroy();
    expect(await sessionOf(visitor)).toMatchObject({ sub: 'ada' });
  });

  it('lets go of clients that send a letter a second, and of those that stop in the middle of a form', async () => {
    const { url } = await one();
    const port = Number(new URL(url).port);
    const slow = await idle(port, 200);
    for (const socket of slow) socket.write('GET /AcmeCorp HTTP/1.1\r\nHost: x\r\nX-Slow: ');
    const letters = setInterval(() => {
      for (const socket of slow) if (!socket.destroyed) socket.write('a');
    }, 1_000);
    const half = await idle(port, 200);
    for (const socket of half)
      socket.write(
        `POST ${ACME_CALLBACK} HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\nid_`,
      );
    expect(await sessionOf(await signIn(url))).toMatchObject({ sub: 'ada' });
    const open = (): number => [...slow, ...half].filter((socket) => !socket.destroyed).length;
    await until('they are let go', async () => open() === 0, 40 * 60);
    clearInterval(letters);
  });
});

async function idle(port: number, count: number): Promise<Socket[]> {
  const sockets: Socket[] = [];
  for (let index = 0; index < count; index++) {
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => {}).on('data', () => {});
    sockets.push(socket);
    if (index % 200 === 199) await sleep(10); // the queue of new connections is short
  }
  await until('all are connected', async () => sockets.every((socket) => !socket.connecting && !socket.destroyed));
  return sockets;
}

/** KiB that are in memory. */
async function memoryOf({ pid }: ChildProcess): Promise<number> {
  return Number(/VmRSS:\s+(\d+)/.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1]);
}
