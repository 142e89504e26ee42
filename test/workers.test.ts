import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { type Adversary, openAdversary } from './support/adversary.ts';
import { freePort } from './support/gateway.ts';
import { ACME_CALLBACK, acmeYaml, globexYaml, sessionOf, start, validClaims } from './support/house.ts';
import { type Run, run } from './support/process.ts';
import { openRedis, type RedisServer } from './support/redis.ts';
import { Visitor } from './support/visitor.ts';

/** WORKERS=2, as an operator runs it: real processes, one port, one Redis. */
let redis: RedisServer;
let idp: Adversary;
let dir: string;
beforeAll(async () => {
  [redis, idp, dir] = await Promise.all([openRedis(), openAdversary(), mkdtemp(join(tmpdir(), 'gatehouse-workers-'))]);
  await mkdir(join(dir, 'tenants'));
  await writeFile(join(dir, 'tenants', 'acme.yaml'), stringify(acmeYaml(idp)));
  await writeFile(join(dir, 'tenants', 'globex.yaml'), stringify(globexYaml(idp)));
});
afterAll(async () => {
  await Promise.all([idp.stop(), redis.stop(), rm(dir, { recursive: true })]);
});

type Started = { readonly run: Run; readonly url: string; readonly ops: string; readonly workers: () => number[] };

async function startTwo(environment: Record<string, string> = {}): Promise<Started> {
  const [port, opsPort] = [await freePort(), await freePort()];
  const started = run(['src/main.ts'], {
    PORT: String(port),
    OPS_PORT: String(opsPort),
    CONFIG_DIR: dir,
    REDIS_URL: redis.url,
    WORKERS: '2',
    ...environment,
  });
  await started.waitForLine('"workers":2');
  const workers = () => [...started.output().matchAll(/"pid":(\d+)/g)].map(([, pid]) => Number(pid));
  return { run: started, url: `http://127.0.0.1:${port}`, ops: `http://127.0.0.1:${opsPort}`, workers };
}

async function signIn(url: string): Promise<Visitor> {
  const visitor = new Visitor(url);
  const asked = await start(visitor);
  const id_token = await idp.sign(validClaims(idp, asked, { nowMs: () => Date.now() }));
  await visitor.post(ACME_CALLBACK, { id_token, state: asked.state });
  return visitor;
}

describe('two workers', () => {
  it('share sign-ins and sessions, tell their numbers together, and drain on SIGTERM', async () => {
    const { run: started, url, ops } = await startTwo();
    for (let i = 0; i < 8; i++) expect(await sessionOf(await signIn(url))).toMatchObject({ sub: 'ada' });
    expect((await fetch(`${ops}/readyz`)).status).toBe(200);
    const metrics = await (await fetch(`${ops}/metrics`)).text();
    expect(metrics).toContain('gatehouse_sign_ins_total{tenant="acme",outcome="succeeded"} 8');
    expect(metrics).toContain('gatehouse_tenants 2');
    const slow = request(`${url}${ACME_CALLBACK}`, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded', 'content-length': 9, expect: '100-continue' },
    });
    const answered = new Promise<number>((resolve, reject) => {
      slow.on('response', (response) => resolve(response.statusCode ?? 0)).on('error', reject);
    });
    const begun = new Promise((resolve) => slow.on('continue', resolve));
    slow.write('error=');
    await begun; // a worker has it
    started.child.kill('SIGTERM');
    await expect.poll(async () => (await fetch(`${ops}/readyz`).catch(() => undefined))?.status).toBe(503);
    slow.end('abc');
    expect(await answered).toBe(403);
    expect(await started.exited).toBe(0);
  });

  it('one that dies is replaced, and nobody is signed out by it', async () => {
    const { run: started, url, workers } = await startTwo();
    const visitor = await signIn(url);
    const [first] = workers();
    process.kill(first ?? 0, 'SIGKILL');
    await started.waitForLine('worker.ended');
    expect(await sessionOf(visitor)).toMatchObject({ sub: 'ada' });
    await expect.poll(() => workers().length, { timeout: 10_000 }).toBe(3);
    started.child.kill('SIGTERM');
    expect(await started.exited).toBe(0);
  });

  it('one that cannot be replaced now is replaced when it can be', async () => {
    const { run: started, url, workers } = await startTwo();
    await writeFile(join(dir, 'gatehouse.yaml'), 'nonsense: true\n'); // read at start
    process.kill(workers()[0] ?? 0, 'SIGKILL');
    await started.waitForLine('worker.failed');
    expect((await fetch(`${url}/livez`)).status).toBe(200); // by the other
    await rm(join(dir, 'gatehouse.yaml'));
    await expect.poll(() => workers().length, { timeout: 15_000 }).toBe(3);
    started.child.kill('SIGTERM');
    expect(await started.exited).toBe(0);
  });

  it('a second signal ends all at once', async () => {
    const { run: started, url } = await startTwo();
    const hanging = request(`${url}${ACME_CALLBACK}`, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded', 'content-length': 9 },
    });
    hanging.on('error', () => {});
    hanging.write('error=');
    await fetch(`${url}/livez`);
    started.child.kill('SIGTERM');
    started.child.kill('SIGINT');
    expect(await started.exited).toBe(1);
    await expect
      .poll(() =>
        fetch(`${url}/livez`).then(
          () => 'there',
          () => 'gone',
        ),
      )
      .toBe('gone');
  });

  it('need Redis, and a configuration that is right', async () => {
    const without = run(['src/main.ts'], { WORKERS: 'auto', CONFIG_DIR: dir });
    expect(await without.exited).toBe(78);
    expect(without.errors()).toContain('WORKERS');
    await writeFile(join(dir, 'gatehouse.yaml'), 'nonsense: true\n');
    const wrong = run(['src/main.ts'], {
      WORKERS: '2',
      CONFIG_DIR: dir,
      REDIS_URL: redis.url,
      PORT: '0',
      OPS_PORT: '0',
    });
    expect(await wrong.exited).toBe(78);
    await rm(join(dir, 'gatehouse.yaml'));
  });
});
