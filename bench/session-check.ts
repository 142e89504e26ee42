/**
 * The hot path: a request of somebody who is signed in, with the session in Redis. `/SSO/Auth` and proxying, beside bare Koa
 * answering 204, a bare undici dispatch to the same upstream, and the upstream itself.
 */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Koa from 'koa';
import { Agent } from 'undici';
import { stringify } from 'yaml';
import { openAdversary } from '../test/support/adversary.ts';
import { freePort } from '../test/support/gateway.ts';
import { ACME_CALLBACK, acmeYaml, start, validClaims } from '../test/support/house.ts';
import { type Run, run } from '../test/support/process.ts';
import { openRedis } from '../test/support/redis.ts';
import { Visitor } from '../test/support/visitor.ts';
import { compare, table } from './wrk.ts';

export async function benchSessionCheck(): Promise<string[]> {
  const [redis, idp] = [await openRedis(), await openAdversary()];
  const ports = {
    gateway: await freePort(),
    koa: await freePort(),
    upstream: await freePort(),
    bare: await freePort(),
  };
  const dir = await mkdtemp(join(tmpdir(), 'gatehouse-bench-'));
  await mkdir(join(dir, 'tenants'));
  const upstream = { url: `http://127.0.0.1:${ports.upstream}` };
  await writeFile(join(dir, 'tenants', 'acme.yaml'), stringify(acmeYaml(idp, { upstream })));
  const environment = {
    OPS_PORT: '0',
    REDIS_URL: redis.url,
    CONFIG_DIR: dir,
    LOG_LEVEL: 'warn',
    TRUSTED_PROXIES: '127.0.0.1',
  };
  const others = (['koa', 'upstream', 'bare'] as const).map((kind) =>
    run([import.meta.filename, kind, String(ports[kind]), upstream.url]),
  );
  await Promise.all(others.map((other) => other.waitForLine('listening')));
  const gateway = run(['src/main.ts'], { PORT: String(ports.gateway), ...environment });
  const url = `http://127.0.0.1:${ports.gateway}`;
  for (let ready = false; !ready; ) ready = (await fetch(`${url}/readyz`).catch(() => undefined))?.status === 200;

  const visitor = new Visitor(url);
  const asked = await start(visitor);
  const token = await idp.sign(validClaims(idp, asked, { nowMs: Date.now }));
  await visitor.post(ACME_CALLBACK, { id_token: token, state: asked.state });
  const headers = { cookie: [...visitor.cookies].map(([name, value]) => `${name}=${value}`).join('; ') };
  const figures = await compare([
    { name: 'bare Koa, 204', url: `http://127.0.0.1:${ports.koa}/` },
    {
      name: '/SSO/Auth, session in Redis',
      url: `${url}/SSO/Auth`,
      headers: { ...headers, 'x-forwarded-uri': '/AcmeCorp/x' },
    },
    { name: '/SSO/Session, session in Redis', url: `${url}/SSO/Session/acme`, headers },
    { name: 'upstream, directly', url: `${upstream.url}/AcmeCorp/x` },
    { name: 'bare undici dispatch to it', url: `http://127.0.0.1:${ports.bare}/AcmeCorp/x` },
    { name: 'proxied, session in Redis', url: `${url}/AcmeCorp/x`, headers },
  ]);
  end([gateway, ...others]);
  await Promise.all([idp.stop(), redis.stop(), rm(dir, { recursive: true })]);
  const [, , , , bare, proxied] = figures;
  return [
    ...table(figures),
    `proxied / bare undici dispatch: ${((proxied?.perSecond ?? 0) / (bare?.perSecond ?? 1)).toFixed(2)}`,
  ];
}

function end(runs: readonly Run[]): void {
  for (const { child } of runs) child.kill('SIGKILL');
}

const [, , kind, port, target = ''] = process.argv;
const listening = (): void => void process.stdout.write('listening\n');
if (kind === 'koa') {
  const app = new Koa();
  app.use((ctx) => {
    ctx.status = 204;
  });
  app.listen(Number(port), '127.0.0.1', listening);
}
if (kind === 'upstream')
  createServer((_, response) => response.end('x'.repeat(1024))).listen(Number(port), '127.0.0.1', listening);
if (kind === 'bare') {
  const agent = new Agent({ connections: 256, pipelining: 1 });
  createServer((request, response) => {
    agent.dispatch(
      { origin: target, path: request.url ?? '/', method: 'GET', headers: request.rawHeaders },
      {
        onRequestStart: () => {},
        onResponseStart: (_, status, headers) => void response.writeHead(status, headers),
        onResponseData: (_, chunk) => void response.write(chunk),
        onResponseEnd: () => void response.end(),
        onResponseError: () => void response.destroy(),
      },
    );
  }).listen(Number(port), '127.0.0.1', listening);
}
