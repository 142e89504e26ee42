import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type House, sessionOf, signIn } from '../support/house.ts';
import {
  ACME_KEY,
  DIALECTS,
  type DialectName,
  INITECH_KEY,
  initechYaml,
  LOGIN_URL,
  LOGOUT_URL,
  linkPath,
  linksYaml,
  openLinkHouse,
  SUBJECTS,
  validLink,
} from '../support/link-house.ts';
import { SENDERS, signExactly } from '../support/senders.ts';
import type { Reply, Visitor } from '../support/visitor.ts';

let house: House;
let visitor: Visitor;
beforeAll(async () => {
  house = await openLinkHouse({}, {}, { login_url: LOGIN_URL, logout_url: LOGOUT_URL });
});
afterAll(() => house.close());
beforeEach(() => {
  visitor = house.visitor();
});

const now = (): number => house.gateway.clock.nowMs();
const linkOf = (dialect: DialectName, more: Record<string, unknown> = {}): string =>
  signExactly({ ...validLink(dialect, now()), ...more }, ACME_KEY);

describe.each(SENDERS)('a link that $name made', ({ sign }) => {
  it.each(DIALECTS)(
    'signs a person in, in the way of %s, and leads to an address without the token',
    async (dialect) => {
      const token = await sign(validLink(dialect, now()), ACME_KEY);
      const reply = await visitor.go(linkPath(dialect, token));
      expect(reply.status).toBe(303);
      expect(reply.location).toBe(`${house.gateway.url}/AcmeCorp`);
      expect(reply.headers['cache-control']).toBe('no-store');
      expect(reply.headers['referrer-policy']).toBe('no-referrer');
      expect(await sessionOf(visitor)).toMatchObject({
        tenant: 'acme',
        sub: SUBJECTS[dialect],
        connection: dialect,
        groups: ['members'],
      });
      expect(house.gateway.logText()).not.toContain(token.split('.')[1]);
      await visitor.post('/SSO/OIDC/acme/SignOut', {}, { 'sec-fetch-site': 'same-origin' });
    },
  );
});

describe('what a link says of a person', () => {
  it('becomes the identity and the groups, by the tenant’s own table', async () => {
    await visitor.go(linkPath('frill', linkOf('frill', { id: 'f-1', roles: ['Admin', 'unknown'] })));
    expect(await sessionOf(visitor)).toMatchObject({
      sub: 'f-1',
      email: 'ada@acme.example',
      name: 'Ada Admin',
      groups: ['members', 'admins'],
    });
  });

  it.each([
    [{ cust_ref: 'r', cust_id: 9, cust_email: 'x@y.example' }, 'r'],
    [{ cust_id: 9, cust_email: 'x@y.example' }, '9'],
    [{ cust_email: 'x@y.example' }, 'x@y.example'],
  ])('is the surest of Chargely’s three names: %j', async (auth, sub) => {
    await visitor.go(linkPath('chargely', linkOf('chargely', { auth })));
    expect(await sessionOf(visitor)).toMatchObject({ sub });
  });

  it('may stand beside `auth` too', async () => {
    await visitor.go(linkPath('chargely', linkOf('chargely', { auth: undefined, cust_id: 'flat' })));
    expect(await sessionOf(visitor)).toMatchObject({ sub: 'flat' });
  });

  it('is Issuely’s role, and the project that the person came for', async () => {
    const token = linkOf('issuely', { email: 'agent@acme.example', role: 'AGENT', projectId: 'proj_1' });
    expect((await visitor.go(linkPath('issuely', token))).status).toBe(303);
    expect(await sessionOf(visitor)).toMatchObject({ groups: ['members', 'agents'], project_id: 'proj_1' });
  });

  it('keeps the name that was given first, and provisions the person once', async () => {
    const from = house.gateway.log.length;
    await visitor.go(linkPath('issuely', linkOf('issuely', { email: 'joe@acme.example', name: 'Joe One' })));
    const again = house.visitor();
    await again.go(linkPath('issuely', linkOf('issuely', { email: 'joe@acme.example', name: 'Joe Two' })));
    expect(await sessionOf(again)).toMatchObject({ name: 'Joe One' });
    const provisioned = house.gateway.log.slice(from).filter(({ event }) => event === 'user.provisioned');
    expect(provisioned).toMatchObject([{ sub: 'joe@acme.example', tenant: 'acme', connection: 'issuely' }]);
  });
});

