import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Adversary, openAdversary } from '../support/adversary.ts';
import { freePort, openGateway, type TestGateway } from '../support/gateway.ts';
import { ACME_CALLBACK, acmeYaml, askedOf, validClaims } from '../support/house.ts';
import { NAVIGATION, Visitor } from '../support/visitor.ts';

/** The README's configurations, run by the real programs, in front of an app that says what it was told. */
const README = await readFile(resolve(import.meta.dirname, '../../README.md'), 'utf8');

/** The block that begins with this comment, with the ports of this test. */
function snippet(mark: string, ports: { gateway: number; app: number }): string {
  const text = README.split('```').find((block) => block.includes(`\n${mark}\n`)) ?? '';
  const body = text.slice(text.indexOf('\n') + 1);
  return body
    .replaceAll('127.0.0.1:3000', `127.0.0.1:${ports.gateway}`)
    .replaceAll('127.0.0.1:8080', `127.0.0.1:${ports.app}`);
}

type Program = {
  readonly name: string;
  readonly start: (dir: string, port: number, ports: { gateway: number; app: number }) => Promise<ChildProcess>;
};

const PROGRAMS: Program[] = [
  {
    name: 'nginx',
    async start(dir, port, ports) {
      const server = snippet('# nginx', ports).replace('listen 443 ssl;', `listen 127.0.0.1:${port};`);
      const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
        (kind) => `${kind}_temp_path ${dir}/${kind};`,
      );
      await writeFile(
        join(dir, 'nginx.conf'),
        `daemon off; pid ${dir}/pid; error_log ${dir}/error.log; worker_processes 1;\nevents {}\nhttp { access_log off; ${temporary.join(' ')}\n${server} }`,
      );
      return spawn(
        existsSync('/usr/sbin/nginx') ? '/usr/sbin/nginx' : 'nginx',
        ['-p', dir, '-c', join(dir, 'nginx.conf')],
        { stdio: 'ignore' },
      );
    },
  },
  {
    name: 'Caddy',
    async start(dir, port, ports) {
      const site = snippet('# Caddy', ports).replace('login.example.com {', `http://127.0.0.1:${port} {`);
      await writeFile(join(dir, 'Caddyfile'), `{\n  admin off\n  auto_https off\n}\n${site}`);
      const env = { PATH: process.env.PATH ?? '', HOME: dir, XDG_DATA_HOME: dir, XDG_CONFIG_HOME: dir };
      return spawn('caddy', ['run', '--config', join(dir, 'Caddyfile'), '--adapter', 'caddyfile'], {
        stdio: 'ignore',
        env,
      });
    },
  },
  {
    name: 'HAProxy',
    async start(dir, port, ports) {
      const lua = join(dir, 'gatehouse.lua');
      await writeFile(lua, snippet('-- /etc/haproxy/gatehouse.lua', ports));
      const configuration = snippet('# HAProxy 2.6 or newer, with Lua', ports)
        .replace('bind :443 ssl crt /etc/haproxy/login.pem', `bind 127.0.0.1:${port}`)
        .replace('/etc/haproxy/gatehouse.lua', lua);
      await writeFile(join(dir, 'haproxy.cfg'), configuration);
      return spawn(
        existsSync('/usr/sbin/haproxy') ? '/usr/sbin/haproxy' : 'haproxy',
        ['-db', '-f', join(dir, 'haproxy.cfg')],
        { stdio: 'ignore' },
      );
    },
  },
];

