/**
 * The hot path beside its peers: somebody who is signed in, sessions in one Redis, wrk over loopback, everything in one run, in turns.
 * Ratios, with the CPU that each spent on a request: on two cores the load and the server get in each other's way.
 */
import { existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { type Adversary, openAdversary } from '../../test/support/adversary.ts';
import { freePort } from '../../test/support/gateway.ts';
import { ACME_CALLBACK, acmeYaml, askedOf, start, validClaims } from '../../test/support/house.ts';
import { ROOT } from '../../test/support/process.ts';
import { openRedis } from '../../test/support/redis.ts';
import { Visitor } from '../../test/support/visitor.ts';
import { compare, type Figure, type Target, table } from '../wrk.ts';
import { apache, nginx, type Server, serve } from './servers.ts';

const NAMES = [
  'gateway2',
  'koa',
  'http',
  'upstream',
  'dispatch',
  'gateway',
  'nginx',
  'nginxBare',
  'apache',
  'apacheTuned',
] as const;
type Name = (typeof NAMES)[number];
const BASELINES = join(import.meta.dirname, 'baselines.ts');

export async function benchPeers(): Promise<string[]> {
  const [redis, idp] = [await openRedis(), await openAdversary()];
  const dir = await mkdtemp(join(tmpdir(), 'gatehouse-bench-'));
  await chmod(dir, 0o755); // Apache serves as a user of its own
  const ports = Object.fromEntries(await inTurn(NAMES, async (name) => [name, await freePort()])) as Record<
    Name,
    number
  >;
  const servers = new Map<Name, Server>();
  try {
    await startAll(servers, ports, dir, idp, redis);
    const cookies = await signInAtGateway(ports.gateway, idp);
    const apaches = (['apache', 'apacheTuned'] as const).filter((name) => servers.has(name));
    const apacheCookies = await inTurn(apaches, (name) => signInAtApache(ports[name], idp));
    const at = (name: Name, path: string): string => `http://127.0.0.1:${ports[name]}${path}`;
    const cpu =
      (...names: Name[]) =>
      () =>
        names.reduce((sum, name) => sum + (servers.get(name)?.cpuSeconds() ?? 0), 0);
    const targets: Target[] = [
      { name: 'bare Koa, 204', url: at('koa', '/'), cpu: cpu('koa') },
      {
        name: '/SSO/Auth',
        url: at('gateway', '/SSO/Auth'),
        headers: { cookie: cookies, 'x-forwarded-uri': '/AcmeCorp/page' },
        cpu: cpu('gateway'),
      },
      { name: 'bare undici dispatch to a 1 KiB app', url: at('dispatch', '/AcmeCorp/page'), cpu: cpu('dispatch') },
      {
        name: 'Gatehouse in front of it',
        url: at('gateway', '/AcmeCorp/page'),
        headers: { cookie: cookies },
        cpu: cpu('gateway'),
      },
      {
        name: '/SSO/Auth, 2 workers',
        url: at('gateway2', '/SSO/Auth'),
        headers: { cookie: await signInAtGateway(ports.gateway2, idp), 'x-forwarded-uri': '/AcmeCorp/page' },
        cpu: cpu('gateway2'),
      },
      ...apaches.flatMap((name, i): Target[] => {
        const headers = { cookie: apacheCookies[i] ?? '' };
        const kind = name === 'apache' ? 'mod_auth_openidc' : 'mod_auth_openidc, tuned';
        return [
          { name: `${kind}: static page`, url: at(name, '/static/page.html'), headers, cpu: cpu(name) },
          { name: `${kind}: in front of the app`, url: at(name, '/app/page'), headers, cpu: cpu(name) },
        ];
      }),
      ...(servers.has('nginx')
        ? [
            {
              name: 'nginx, auth_request to node:http 204',
              url: at('nginxBare', '/AcmeCorp/page'),
              cpu: cpu('nginxBare', 'http'),
            },
            {
              name: 'nginx, auth_request to Gatehouse',
              url: at('nginx', '/AcmeCorp/page'),
              headers: { cookie: cookies },
              cpu: cpu('nginx', 'gateway'),
            },
          ]
        : []),
    ];
    const figures = await compare(targets);
    return [...table(figures), '', ...ratios(figures)];
  } finally {
    for (const { child } of servers.values()) child.kill('SIGTERM');
    await Promise.all([idp.stop(), redis.stop()]);
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    for (const { child } of servers.values()) child.kill('SIGKILL');
    await rm(dir, { recursive: true, force: true });
  }
}

type Redis = Awaited<ReturnType<typeof openRedis>>;

async function startAll(
  servers: Map<Name, Server>,
  ports: Record<Name, number>,
  dir: string,
  idp: Adversary,
  redis: Redis,
): Promise<void> {
  const upstream = { url: `http://127.0.0.1:${ports.upstream}` };
  await mkdir(join(dir, 'tenants'));
  await writeFile(join(dir, 'tenants', 'acme.yaml'), stringify(acmeYaml(idp, { upstream })));
  const baseline = (name: Name, kind: string): void => {
    servers.set(name, serve(process.execPath, [BASELINES, kind, String(ports[name]), upstream.url]));
  };
  baseline('koa', 'bareKoa');
  baseline('http', 'bareHttp');
  baseline('upstream', 'upstream');
  baseline('dispatch', 'bareDispatch');
  const environment = {
    PORT: String(ports.gateway),
    OPS_PORT: '0',
    REDIS_URL: redis.url,
    CONFIG_DIR: dir,
    TRUSTED_PROXIES: '127.0.0.1',
  };
  const main = join(ROOT, 'src/main.ts');
  servers.set('gateway', serve(process.execPath, [main], environment));
  const two = { ...environment, PORT: String(ports.gateway2), OPS_PORT: String(await freePort()), WORKERS: '2' };
  servers.set('gateway2', serve(process.execPath, [main], two));
  if (existsSync('/usr/sbin/nginx')) {
    servers.set('nginx', await nginx(dir, ports.nginx, ports.gateway));
    servers.set('nginxBare', await nginx(dir, ports.nginxBare, ports.http));
  }
  if (existsSync('/usr/lib/apache2/modules/mod_auth_openidc.so')) {
    const common = { dir, idp, redisPort: redis.port, upstreamPort: ports.upstream };
    servers.set('apache', await apache({ ...common, port: ports.apache, tuned: false }));
    servers.set('apacheTuned', await apache({ ...common, port: ports.apacheTuned, tuned: true }));
  }
  for (const name of servers.keys()) await untilAnswers(`http://127.0.0.1:${ports[name]}/readyz`);
}

async function untilAnswers(url: string): Promise<void> {
  for (let tries = 0; tries < 400; tries++) {
    const status = await fetch(url, { redirect: 'manual' }).then(
      (reply) => reply.status,
      () => 503,
    );
    if (status !== 503) return;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error(`nothing answers at ${url}`);
}

const clock = { nowMs: () => Date.now() };

async function signInAtGateway(port: number, idp: Adversary): Promise<string> {
  const visitor = new Visitor(`http://127.0.0.1:${port}`);
  const asked = await start(visitor);
  const id_token = await idp.sign(validClaims(idp, asked, clock));
  await visitor.post(ACME_CALLBACK, { id_token, state: asked.state });
  return cookieHeader(visitor);
}

async function signInAtApache(port: number, idp: Adversary): Promise<string> {
  const visitor = new Visitor(`http://127.0.0.1:${port}`);
  const first = await visitor.go('/static/page.html');
  if (first.status !== 302) throw new Error(`Apache does not ask: ${first.status} ${first.text}`);
  const asked = askedOf(first);
  const id_token = await idp.sign(validClaims(idp, asked, clock));
  const reply = await visitor.post('/callback', { id_token, state: asked.state });
  if (reply.status !== 302) throw new Error(`Apache did not sign in: ${reply.status} ${reply.text}`);
  return cookieHeader(visitor);
}

function cookieHeader({ cookies }: Visitor): string {
  return [...cookies].map(([name, value]) => `${name}=${value}`).join('; ');
}

/** What the goals of the project are about. */
function ratios(figures: readonly Figure[]): string[] {
  const of = (name: string): number => figures.find((figure) => figure.name === name)?.perSecond ?? Number.NaN;
  const line = (what: string, above: string, below: string): string => `${what}: ${(of(above) / of(below)).toFixed(2)}`;
  return [
    line('/SSO/Auth / bare Koa 204', '/SSO/Auth', 'bare Koa, 204'),
    line('/SSO/Auth / mod_auth_openidc static page', '/SSO/Auth', 'mod_auth_openidc: static page'),
    line('/SSO/Auth / mod_auth_openidc static page, tuned', '/SSO/Auth', 'mod_auth_openidc, tuned: static page'),
    line(
      'in front of the app / bare undici dispatch',
      'Gatehouse in front of it',
      'bare undici dispatch to a 1 KiB app',
    ),
    line(
      'in front of the app / mod_auth_openidc, tuned',
      'Gatehouse in front of it',
      'mod_auth_openidc, tuned: in front of the app',
    ),
    line(
      'nginx asking Gatehouse / nginx asking node:http 204',
      'nginx, auth_request to Gatehouse',
      'nginx, auth_request to node:http 204',
    ),
  ];
}

async function inTurn<In, Out>(items: readonly In[], work: (item: In) => Promise<Out>): Promise<Out[]> {
  const results: Out[] = [];
  for (const item of items) results.push(await work(item));
  return results;
}