describe('a link is used once', () => {
  it.each(DIALECTS)(
    'of %s: another browser gets nothing by it, and is sent to the sender with the code',
    async (dialect) => {
      const token = linkOf(dialect);
      await visitor.go(linkPath(dialect, token));
      expect(await sessionOf(visitor)).toBeDefined();
      const other = house.visitor();
      const from = house.gateway.log.length;
      const reply = await other.go(linkPath(dialect, token));
      expect(reply.status).toBe(303);
      expect(reply.location).toBe(`${LOGIN_URL}?error=token_invalid`);
      expect(await sessionOf(other)).toBeUndefined();
      expect(house.gateway.log.slice(from)).toContainEqual(
        expect.objectContaining({ event: 'sign_in.refused', reason: 'link_used', tenant: 'acme' }),
      );
    },
  );

  it('but who was signed in by it lands on the page again, even when it is stale', async () => {
    const token = linkOf('frill');
    const path = `/AcmeCorp/board?x=1&ssoToken=${token}`;
    expect((await visitor.go(path)).location).toBe(`${house.gateway.url}/AcmeCorp/board?x=1`);
    const session = visitor.cookies.get('__Host-gatehouse-session-acme');
    expect((await visitor.go(path)).location).toBe(`${house.gateway.url}/AcmeCorp/board?x=1`);
    house.gateway.clock.advance(13 * 60_000);
    expect((await visitor.go(path)).location).toBe(`${house.gateway.url}/AcmeCorp/board?x=1`);
    expect(visitor.cookies.get('__Host-gatehouse-session-acme')).toBe(session);
  });

  it('an undated one counts only where the tenant’s file says so, and then again and again', async () => {
    const undated = signExactly({ id: 'u-1', email: 'u@acme.example', name: 'U' }, ACME_KEY);
    expect((await visitor.go(linkPath('frill', undated))).location).toBe(`${LOGIN_URL}?error=token_invalid`);
    const relaxed = await openLinkHouse({}, { links: [{ dialect: 'frill', key: ACME_KEY, undated: 'allow' }] });
    for (const person of [relaxed.visitor(), relaxed.visitor()]) {
      await person.go(linkPath('frill', undated));
      expect(await sessionOf(person)).toMatchObject({ sub: 'u-1' });
    }
    await relaxed.close();
  });
});

describe('where a link leads', () => {
  it.each([
    ['/AcmeCorp/board', '/AcmeCorp/board'],
    ['/dashboard?x=1', '/AcmeCorp/dashboard?x=1'],
    ['https://evil.example/', '/AcmeCorp'],
    ['//evil.example/', '/AcmeCorp'],
    ['/\\evil.example', '/AcmeCorp'],
    ['javascript:alert(1)', '/AcmeCorp'],
    ['/globex/x', '/AcmeCorp/globex/x'],
  ])('return_to=%s leads to %s', async (returnTo, path) => {
    const reply = await visitor.go(
      `${linkPath('chargely', linkOf('chargely'))}&return_to=${encodeURIComponent(returnTo)}`,
    );
    expect(reply.location).toBe(`${house.gateway.url}${path}`);
  });

  it.each(['login_url', 'logout_url'])('%s must be of an origin that the tenant’s file has', async (name) => {
    for (const bad of [
      'https://evil.example/',
      'https://acme.example.evil.example/',
      'https://acme.example@evil.example/',
      'javascript:alert(1)',
      'http://acme.example/',
      'blob:https://acme.example/x',
    ]) {
      const reply = await visitor.go(`${linkPath('chargely', linkOf('chargely'))}&${name}=${encodeURIComponent(bad)}`);
      expect(reply.location).toBe(`${LOGIN_URL}?error=response_invalid`);
    }
    expect(await sessionOf(visitor)).toBeUndefined();
  });

  it('login_url gets the code, logout_url the person who signs out', async () => {
    const pages = `&login_url=${encodeURIComponent('https://acme.example/other?a=1')}&logout_url=${encodeURIComponent('https://acme.example/out')}`;
    const stale = linkOf('chargely', { iat: Math.floor(now() / 1000) - 500 });
    const failed = await visitor.go(`${linkPath('chargely', stale)}${pages}`);
    expect(failed.location).toBe('https://acme.example/other?a=1&error=token_invalid');
    await visitor.go(`${linkPath('chargely', linkOf('chargely'))}${pages}`);
    const out = await visitor.post('/SSO/OIDC/acme/SignOut', {}, { 'sec-fetch-site': 'same-origin' });
    expect(out.location).toBe('https://acme.example/out');
    expect(await sessionOf(visitor)).toBeUndefined();
    await visitor.go(linkPath('frill', linkOf('frill')));
    const configured = await visitor.post('/SSO/OIDC/acme/SignOut', {}, { 'sec-fetch-site': 'same-origin' });
    expect(configured.location).toBe(LOGOUT_URL);
  });

  it('without a page of the sender’s, what failed is told here, with the code', async () => {
    await house.gateway.writeTenant(initechYaml({ links: linksYaml(INITECH_KEY, 'company-initech') }));
    await house.gateway.waitFor('tenant.changed');
    const token = signExactly(validLink('invoiced', now()), ACME_KEY);
    const reply = await visitor.send(`/initech/login/${token}`);
    expect(reply.status).toBe(400);
    expect(reply.json()).toMatchObject({ error: 'token_invalid' });
    expect(JSON.stringify(reply)).not.toContain(token);
    await house.gateway.writeTenant(initechYaml());
    await house.gateway.waitFor('tenant.changed');
  });
});

