import { writeFile } from 'node:fs/promises';
import { createServer, request, type Server } from 'node:http';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sessionOf } from '../support/house.ts';
import {
  ACME_KEY,
  DIALECTS,
  INITECH_KEY,
  initechYaml,
  linkPath,
  linksYaml,
  openLinkHouse,
  validLink,
} from '../support/link-house.ts';
import { run } from '../support/process.ts';
import { openReplicas, type Replicas } from '../support/replicas.ts';
import { signExactly } from '../support/senders.ts';
import { Visitor } from '../support/visitor.ts';

const ACME_LINKS = { links: linksYaml(ACME_KEY, 'company-acme'), no_groups: 'allow' };

describe('over two replicas and Redis', () => {
  let replicas: Replicas;
  beforeAll(async () => {
    replicas = await openReplicas(ACME_LINKS);
  });
  afterAll(() => replicas.close());
  const now = (): number => replicas.one.house.gateway.clock.nowMs();

  it.each(DIALECTS)('one link of %s, opened twenty times at once, signs one browser in', async (dialect) => {
    const path = linkPath(dialect, signExactly(validLink(dialect, now()), ACME_KEY));
    const visitors = Array.from({ length: 20 }, (_, i) => (i % 2 === 0 ? replicas.one : replicas.two).house.visitor());
    await Promise.all(visitors.map((visitor) => visitor.go(path)));
    const sessions = await Promise.all(visitors.map((visitor) => sessionOf(visitor)));
    expect(sessions.filter((session) => session !== undefined)).toHaveLength(1);
  });

  it('an outage of Redis is told as one, spends nothing, and the link works afterwards', async () => {
    const path = linkPath('frill', signExactly(validLink('frill', now()), ACME_KEY));
    const visitor = replicas.one.house.visitor();
    replicas.one.line.cut();
    const reply = await visitor.go(path);
    expect(reply.status).toBe(503);
    expect(reply.headers['retry-after']).toBeDefined();
    replicas.one.line.restore();
    await expect.poll(async () => (await visitor.go(path)).status, { timeout: 5_000 }).toBe(303);
    expect(await sessionOf(visitor)).toMatchObject({ connection: 'frill' });
  });

  it('people are listed and removed by command, which ends their sessions', async () => {
    const visitor = replicas.one.house.visitor();
    const from = signExactly({ ...validLink('issuely', now()), email: 'cli@x.example', name: 'Cli' }, ACME_KEY);
    await visitor.go(linkPath('issuely', from));
    expect(await sessionOf(visitor)).toBeDefined();
    const listed = JSON.parse(await gatehouse('users', '--tenant', 'acme', '--json'));
    expect(listed).toContainEqual({
      connection: 'issuely',
      sub: 'cli@x.example',
      name: 'Cli',
      email: 'cli@x.example',
      first_seen: expect.stringMatching(/Z$/),
      last_seen: expect.stringMatching(/Z$/),
    });
    expect(await gatehouse('users', 'remove', '--tenant', 'acme', '--sub', 'cli@x.example', '--json')).toBe(
      '{"removed":1}\n',
    );
    expect(await gatehouse('users', 'list', '--tenant', 'acme', '--sub', 'cli@x.example')).toBe('0 users.\n');
    expect(await sessionOf(visitor)).toBeUndefined();
    expect(await gatehouse('users', 'remove', '--tenant', 'acme')).toBe('Say which: --sub or --all.\n');
  });

  it.each(DIALECTS)('a link of %s that the command makes signs in', async (dialect) => {
    const person = ['--id', 'made-1', '--email', 'made@x.example', '--name', 'Made By Command'];
    const made = await gatehouse(
      'link',
      '--tenant',
      'acme',
      '--dialect',
      dialect,
      ...person,
      '--return-to',
      '/AcmeCorp/x',
    );
    const url = new URL(made.trim());
    const visitor = replicas.two.house.visitor();
    const reply = await visitor.go(`${url.pathname}${url.search}`);
    expect(reply.location).toMatch(/\/AcmeCorp\/x$/);
    expect(await sessionOf(visitor)).toMatchObject({ connection: dialect });
  });

  it('the command says what a link needs', async () => {
    expect(await gatehouse('link', '--tenant', 'acme', '--dialect', 'frill', '--id', '1')).toContain(
      '--email and --name',
    );
    expect(await gatehouse('link', '--tenant', 'acme', '--dialect', 'saml')).toContain('is one of');
    expect(
      await gatehouse(
        'link',
        '--tenant',
        'nobody',
        '--dialect',
        'frill',
        '--id',
        '1',
        '--email',
        'a@b.c',
        '--name',
        'x',
      ),
    ).toContain('no tenant nobody');
  });

  async function gatehouse(...args: string[]): Promise<string> {
    const { configDir, url } = replicas.one.house.gateway;
    const environment = { REDIS_URL: replicas.redis.url, CONFIG_DIR: configDir, PUBLIC_URL: url };
    const started = run(['src/cli/gatehouse.ts', ...args], environment);
    await started.exited;
    const told = started.errors().split('\n').filter(Boolean);
    for (const line of told)
      expect(JSON.parse(line)).toMatchObject({ event: 'session.ended', reason: 'ended_by_operator' });
    return started.output();
  }
});

