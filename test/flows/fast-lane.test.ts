import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import { connect } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type House, openHouse, signIn } from '../support/house.ts';
import type { Reply, Visitor } from '../support/visitor.ts';

/**
 * A session that this replica knows is served without the rest of the house (gateway/fast-lane.ts). Nobody may be able to tell: each
 * request is asked twice, the first time after a pause in which everything known was dropped, the second time at once.
 */
let house: House;
let app: Server;
let told: IncomingHttpHeaders[];
let onSlow = (): void => {};
let visitor: Visitor;

beforeAll(async () => {
  app = createServer((request, response) => {
    told.push(request.headers);
    if (request.url?.startsWith('/AcmeCorp/slow')) return onSlow();
    if (request.url?.startsWith('/AcmeCorp/gone')) return void request.socket.destroy();
    if (request.url?.startsWith('/AcmeCorp/named')) response.setHeader('X-Request-Id', 'theirs');
    response.setHeader('x-app', 'yes').end(`${request.method} ${request.url}`);
  });
  await new Promise<void>((done) => app.listen(0, '127.0.0.1', done));
  const address = app.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  house = await openHouse({
    acme: {
      upstream: { url: `http://127.0.0.1:${port}` },
      access: [{ path: '/admin/**', groups: ['billing-admins'] }],
    },
    environment: { TRUSTED_PROXIES: '127.0.0.1' },
  });
});
afterAll(async () => {
  await house.close();
  await new Promise((done) => app.close(done));
});
beforeEach(async () => {
  visitor = house.visitor();
  await signIn(house, visitor, { claims: { roles: ['invoice-readers'] } });
  told = [];
});

const VARYING = /^(?:date|x-request-id)$/;

function plain({ status, headers, text }: Reply): unknown {
  const kept = Object.entries(headers).filter(([name]) => !VARYING.test(name));
  return { status, headers: Object.fromEntries(kept), text: text.replace(/"request_id":"[^"]+"/, '') };
}

/** @returns the answers by the house and by the lane, and the lines that the log has of them */
async function twice(ask: () => Promise<Reply>): Promise<{ slow: Reply; fast: Reply; lines: unknown[] }> {
  await visitor.send('/AcmeCorp/page'); // so that an assertion is at hand
  await ask();
  house.gateway.clock.advance(2_000);
  const from = house.gateway.log.length;
  const [slow, fast] = [await ask(), await ask()];
  const lines = house.gateway.log.slice(from).filter(({ event }) => event === 'request');
  return { slow, fast, lines: lines.map(({ request_id, time, ms, cause, ...line }) => line) };
}

describe('whether the replica knows the session or not', () => {
  it.each([
    ['the app', '/AcmeCorp/page?x=1', {}],
    ['forward authentication', '/SSO/Auth', { 'x-forwarded-uri': '/AcmeCorp/page' }],
    ['forward authentication for a tenant', '/SSO/Auth?tenant=acme', { 'x-forwarded-uri': '/AcmeCorp/page' }],
    ['a page that this person may not open', '/AcmeCorp/admin/x', {}],
    ['the same by forward authentication', '/SSO/Auth', { 'x-forwarded-uri': '/AcmeCorp/admin/x' }],
    ['an ambiguous path', '/AcmeCorp//x', {}],
    ['a path that is told twice', '/SSO/Auth', { 'x-forwarded-uri': '/AcmeCorp/x', 'x-original-url': '/AcmeCorp/y' }],
    ['another tenant', '/globex', {}],
    ['an app that names its requests too', '/AcmeCorp/named', {}],
    ['an app that hangs up', '/AcmeCorp/gone', {}],
    ['the gateway’s own', '/SSO/Session/acme', {}],
  ])('%s answers the same', async (_what, path, headers) => {
    const { slow, fast, lines } = await twice(() => visitor.send(path, { headers }));
    expect(plain(fast)).toEqual(plain(slow));
    expect(fast.headers['x-request-id']).toMatch(/^[\w-]{36}$/);
    expect(fast.headers['x-request-id']).not.toBe(slow.headers['x-request-id']);
    expect(lines).toHaveLength(2);
    expect(lines[1]).toEqual(lines[0]);
  });

  it('the app is told the same', async () => {
    await twice(() =>
      visitor.send('/AcmeCorp/page', { headers: { 'X_Auth-Request_User': 'boss', 'x-forwarded-for': '10.0.0.9' } }),
    );
    const [, , slow, fast] = told;
    expect(fast).toEqual(slow);
    expect(fast).toMatchObject({ 'x-auth-request-user': 'ada', 'x-forwarded-for': '10.0.0.9, 127.0.0.1' });
    expect(JSON.stringify(fast)).not.toContain('boss');
    expect(fast?.cookie ?? '').not.toContain('gatehouse');
  });

  it('who goes before the app answers is logged as gone', async () => {
    const { hostname, port } = new URL(house.gateway.url);
    const cookie = [...visitor.cookies].map(([name, value]) => `${name}=${value}`).join('; ');
    const goAway = async (): Promise<unknown> => {
      const line = house.gateway.waitFor('request');
      const arrived = new Promise<void>((resolve) => {
        onSlow = resolve;
      });
      const socket = connect(Number(port), hostname);
      socket.write(`GET /AcmeCorp/slow HTTP/1.1\r\nHost: ${hostname}:${port}\r\nCookie: ${cookie}\r\n\r\n`);
      await arrived;
      socket.destroy();
      return (await line).status;
    };
    await visitor.send('/AcmeCorp/page');
    house.gateway.clock.advance(2_000);
    expect([await goAway(), await goAway()]).toEqual([499, 499]);
  });

  it('a body arrives whole', async () => {
    const ask = () => visitor.send('/AcmeCorp/page', { method: 'POST', body: 'x'.repeat(100_000) });
    const { slow, fast } = await twice(ask);
    expect(plain(fast)).toEqual(plain(slow));
  });

  it('an identity that is due is asked for again, however often one comes', async () => {
    await visitor.go('/AcmeCorp/page');
    house.gateway.clock.advance(15 * 60_000 - 3_000);
    expect((await visitor.go('/AcmeCorp/page')).status).toBe(200);
    house.gateway.clock.advance(3_001);
    await visitor.send('/AcmeCorp/page');
    const renewal = await visitor.go('/AcmeCorp/page');
    expect(renewal.status).toBe(303);
    expect(renewal.location).toContain('prompt=none');
  });

  it('who signs out is out with the next request', async () => {
    await visitor.send('/AcmeCorp/page');
    expect((await visitor.send('/AcmeCorp/page')).status).toBe(200);
    const cookies = new Map(visitor.cookies);
    await visitor.post('/SSO/OIDC/acme/SignOut', {}, { 'sec-fetch-site': 'same-origin' });
    for (const [name, value] of cookies) visitor.cookies.set(name, value);
    expect((await visitor.send('/AcmeCorp/page')).status).toBe(401);
    expect((await visitor.send('/SSO/Auth', { headers: { 'x-forwarded-uri': '/AcmeCorp/x' } })).status).toBe(401);
  });

  it('one tenant’s known session is nothing at another, and a changed rule counts at once', async () => {
    const name = '__Host-gatehouse-session-';
    await visitor.send('/AcmeCorp/page');
    visitor.cookies.set(`${name}globex`, visitor.cookies.get(`${name}acme`) ?? '');
    expect((await visitor.send('/SSO/Auth?tenant=globex', { headers: { 'x-forwarded-uri': '/globex' } })).status).toBe(
      401,
    );
    expect((await visitor.send('/SSO/Session/globex')).status).toBe(401);
  });
});