describe('/SSO/Link/:id', () => {
  it.each(DIALECTS)('takes a link of %s, by GET and by POST', async (dialect) => {
    await visitor.go(`/SSO/Link/acme?token=${linkOf(dialect)}&return_to=/AcmeCorp/x`);
    expect(await sessionOf(visitor)).toMatchObject({ connection: dialect });
    const other = house.visitor();
    const reply = await other.send('/SSO/Link/acme', {
      method: 'POST',
      body: new URLSearchParams({ token: linkOf(dialect) }),
    });
    expect(reply.status).toBe(303);
    expect(await sessionOf(other)).toMatchObject({ connection: dialect });
  });

  it('looks at a post of another site in a request that shows the browser’s session', async () => {
    const token = linkOf('frill');
    const posted = await visitor.post(
      '/SSO/Link/acme',
      { token },
      { 'sec-fetch-site': 'cross-site', origin: 'https://acme.example' },
    );
    expect(posted.status).toBe(303);
    expect(posted.location).toBe(`${house.gateway.url}/SSO/Link/acme?resume=1`);
    expect(await sessionOf(visitor)).toBeUndefined();
    expect((await visitor.go('/SSO/Link/acme?resume=1')).location).toBe(`${house.gateway.url}/AcmeCorp`);
    expect(await sessionOf(visitor)).toBeDefined();
  });

  it('changes nothing by HEAD and OPTIONS, and says which methods there are', async () => {
    for (const dialect of DIALECTS) {
      const token = linkOf(dialect);
      for (const method of ['HEAD', 'PUT'])
        for (const path of [`/SSO/Link/acme?token=${token}`, linkPath(dialect, token)]) {
          const reply = await visitor.send(path, { method });
          expect({ path: path.slice(0, 20), method, status: reply.status }).toMatchObject({ status: 405 });
          expect(reply.headers.allow).toContain('GET');
        }
      await visitor.send(linkPath(dialect, token), { method: 'OPTIONS' });
      expect(await sessionOf(visitor)).toBeUndefined();
    }
  });
});

function confirm(by: Visitor, page: string): Promise<Reply> {
  const question = /name="confirm" value="([\w-]{43})"/.exec(page)?.[1] ?? '';
  return by.post('/SSO/Link/acme', { confirm: question }, { 'sec-fetch-site': 'same-origin' });
}

