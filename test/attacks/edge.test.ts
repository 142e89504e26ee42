import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseNetworks } from '../../src/config/networks.ts';
import { mayConnect } from '../../src/connections/outbound.ts';
import {
  ACME_CALLBACK,
  acmeYaml,
  type House,
  openHouse,
  sessionOf,
  signIn,
  signInAtGlobex,
  start,
  validClaims,
} from '../support/house.ts';

let house: House;
let behindProxy: House;
beforeAll(async () => {
  [house, behindProxy] = await Promise.all([
    openHouse({ gatewayYaml: { home: 'tenants' } }),
    openHouse({ environment: { TRUSTED_PROXIES: '127.0.0.1,10.0.0.0/8' } }),
  ]);
});
afterAll(() => Promise.all([house.close(), behindProxy.close()]));

describe('forwarded headers (CVE-2026-40575, CVE-2023-36456)', () => {
  const headers = {
    'x-forwarded-for': '203.0.113.9',
    'x-forwarded-host': 'login.acme.example',
    'x-forwarded-proto': 'https',
  };
  const clientOf = async (at: House, forwardedFor: string) => {
    await at.visitor().send('/AcmeCorp/probe', { headers: { 'x-forwarded-for': forwardedFor } });
    return at.gateway.events('request').at(-1)?.client;
  };

  it('choose a tenant’s own host only from a trusted proxy', async () => {
    for (const at of [house, behindProxy]) {
      const changed = at.gateway.waitFor('tenant.changed');
      await at.gateway.writeTenant(acmeYaml(at.acme, { hosts: ['login.acme.example'] }));
      await changed;
      const reply = await at.visitor().send('/invoices', { headers: { ...headers, accept: 'text/html' } });
      expect(reply.status).toBe(at === house ? 404 : 303);
    }
  });

  it('count for nothing from anybody who is no trusted proxy', async () => {
    expect(await clientOf(house, '203.0.113.9')).toBe('127.0.0.1');
    const reply = await house.visitor().go('/AcmeCorp', { headers });
    expect(new URL(reply.location).searchParams.get('redirect_uri')).toBe(`${house.gateway.url}${ACME_CALLBACK}`);
  });

  it('from a trusted proxy name the client: the last address that is not a proxy of ours', async () => {
    expect(await clientOf(behindProxy, '203.0.113.9')).toBe('203.0.113.9');
    expect(await clientOf(behindProxy, '198.51.100.1, 203.0.113.9, 10.1.1.1')).toBe('203.0.113.9');
    expect(await clientOf(behindProxy, 'evil, 203.0.113.9')).toBe('203.0.113.9');
    expect(await clientOf(behindProxy, '203.0.113.9, evil')).toBe('127.0.0.1');
    expect(await clientOf(behindProxy, '')).toBe('127.0.0.1');
  });

  it('never make a URL', async () => {
    const reply = await behindProxy
      .visitor()
      .go('/AcmeCorp', { headers: { ...headers, 'x-forwarded-host': 'evil.example' } });
    expect(reply.location).not.toContain('evil.example');
    expect(JSON.stringify(reply.headers)).not.toContain('evil.example');
  });
});

describe('the policy of a page', () => {
  it('is this, to the letter', async () => {
    const reply = await house.visitor().go('/nobody');
    expect(String(reply.headers['content-security-policy']).replace(/'sha256-[^']+'/g, 'HASH')).toBe(
      "default-src 'none';base-uri 'none';frame-ancestors 'none';img-src data:;connect-src 'self';style-src HASH;script-src 'none';form-action 'self'",
    );
    expect(reply.headers['x-frame-options']).toBe('DENY');
    expect(reply.headers['strict-transport-security']).toBeUndefined(); // a loopback demo
  });

  it('tells browsers to stay with https where PUBLIC_URL is', async () => {
    const secure = await openHouse({ environment: { PUBLIC_URL: 'https://login.example' } });
    const reply = await secure.visitor().go('/AcmeCorp');
    expect(reply.headers['strict-transport-security']).toBe('max-age=31536000');
    expect(new URL(reply.location).searchParams.get('redirect_uri')).toBe(`https://login.example${ACME_CALLBACK}`);
    await secure.close();
  });
});