describe('on a host of the tenant’s own', () => {
  it('every form is there without the slug, and a custom domain is gone to', async () => {
    const house = await openLinkHouse({ TRUSTED_PROXIES: '127.0.0.1' }, { hosts: ['portal.acme.example'] });
    const own = { 'x-forwarded-host': 'portal.acme.example' };
    const make = (dialect: (typeof DIALECTS)[number]) =>
      signExactly(validLink(dialect, house.gateway.clock.nowMs()), ACME_KEY);
    const port = new URL(house.gateway.url).port;
    for (const dialect of DIALECTS) {
      const visitor = new Visitor(house.gateway.url);
      const path = linkPath(dialect, make(dialect))
        .replace(/^\/AcmeCorp(?=[/?])/, '')
        .replace(/^\?/, '/?');
      const reply = await visitor.go(path, { headers: own });
      expect(reply.location).toBe(`http://portal.acme.example:${port}/`);
      const session = await visitor.send('/SSO/Session/acme', { headers: own });
      expect(session.json()).toMatchObject({ connection: dialect });
    }
    const token = make('chargely');
    const visitor = house.visitor();
    const moved = await visitor.go(`/AcmeCorp/sso/jwt/login?token=${token}&custom_domain=portal.acme.example`);
    expect(moved.location).toBe(`http://portal.acme.example:${port}/sso/jwt/login?token=${token}`);
    const foreign = await visitor.send(`/AcmeCorp/sso/jwt/login?token=${token}&custom_domain=evil.example`);
    expect(foreign.json()).toMatchObject({ error: 'response_invalid' });
    expect(
      (
        await visitor.send(`/api/auth/sso?token=${make('issuely')}`, {
          headers: { 'x-forwarded-host': 'other.example' },
        })
      ).status,
    ).toBe(303);
    await house.close();
  });
});