describe('somebody else is signed in', () => {
  it('so the person is asked first, and the token is in no page', async () => {
    await signIn(house, visitor, { claims: { roles: ['Admin'] } });
    const token = linkOf('frill', { id: 'mallory', name: 'Mallory <b>' });
    const postponed = await visitor.go(linkPath('frill', token));
    expect(postponed.location).toBe(`${house.gateway.url}/SSO/Link/acme?resume=1`);
    const question = await visitor.go('/SSO/Link/acme?resume=1');
    expect(question.status).toBe(200);
    expect(question.text).toContain('Ada Admin');
    expect(question.text).toContain('Mallory &lt;b&gt;');
    expect(question.text).not.toContain(token.slice(0, 30));
    expect(await sessionOf(visitor)).toMatchObject({ sub: 'ada' });
    const forged = await visitor.post(
      '/SSO/Link/acme',
      { confirm: '1' },
      { 'sec-fetch-site': 'cross-site', origin: 'https://evil.example' },
    );
    expect(forged.status).toBe(400);
    expect(await sessionOf(visitor)).toMatchObject({ sub: 'ada' });
    const done = await confirm(visitor, question.text);
    expect(done.status).toBe(303);
    expect(await sessionOf(visitor)).toMatchObject({ sub: 'mallory', connection: 'frill' });
  });

  it('yes to one link is no yes to another that came in meanwhile', async () => {
    await signIn(house, visitor, { claims: { roles: ['Admin'] } });
    await visitor.go(linkPath('frill', linkOf('frill', { id: 'bob', name: 'Bob' })));
    const aboutBob = await visitor.go('/SSO/Link/acme?resume=1');
    expect(aboutBob.text).toContain('Continue as Bob');
    await visitor.go(linkPath('frill', linkOf('frill', { id: 'mallory', name: 'Mallory' })));
    const answer = await confirm(visitor, aboutBob.text);
    expect(answer.location).toBe(`${house.gateway.url}/SSO/Link/acme?resume=1`);
    expect(await sessionOf(visitor)).toMatchObject({ sub: 'ada' });
    const aboutMallory = await visitor.go('/SSO/Link/acme?resume=1');
    expect(aboutMallory.text).toContain('Continue as Mallory');
    await confirm(visitor, aboutMallory.text);
    expect(await sessionOf(visitor)).toMatchObject({ sub: 'mallory' });
  });

  it('no address of ours sends them to the provider, which would end their session', async () => {
    await visitor.go(linkPath('frill', linkOf('frill', { id: 'victim' })));
    const reply = await visitor.go('/SSO/OIDC/acme/SignIn?renew=1');
    expect(reply.location).toBe(`${house.gateway.url}/AcmeCorp`);
    expect(await sessionOf(visitor)).toMatchObject({ sub: 'victim' });
  });

  it('also when another site posts the link', async () => {
    await signIn(house, visitor, { claims: { roles: ['Admin'] } });
    const headers = { 'sec-fetch-site': 'cross-site', origin: 'https://evil.example' };
    const cookies = new Map(visitor.cookies);
    visitor.cookies.delete('__Host-gatehouse-session-acme'); // as browsers do with SameSite=Lax
    await visitor.post('/SSO/Link/acme', { token: linkOf('frill', { id: 'mallory' }) }, headers);
    visitor.cookies.set('__Host-gatehouse-session-acme', cookies.get('__Host-gatehouse-session-acme') ?? '');
    expect((await visitor.go('/SSO/Link/acme?resume=1')).text).toContain('Somebody else?');
    expect(await sessionOf(visitor)).toMatchObject({ sub: 'ada' });
  });

  it('the same person is not asked', async () => {
    await visitor.go(linkPath('frill', linkOf('frill', { id: 'same' })));
    const before = visitor.cookies.get('__Host-gatehouse-session-acme');
    expect((await visitor.go(linkPath('frill', linkOf('frill', { id: 'same' })))).status).toBe(303);
    expect(visitor.cookies.get('__Host-gatehouse-session-acme')).not.toBe(before);
  });
});

describe('a tenant without an identity provider', () => {
  it('sends people to the sender, who brings them back', async () => {
    const reply = await visitor.go('/initech/board?x=1');
    expect(reply.status).toBe(303);
    expect(reply.location).toBe(
      `https://initech.example/login?redirect=${encodeURIComponent(`${house.gateway.url}/initech/board`)}`,
    );
    const program = await visitor.send('/initech/board');
    expect(program.status).toBe(401);
    expect(program.json()).toMatchObject({
      sign_in_url: `${house.gateway.url}/SSO/OIDC/initech/SignIn?return_to=%2Finitech%2Fboard`,
    });
    const followed = await visitor.go('/SSO/OIDC/initech/SignIn?return_to=%2Finitech%2Fboard');
    expect(followed.location).toBe(reply.location);
    const token = signExactly(validLink('frill', now()), INITECH_KEY);
    expect((await visitor.go(`/initech/board?ssoToken=${token}`)).location).toBe(`${house.gateway.url}/initech/board`);
    expect((await visitor.go('/initech')).text).toContain('Ada Admin');
    expect(await sessionOf(visitor)).toBeUndefined(); // at Acme
  });

  it('has no redirect URI and obeys no logout token', async () => {
    expect((await visitor.go('/SSO/OIDC/initech/Callback')).status).toBe(404);
    const posted = await visitor.send('/SSO/OIDC/initech/SignOut', {
      method: 'POST',
      body: new URLSearchParams({ logout_token: 'x' }),
    });
    expect(posted.status).toBe(400);
  });

  it('signs people out to the signed-out page', async () => {
    await visitor.go(linkPath('frill', signExactly(validLink('frill', now()), INITECH_KEY), 'initech'));
    const out = await visitor.post('/SSO/OIDC/initech/SignOut', {}, { 'sec-fetch-site': 'same-origin' });
    expect(out.location).toBe(`${house.gateway.url}/SSO/OIDC/initech/SignOut`);
    expect(await sessionOf(visitor, 'initech')).toBeUndefined();
  });
});