describe('every answer of our own', () => {
  const paths = [
    '/',
    '/nobody',
    '/AcmeCorp',
    '/SSO/Session/acme',
    '/SSO/Account/acme',
    '/SSO/OIDC/acme/SignIn',
    ACME_CALLBACK,
    '/SSO/OIDC/acme/SignOut',
    '/SSO/nothing',
  ];
  it.each(paths)('has the headers of the contract: %s', async (path) => {
    const signedIn = house.visitor();
    await signIn(house, signedIn);
    for (const visitor of [house.visitor(), signedIn])
      for (const reply of [
        await visitor.go(path),
        await visitor.send(path),
        await visitor.send(path, { method: 'OPTIONS' }),
      ]) {
        expect(reply.headers).toMatchObject({
          'cache-control': 'no-store',
          'referrer-policy': 'no-referrer',
          'x-content-type-options': 'nosniff',
          'content-security-policy': expect.stringContaining("default-src 'none'"),
          'x-request-id': expect.any(String),
        });
        expect(reply.headers['content-security-policy']).not.toMatch(/unsafe|\*/);
        expect(String(reply.headers['content-security-policy']).replace(/form-action[^;]*/, '')).not.toMatch(/https?:/);
        expect(reply.text).not.toMatch(/(?:src|href)="(?:https?:)?\/\/(?!127\.0\.0\.1)/);
      }
  });

  it.each([
    ['PUT', '/SSO/OIDC/acme/SignIn', 'GET, POST'],
    ['HEAD', ACME_CALLBACK, 'GET, POST'],
    ['DELETE', ACME_CALLBACK, 'POST'],
    ['PATCH', '/SSO/OIDC/acme/SignOut', 'POST'],
    ['POST', '/SSO/Session/acme', 'GET'],
    ['POST', '/SSO/Account/acme', 'GET'],
    ['PROPFIND', '/SSO/Session/acme', 'GET'],
    ['POST', '/livez', 'GET'],
  ])('is 405 with Allow for %s %s', async (method, path, allow) => {
    const reply = await house.visitor().send(path, { method });
    expect(reply.status).toBe(405);
    expect(reply.headers.allow).toContain(allow);
    if (method !== 'HEAD') expect(reply.json().error).toBe('method_not_allowed');
  });

  it('says the code and the request’s number, as a page and as JSON', async () => {
    const page = await house.visitor().go('/nobody');
    expect(page.headers['content-type']).toContain('text/html');
    expect(page.text).toContain('tenant_not_found');
    expect(page.text).toContain(String(page.headers['x-request-id']));
    const json = await house.visitor().send('/nobody');
    expect(json.json()).toEqual({
      error: 'tenant_not_found',
      error_description: expect.any(String),
      request_id: json.headers['x-request-id'],
    });
  });

  it('shows nothing of a visitor’s making unescaped', async () => {
    const visitor = house.visitor();
    await signIn(house, visitor, { claims: { name: '<script>alert(1)</script>"\'', sub: '"><img src=x>' } });
    const page = await visitor.go('/AcmeCorp');
    expect(page.text).not.toMatch(/<script|<img src=x/);
    expect(page.text).toContain('&lt;script&gt;');
  });
});

describe('secrets', () => {
  it('are in no log line, page or URL of ours, whatever happens', async () => {
    const visitor = house.visitor();
    const seen: string[] = [];
    const asked = await start(visitor, '/AcmeCorp/page');
    const token = await house.acme.sign(validClaims(house.acme, asked, house.gateway.clock));
    const replies = [
      await visitor.go(`${ACME_CALLBACK}?id_token=${token}&state=${asked.state}`), // by the wrong mode: refused
      await signIn(house, visitor),
      await signInAtGlobex(house, visitor),
      await visitor.go('/AcmeCorp'),
      await visitor.go('/SSO/Session/acme'),
      await visitor.post(ACME_CALLBACK, { id_token: token, state: asked.state }),
      await visitor.post(ACME_CALLBACK, { error: 'x', error_description: 'y', state: asked.state }),
    ];
    seen.push(asked.state, asked.nonce, token, token.split('.')[1] ?? '', ...visitor.cookies.values());
    for (const secret of seen.filter((value) => value.length > 8)) {
      expect(house.gateway.logText()).not.toContain(secret);
      for (const reply of replies) {
        expect(reply.text).not.toContain(secret);
        expect(reply.location.startsWith(house.gateway.url) && reply.location.includes(secret)).toBe(false);
      }
    }
  });

  it('line breaks in what visitors send make no log line of their own', async () => {
    await house
      .visitor()
      .post(ACME_CALLBACK, { error: 'x\n{"event":"sign_in.succeeded"}', error_description: 'a\r\nb' });
    expect(house.gateway.events('sign_in.refused').at(-1)).toMatchObject({
      reason: 'idp_error',
      description: 'a\r\nb',
    });
  });
});

describe('a request that is no HTTP', () => {
  const exchange = (bytes: string) =>
    new Promise<string>((resolve, reject) => {
      const { hostname, port } = new URL(house.gateway.url);
      const socket = connect(Number(port), hostname, () => socket.write(bytes));
      let answer = '';
      socket.on('data', (chunk) => {
        answer += chunk;
      });
      socket.on('close', () => resolve(answer)).on('error', reject);
    });

  it.each([
    [`GET /${'x'.repeat(70_000)} HTTP/1.1\r\nHost: x\r\n\r\n`, '413', 'request_too_large'],
    [`GET / HTTP/1.1\r\nHost: x\r\nCookie: ${'x'.repeat(70_000)}\r\n\r\n`, '413', 'request_too_large'],
    ['nonsense\r\n\r\n', '400', 'request_invalid'],
    ['GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n', '400', 'request_invalid'],
  ])('is refused in our own form: %#', async (bytes, status, code) => {
    const answer = await exchange(bytes);
    expect(answer).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
    expect(answer).toContain(`"error":"${code}"`);
    expect(answer).toContain('Cache-Control: no-store');
  });
});

describe('crafted cookies (CVE-2026-25748, CVE-2024-24814)', () => {
  it.each([
    '__Host-gatehouse-session-acme',
    '__Host-gatehouse-session-acme=',
    '__Host-gatehouse-session-acme=x',
    `__Host-gatehouse-session-acme=${'A'.repeat(43)}`,
    `__Host-gatehouse-session-acme=${'A'.repeat(20_000)}`,
    '__Host-gatehouse-session-acme=../../x; ;;;===;',
    '__Host-gatehouse-session-acme="quoted"',
    '__Host-gatehouse-session-acme=*',
    '=; =; =',
    ';'.repeat(10_000),
    `${'__Host-gatehouse-attempt-x=y;'.repeat(500)}`,
  ])('are nobody’s session: %#', async (cookie) => {
    for (const path of ['/AcmeCorp', '/SSO/Session/acme', '/SSO/Account/acme']) {
      const reply = await house.visitor().send(path, { headers: { cookie } });
      expect(reply.status).toBe(401);
    }
    const reply = await house.visitor().post(ACME_CALLBACK, { id_token: 'x', state: 'y' }, { cookie });
    expect(reply.status).toBe(303);
    expect(await sessionOf(house.visitor())).toBeUndefined();
  });

  it('cannot smuggle a session in another cookie’s value (a neighbour on the same host writes that)', async () => {
    const attacker = house.visitor();
    await signIn(house, attacker);
    const name = '__Host-gatehouse-session-acme';
    const id = attacker.cookies.get(name);
    for (const cookie of [`foo=a ${name}=${id}`, `foo=a  ${name}=${id}; b=c`, `x${name}=${id}`, `foo="; ${name}=x"`])
      expect((await house.visitor().send('/SSO/Session/acme', { headers: { cookie } })).status).toBe(401);
    for (const cookie of [`${name}=${id}`, `a=b; ${name}=${id}`, `a=b;${name}=${id};c=d`])
      expect((await house.visitor().send('/SSO/Session/acme', { headers: { cookie } })).status).toBe(200);
  });

  it('HEAD and OPTIONS start no sign-in', async () => {
    for (const method of ['HEAD', 'OPTIONS'])
      for (const path of ['/AcmeCorp', '/SSO/Account/acme']) {
        const reply = await house.visitor().go(path, { method });
        expect(reply.setCookies).toEqual([]);
        expect(reply.status).not.toBe(303);
      }
  });
});

describe('addresses that an IdP may have (ASVS 1.3.6)', () => {
  const none = { has: () => false };
  const parsed = parseNetworks(['10.20.0.0/16']);
  const inside = 'list' in parsed ? parsed.list : none;

  it.each([
    '127.0.0.1',
    '10.20.1.1',
    '172.16.0.1',
    '192.168.1.1',
    '169.254.169.254',
    '100.64.0.1',
    '0.0.0.0',
    '224.0.0.1',
    '::1',
    '::',
    'fd00::1',
    'fe80::1',
    '::ffff:127.0.0.1',
    '::ffff:10.0.0.1',
    '64:ff9b::7f00:1',
    'x',
  ])('not %s, for a public name', (address) => {
    expect(mayConnect('idp.example', address, none)).toBe(false);
  });

  it('public ones, loopback for loopback names, and what the operator listed', () => {
    expect(mayConnect('idp.example', '93.184.216.34', none)).toBe(true);
    expect(mayConnect('idp.example', '2606:2800:220:1::1', none)).toBe(true);
    expect(mayConnect('localhost', '127.0.0.1', none)).toBe(true);
    expect(mayConnect('localhost', '::1', none)).toBe(true);
    expect(mayConnect('localhost', '10.20.1.1', none)).toBe(false);
    expect(mayConnect('idp.example', '10.20.1.1', inside)).toBe(true);
    expect(mayConnect('idp.example', '10.21.1.1', inside)).toBe(false);
  });
});