describe('an app that looks people up', () => {
  let app: Server;
  let answer: { status: number; body: unknown };
  let asked: { url: string; authorization: string | undefined }[];
  let onAsked = (): void => {};
  let origin: string;
  beforeAll(async () => {
    app = createServer((incoming, response) => {
      onAsked();
      asked.push({ url: incoming.url ?? '', authorization: incoming.headers.authorization });
      response.writeHead(answer.status, { 'content-type': 'application/json' }).end(JSON.stringify(answer.body));
    });
    await new Promise<void>((done) => app.listen(0, '127.0.0.1', done));
    const address = app.address();
    origin = `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`;
  });
  afterAll(() => new Promise((done) => app.close(done)));

  async function openWith(people: unknown) {
    asked = [];
    return openLinkHouse({}, { links: [{ dialect: 'invoiced', key: ACME_KEY, people }] });
  }

  it('gives name, e-mail and roles; unknown is a refusal, and an outage is one', async () => {
    const house = await openWith({
      url: `${origin}/people/{id}?x=1`,
      header: 'Authorization: Bearer secret-of-the-app',
    });
    const make = (sub: string) =>
      `/AcmeCorp/login/${signExactly({ ...validLink('invoiced', house.gateway.clock.nowMs()), sub }, ACME_KEY)}`;
    answer = { status: 200, body: { name: 'Looked Up', email: 'up@x.example', roles: ['Admin'] } };
    const visitor = house.visitor();
    await visitor.go(make('a/b?c'));
    expect(asked).toEqual([{ url: '/people/a%2Fb%3Fc?x=1', authorization: 'Bearer secret-of-the-app' }]);
    expect(await sessionOf(visitor)).toMatchObject({
      sub: 'a/b?c',
      name: 'Looked Up',
      email: 'up@x.example',
      groups: ['members', 'admins'],
    });
    answer = { status: 404, body: {} };
    expect((await house.visitor().send(make('nobody'))).json()).toMatchObject({ error: 'claims_invalid' });
    answer = { status: 500, body: {} };
    const link = make('later');
    const down = await house.visitor().send(link);
    expect(down.status).toBe(503);
    expect(down.json()).toMatchObject({ error: 'idp_unavailable' });
    answer = { status: 200, body: { roles: [1] } };
    expect((await house.visitor().send(link)).json()).toMatchObject({ error: 'claims_invalid' });
    house.gateway.clock.advance(11_000);
    answer = { status: 200, body: {} };
    const later = house.visitor();
    await later.go(link); // nothing was spent meanwhile
    expect(await sessionOf(later)).toMatchObject({ sub: 'later' });
    expect(house.gateway.logText()).not.toContain('secret-of-the-app');
    await house.close();
  });

  it('answers one tenant nothing that it would not answer another', async () => {
    const house = await openWith({ url: `${origin}/people/{id}`, header: 'Authorization: Bearer acme' });
    const links = [
      {
        dialect: 'invoiced',
        key: INITECH_KEY,
        people: { url: `${origin}/people/{id}`, header: 'Authorization: Bearer initech' },
      },
    ];
    await house.gateway.writeTenant(initechYaml({ links, groups: [{ id: 'admins', roles: ['Admin'] }] }));
    await house.gateway.waitFor('tenant.changed');
    answer = { status: 200, body: { roles: ['Admin'] } };
    await house
      .visitor()
      .go(`/AcmeCorp/login/${signExactly(validLink('invoiced', house.gateway.clock.nowMs()), ACME_KEY)}`);
    answer = { status: 200, body: { roles: [] } };
    const visitor = house.visitor();
    await visitor.go(`/initech/login/${signExactly(validLink('invoiced', house.gateway.clock.nowMs()), INITECH_KEY)}`);
    expect(await sessionOf(visitor, 'initech')).toMatchObject({ groups: [] });
    expect(asked.map(({ authorization }) => authorization)).toEqual(['Bearer acme', 'Bearer initech']);
    await house.close();
  });

  it('however long it takes: a used link does not come back at the end of its life', async () => {
    const house = await openWith({ url: `${origin}/people/{id}` });
    answer = { status: 200, body: {} };
    const exp = Math.floor(house.gateway.clock.nowMs() / 1000) + 60;
    const path = `/AcmeCorp/login/${signExactly({ ...validLink('invoiced', 0), exp }, ACME_KEY)}`;
    await house.visitor().go(path);
    house.gateway.clock.advance(exp * 1000 + 120_000 - 500 - house.gateway.clock.nowMs());
    onAsked = () => house.gateway.clock.advance(1_500);
    const late = house.visitor();
    await late.go(path);
    onAsked = () => {};
    expect(await sessionOf(late)).toBeUndefined();
    await house.close();
  });

  it('or a file', async () => {
    const house = await openWith({ file: '/nowhere' });
    const file = join(house.gateway.configDir, 'people.yaml');
    await writeFile(file, '"1234":\n  name: From A File\n  roles: [Admin]\n');
    const make = (sub: unknown) =>
      `/AcmeCorp/login/${signExactly({ ...validLink('invoiced', house.gateway.clock.nowMs()), sub }, ACME_KEY)}`;
    expect((await house.visitor().send(make(1234))).status).toBe(503);
    const { acmeYaml } = await import('../support/house.ts');
    const links = [{ dialect: 'invoiced', key: ACME_KEY, people: { file } }];
    await house.gateway.writeTenant(acmeYaml(house.acme, { links, groups: [{ id: 'admins', roles: ['Admin'] }] }));
    await house.gateway.waitFor('tenant.changed');
    const visitor = house.visitor();
    await visitor.go(make(1234));
    expect(await sessionOf(visitor)).toMatchObject({ name: 'From A File', groups: ['admins'] });
    for (const sub of ['9999', '__proto__', 'constructor'])
      expect((await house.visitor().send(make(sub))).json()).toMatchObject({ error: 'claims_invalid' });
    await house.close();
  });
});

describe('Chargely without a public key in the tenant’s file', () => {
  it('takes links that name one, as all of its senders do', async () => {
    const house = await openLinkHouse({}, { links: [{ dialect: 'chargely', key: ACME_KEY }] });
    const visitor = house.visitor();
    await visitor.go(linkPath('chargely', signExactly(validLink('chargely', house.gateway.clock.nowMs()), ACME_KEY)));
    expect(await sessionOf(visitor)).toMatchObject({ connection: 'chargely' });
    await house.close();
  });
});

describe('an upgrade', () => {
  it('with a token is refused, signed in or not', async () => {
    const seen: string[] = [];
    const app = createServer((incoming) => void seen.push(incoming.url ?? ''));
    app.on('upgrade', (incoming, socket) => {
      seen.push(incoming.url ?? '');
      socket.destroy();
    });
    await new Promise<void>((done) => app.listen(0, '127.0.0.1', done));
    const address = app.address();
    const url = `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`;
    const house = await openLinkHouse({}, { upstream: { url } });
    const make = () => signExactly(validLink('frill', house.gateway.clock.nowMs()), ACME_KEY);
    const visitor = house.visitor();
    await visitor.go(linkPath('frill', make()));
    const cookie = [...visitor.cookies].map(([name, value]) => `${name}=${value}`).join('; ');
    const status = await new Promise((resolve, reject) => {
      const headers = { connection: 'Upgrade', upgrade: 'websocket', origin: house.gateway.url, cookie };
      request(`${house.gateway.url}/AcmeCorp/x?ssoToken=${make()}`, { headers })
        .on('response', ({ statusCode }) => resolve(statusCode))
        .on('upgrade', () => resolve(101))
        .on('error', reject)
        .end();
    });
    expect(status).toBe(400);
    expect(seen).toEqual([]);
    await house.close();
    await new Promise((done) => app.close(done));
  });
});