describe.each(PROGRAMS)('behind $name', ({ start }) => {
  let dir: string;
  let idp: Adversary;
  let gateway: TestGateway;
  let app: Server;
  let program: ChildProcess;
  let url: string;
  let told: IncomingHttpHeaders | undefined;

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'gatehouse-proxy-'));
    const port = await freePort();
    url = `http://127.0.0.1:${port}`;
    idp = await openAdversary();
    const access = [{ path: '/admin/**', groups: ['billing-admins'] }];
    const environment = { PUBLIC_URL: url, TRUSTED_PROXIES: '127.0.0.1' };
    gateway = await openGateway({ tenants: [acmeYaml(idp, { access })], environment });
    app = createServer((request, response) => {
      told = request.headers;
      response.end(`the app at ${request.url}`);
    });
    await new Promise<void>((done) => app.listen(0, '127.0.0.1', done));
    const address = app.address();
    const appPort = typeof address === 'object' && address !== null ? address.port : 0;
    program = await start(dir, port, { gateway: Number(new URL(gateway.url).port), app: appPort });
    for (let tries = 0; tries < 200; tries++) {
      if (
        await fetch(`${url}/SSO/jwks.json`).then(
          (reply) => reply.ok,
          () => false,
        )
      )
        return;
      await sleep(25);
    }
    throw new Error('the proxy did not get ready');
  });
  afterAll(async () => {
    if (program.exitCode === null && program.kill('SIGTERM')) await new Promise((done) => program.once('close', done));
    await gateway.close();
    await Promise.all([idp.stop(), new Promise((done) => app.close(done)), rm(dir, { recursive: true })]);
  });

  async function signIn(roles: string[], path = '/AcmeCorp/page?x=1'): Promise<Visitor> {
    const visitor = new Visitor(url);
    const first = await visitor.go(path);
    expect(first.status).toBe(302);
    const asked = askedOf(await visitor.go(first.location));
    const id_token = await idp.sign(validClaims(idp, asked, gateway.clock, { roles, name: 'Ada Ümlaut' }));
    const done = await visitor.post(ACME_CALLBACK, { id_token, state: asked.state });
    expect(done.location).toBe(`${url}${path}`);
    return visitor;
  }

  it('a person signs in, arrives at the app, and the app knows who it is', async () => {
    const visitor = await signIn(['BillingAdmin']);
    const reply = await visitor.go('/AcmeCorp/page?x=1');
    expect(reply.text).toBe('the app at /AcmeCorp/page?x=1');
    expect(told).toMatchObject({
      'x-auth-request-user': 'ada',
      'x-auth-request-groups': 'billing-admins',
      'x-auth-request-tenant': 'acme',
      'x-auth-request-assertion': expect.stringMatching(/^[\w-]+\.[\w-]+\.[\w-]+$/),
    });
  });

  it('nobody else gets to the app, and nobody tells it who they are', async () => {
    told = undefined;
    const stranger = new Visitor(url);
    const claims = {
      'x-auth-request-user': 'boss',
      'x-auth-request-name': 'boss',
      'x-auth-request-preferred-username': 'boss',
      'x-auth-request-groups': 'boss',
      'x-auth-request-project': 'boss',
      X_Auth_Request_User: 'boss',
      'X-Auth_Request_User': 'boss',
      'X_Auth-Request_Groups': 'boss',
    };
    const tricks = {
      'x-forwarded-uri': '/AcmeCorp/page',
      'x-original-url': '/AcmeCorp/page',
      'x-forwarded-host': 'evil.example',
    };
    for (const path of ['/AcmeCorp/page', '/AcmeCorp/admin', '/', '/nobody', '/AcmeCorp/..%2fx', '//AcmeCorp/page'])
      for (const headers of [{}, claims, tricks, { ...NAVIGATION, ...claims, ...tricks }])
        expect((await stranger.send(path, { headers })).status).toBeOneOf([302, 400, 401, 403]);
    expect(told).toBeUndefined();
    const visitor = await signIn(['invoice-readers']);
    await visitor.go('/AcmeCorp/page', { headers: claims });
    expect(told).toMatchObject({ 'x-auth-request-user': 'ada', 'x-auth-request-groups': 'invoice-readers' });
    expect(JSON.stringify(told)).not.toContain('boss');
  });

  it('the rules of the tenant’s file hold, whatever is said of the path', async () => {
    const visitor = await signIn(['invoice-readers']);
    told = undefined;
    for (const path of [
      '/AcmeCorp/admin/x',
      '/AcmeCorp/%61dmin/x',
      '/AcmeCorp/page/../admin/x',
      '/AcmeCorp/admin/x?/AcmeCorp/page',
    ])
      for (const headers of [{}, { 'x-forwarded-uri': '/AcmeCorp/page' }, { 'x-original-url': '/AcmeCorp/page' }])
        expect((await visitor.go(path, { headers })).status).toBeOneOf([302, 400, 403]);
    expect(told).toBeUndefined();
  });

  it('a sign-out ends it', async () => {
    const visitor = await signIn(['invoice-readers']);
    const reply = await visitor.post('/SSO/OIDC/acme/SignOut', {}, { 'sec-fetch-site': 'same-origin' });
    expect(reply.status).toBe(303);
    expect((await visitor.go('/AcmeCorp/page')).status).toBe(302);
  });
});
