/** A request of somebody who is signed in, with the session in Redis, beside bare Koa answering 204. */

import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Koa from 'koa';
import { stringify } from 'yaml';
import { openAdversary } from '../test/support/adversary.ts';
import { freePort } from '../test/support/gateway.ts';
import { ACME_CALLBACK, acmeYaml, start, validClaims } from '../test/support/house.ts';
import { run } from '../test/support/process.ts';
import { openRedis } from '../test/support/redis.ts';
import { Visitor } from '../test/support/visitor.ts';
import { compare, table } from './wrk.ts';

export async function benchSessionCheck(): Promise<string[]> {
  const [redis, idp, port, barePort] = [await openRedis(), await openAdversary(), await freePort(), await freePort()];
  const dir = await mkdtemp(join(tmpdir(), 'gatehouse-bench-'));
  await mkdir(join(dir, 'tenants'));
  await writeFile(join(dir, 'tenants', 'acme.yaml'), stringify(acmeYaml(idp)));
  const gateway = run(['src/main.ts'], {
    PORT: String(port),
    OPS_PORT: '0',
    REDIS_URL: redis.url,
    CONFIG_DIR: dir,
    LOG_LEVEL: 'warn',
  });
  const url = `http://127.0.0.1:${port}`;
  for (let ready = false; !ready; ) ready = (await fetch(`${url}/readyz`).catch(() => undefined))?.status === 200;
  const bare = run([import.meta.filename, 'bare', String(barePort)]);
  await bare.waitForLine('listening');

  const visitor = new Visitor(url);
  const asked = await start(visitor);
  const token = await idp.sign(validClaims(idp, asked, { nowMs: Date.now }));
  await visitor.post(ACME_CALLBACK, { id_token: token, state: asked.state });
  const cookie = [...visitor.cookies].map(([name, value]) => `${name}=${value}`).join('; ');
  const figures = await compare([
    { name: 'bare Koa, 204', url: `http://127.0.0.1:${barePort}/` },
    { name: 'session JSON of a signed-in person, Redis', url: `${url}/SSO/Session/acme`, cookie },
    { name: 'health', url: `${url}/livez` },
  ]);
  gateway.child.kill('SIGKILL');
  bare.child.kill('SIGKILL');
  await Promise.all([idp.stop(), redis.stop(), rm(dir, { recursive: true })]);
  return table(figures);
}

if (process.argv[2] === 'bare') {
  const app = new Koa();
  app.use((ctx) => {
    ctx.status = 204;
  });
  app.listen(Number(process.argv[3]), '127.0.0.1', () => process.stdout.write('listening\n'));
}