describe('sessions by links', () => {
  it('live as long as any, are never asked for again, and end when the tenant drops the connection', async () => {
    await visitor.go(linkPath('frill', linkOf('frill')));
    house.gateway.clock.advance(16 * 60_000); // past `renew`
    expect((await visitor.go('/AcmeCorp')).status).toBe(200);
    expect((await visitor.go('/SSO/Account/acme')).text).toContain('Ada Admin');
    const dropped = linksYaml(ACME_KEY, 'company-acme').filter(({ dialect }) => dialect !== 'frill');
    const other = await openLinkHouse();
    const person = other.visitor();
    await person.go(linkPath('frill', signExactly(validLink('frill', other.gateway.clock.nowMs()), ACME_KEY)));
    expect(await sessionOf(person)).toBeDefined();
    const { acmeYaml } = await import('../support/house.ts');
    await other.gateway.writeTenant(acmeYaml(other.acme, { links: dropped, default_groups: [] }));
    await other.gateway.waitFor('tenant.changed');
    expect(await sessionOf(person)).toBeUndefined();
    await other.close();
  });
});

describe('the README’s own senders', () => {
  const user = { id: 'r-1', email: 'readme@acme.example', name: 'Read Me' };
  const block = async (mark: string): Promise<string> => {
    const readme = await readFile(resolve(import.meta.dirname, '../../README.md'), 'utf8');
    const text = readme.split('```').find((candidate) => candidate.includes(mark)) ?? '';
    return text.slice(text.indexOf('\n') + 1);
  };
  const all = '[invoiced, chargely, frill, issuely]';
  const run = async (command: string, program: string): Promise<string[]> => {
    const env = { PATH: process.env.PATH ?? '', ACME_LINK_KEY: ACME_KEY };
    const { stdout } = await promisify(execFile)(
      command,
      [command.endsWith('node') ? '-e' : command === 'ruby' ? '-e' : '-c', program],
      { env },
    );
    return JSON.parse(stdout);
  };

  it.each([
    [
      'Node',
      async (url: string) =>
        run(
          process.execPath,
          `const crypto = require('node:crypto'), jwt = require('jsonwebtoken'), url = ${JSON.stringify(url)}, user = ${JSON.stringify(user)};\n${await block('// Node, with jsonwebtoken')}\nconsole.log(JSON.stringify(${all}))`,
        ),
    ],
    [
      'Python',
      async (url: string) =>
        run(
          '/usr/bin/python3',
          `import json, jwt, os, time, uuid\nurl, user = ${JSON.stringify(url)}, ${JSON.stringify(user)}\n${await block('# Python: senders, with PyJWT')}\nprint(json.dumps(${all}))`,
        ),
    ],
    [
      'Ruby',
      async (url: string) =>
        run(
          'ruby',
          `require 'json'; require 'jwt'; require 'securerandom'\nurl = ${JSON.stringify(url)}; user = { id: 'r-1', email: 'readme@acme.example', name: 'Read Me' }\n${await block('# Ruby, with ruby-jwt')}\nputs JSON.generate(${all})`,
        ),
    ],
  ])('in %s sign people in, in all four dialects', async (_language, make) => {
    const fresh = await openLinkHouse({}, { links: linksYaml(ACME_KEY, 'acme') }); // whose time is the real one
    for (const [index, link] of (await make(fresh.gateway.url)).entries()) {
      const person = fresh.visitor();
      const { pathname, search } = new URL(link);
      expect((await person.go(`${pathname}${search}`)).location).toBe(`${fresh.gateway.url}/AcmeCorp`);
      expect(await sessionOf(person)).toMatchObject({ connection: DIALECTS[index] });
    }
    await fresh.close();
  });
});
