import { once } from 'node:events';
import {
  type ClientRequest,
  createServer as createHttpServer,
  request as httpRequest,
  type IncomingMessage,
} from 'node:http';
import { connect, createServer } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { type App, openApp } from '../support/app.ts';
import { acmeYaml, askedOf, globexYaml, type House, openHouse, sessionOf, signIn } from '../support/house.ts';
import { NAVIGATION, type Visitor } from '../support/visitor.ts';

/** An app behind the gateway itself. */
const ACCESS = [
  { path: '/admin/**', groups: ['billing-admins'] },
  { path: '/open/**', anonymous: true },
];
let app: App;
let house: House;
let visitor: Visitor;
beforeAll(async () => {
  app = await openApp();
  house = await openHouse({ acme: { access: ACCESS, upstream: { url: app.url, timeout: '1s' } } });
});
afterAll(async () => {
  await house.close();
  await app.close();
});
beforeEach(async () => {
  visitor = house.visitor();
  await signIn(house, visitor, { claims: { name: 'Ada Ümlaut', roles: ['invoice-readers'] } });
});

const cookieOf = (by: Visitor): string => [...by.cookies].map(([name, value]) => `${name}=${value}`).join('; ');

/** With raw headers, as nobody's library would send them. */
function send(path: string, headers: string[] = [], method = 'GET'): ClientRequest {
  const { hostname, port, host } = new URL(house.gateway.url);
  return httpRequest({
    hostname,
    port,
    path,
    method,
    headers: ['Host', host, 'Cookie', cookieOf(visitor), ...headers],
    setDefaultHeaders: false,
  });
}

async function answerTo(request: ClientRequest): Promise<IncomingMessage> {
  const [response] = await once(request.end(), 'response');
  return response;
}

describe('the app', () => {
  it('is told who it is, by headers and an assertion, and where the request came from', async () => {
    const reply = await visitor.go('/AcmeCorp/page?x=1&y=%2F');
    expect(reply.status).toBe(200);
    expect(reply.text).toBe('the app got 0 bytes at /AcmeCorp/page?x=1&y=%2F');
    const { host } = new URL(house.gateway.url);
    expect(app.last().headers).toMatchObject({
      host,
      'x-auth-request-user': 'ada',
      'x-auth-request-name': 'Ada%20%C3%9Cmlaut',
      'x-auth-request-groups': 'invoice-readers',
      'x-auth-request-tenant': 'acme',
      'x-auth-request-assertion': expect.stringMatching(/^[\w-]+\.[\w-]+\.[\w-]+$/),
      'x-forwarded-for': '127.0.0.1',
      'x-forwarded-host': host,
      'x-forwarded-proto': 'http',
    });
  });

  it('hears nothing that a client says under those names, in any spelling (CVE-2025-64484)', async () => {
    const spellings = [
      'X-Auth-Request-User',
      'x-auth-request-user',
      'X_Auth_Request_User',
      'x-auth_request-GROUPS',
      'X-AUTH-REQUEST-ASSERTION',
      'X-Forwarded-For',
      'X_Forwarded_Host',
      'Forwarded',
      'X-Original-URL',
      'X-Rewrite-URL',
      'X-Real-IP',
      'X-Auth-Request-Anything',
    ];
    const response = await answerTo(
      send('/AcmeCorp/page', [
        ...spellings.flatMap((name) => [name, 'evil', name, 'evil2']),
        'Connection',
        'close, X-Auth-Request-Email, X-Mine',
        'X-Mine',
        'evil',
      ]),
    );
    expect(response.statusCode).toBe(200);
    expect(JSON.stringify(app.last().raw)).not.toContain('evil');
    expect(app.last().headers['x-auth-request-email']).toBe('ada@acme.example');
    const names = app
      .last()
      .raw.filter((_, at) => at % 2 === 0)
      .map((name) => name.toLowerCase());
    expect(new Set(names).size).toBe(names.length);
  });

  it('gets its own cookies and none of ours', async () => {
    visitor.cookies.set('app', '1');
    visitor.cookies.set('other', '2');
    await visitor.go('/AcmeCorp/page');
    expect(app.last().headers.cookie).toBe('app=1; other=2');
    visitor.cookies.delete('app');
    visitor.cookies.delete('other');
    await visitor.go('/AcmeCorp/page');
    expect(app.last().headers.cookie).toBeUndefined();
  });

  it('may set cookies of its own and none of ours, and answers with its own headers', async () => {
    const response = await answerTo(send('/AcmeCorp/cookies'));
    expect(response.headers['set-cookie']).toEqual(['a=1; Path=/', 'b=2']);
    expect(response.headers['x-hop']).toBeUndefined();
    expect(response.headers['content-security-policy']).toBe("default-src 'self'");
    expect(response.headers['x-frame-options']).toBeUndefined();
    expect(response.headers['cache-control']).toBeUndefined();
    expect(response.headers['x-request-id']).toBeDefined();
    response.resume();
  });

  it.each([
    ['/AcmeCorp/%70age', '/AcmeCorp/page'],
    ['/AcmeCorp/caf%c3%a9?q=%c3', '/AcmeCorp/caf%C3%A9?q=%c3'],
    ['/acmecorp/x', '/acmecorp/x'],
    ['/AcmeCorp', '/AcmeCorp'],
  ])('is asked for the path that was judged: %s -> %s', async (asked, forwarded) => {
    (await answerTo(send(asked))).resume();
    expect(app.last().url).toBe(forwarded);
  });

  it.each([
    '/AcmeCorp//x',
    '/AcmeCorp/../x',
    '/AcmeCorp/%2e%2e/x',
    '/AcmeCorp/a;b',
    '/AcmeCorp/a%2fb',
    '/AcmeCorp/a%00',
  ])('is not asked for %s at all', async (path) => {
    const before = app.seen.length;
    const response = await answerTo(send(path));
    expect(response.statusCode).toBe(400);
    expect(app.seen.length).toBe(before);
    response.resume();
  });

  it.each([
    ['GET', '/AcmeCorp/gzip', 200],
    ['GET', '/AcmeCorp/range', 206],
    ['GET', '/AcmeCorp/nothing', 204],
    ['GET', '/AcmeCorp/unchanged', 304],
    ['GET', '/AcmeCorp/teapot', 418],
    ['GET', '/AcmeCorp/early', 200],
    ['HEAD', '/AcmeCorp/page', 200],
    ['DELETE', '/AcmeCorp/page', 200],
    ['OPTIONS', '/AcmeCorp/page', 200],
    ['PROPFIND', '/AcmeCorp/page', 200],
  ])('answers %s %s with %i as if nobody stood between', async (method, path, status) => {
    const response = await answerTo(send(path, ['Range', 'bytes=0-3'], method));
    expect(response.statusCode).toBe(status);
    expect(app.last().method).toBe(method);
    if (path.endsWith('range')) expect(response.headers['x-range']).toBe('bytes=0-3');
    if (path.endsWith('gzip')) expect(response.headers['content-encoding']).toBe('gzip');
    if (path.endsWith('teapot')) expect(response.statusMessage).toBe('Short and stout');
    response.resume();
  });

  it('gets bodies whole, with a length and in pieces', async () => {
    const whole = send('/AcmeCorp/page', ['Content-Length', '5000000'], 'POST');
    whole.write(Buffer.alloc(5_000_000));
    const [one] = await once(whole.end(), 'response');
    expect((await text(one)).startsWith('the app got 5000000 bytes')).toBe(true);
    const pieces = send('/AcmeCorp/page', ['Transfer-Encoding', 'chunked'], 'PUT');
    for (let i = 0; i < 50; i++) pieces.write(Buffer.alloc(20_000));
    const [two] = await once(pieces.end(), 'response');
    expect((await text(two)).startsWith('the app got 1000000 bytes')).toBe(true);
  });

  it('may send trailers', async () => {
    const response = await answerTo(send('/AcmeCorp/trailers', ['TE', 'trailers']));
    expect(await text(response)).toBe('body');
    expect(response.trailers).toEqual({ 'x-sum': '7' });
  });
});

async function text(response: IncomingMessage): Promise<string> {
  let whole = '';
  for await (const chunk of response) whole += chunk;
  return whole;
}

describe('who may', () => {
  it('is judged before the app hears anything', async () => {
    const before = app.seen.length;
    const stranger = house.visitor();
    expect((await stranger.go('/AcmeCorp/page')).status).toBe(303);
    expect((await stranger.send('/AcmeCorp/page', { method: 'POST', body: 'x' })).status).toBe(401);
    expect((await visitor.go('/AcmeCorp/admin/x')).status).toBe(403);
    expect((await visitor.go('/AcmeCorp/%61dmin')).status).toBe(403);
    expect(app.seen.length).toBe(before);
  });

  it('on an anonymous path is anybody, and the app is told of nobody', async () => {
    const reply = await house.visitor().go('/AcmeCorp/open/x', { headers: { 'x-auth-request-user': 'evil' } });
    expect(reply.status).toBe(200);
    expect(Object.keys(app.last().headers).filter((name) => name.startsWith('x-auth-request'))).toEqual([]);
    await visitor.go('/AcmeCorp/open/x');
    expect(app.last().headers['x-auth-request-user']).toBe('ada');
  });

  it('is asked again in time, before a page of the app', async () => {
    house.gateway.clock.advance(16 * 60_000);
    const before = app.seen.length;
    expect(askedOf(await visitor.go('/AcmeCorp/page')).url.searchParams.get('prompt')).toBe('none');
    expect(app.seen.length).toBe(before);
    expect((await visitor.send('/AcmeCorp/page', { method: 'POST', headers: NAVIGATION, body: 'x' })).status).toBe(200);
  });
});

describe('an app that', () => {
  it('cannot be reached is 502, as a page and as JSON', async () => {
    const changed = house.gateway.waitFor('tenant.changed');
    await house.gateway.writeTenant(
      globexYaml(house.globex, { upstream: { url: 'http://127.0.0.1:1' }, access: [{ path: '/**', anonymous: true }] }),
    );
    await changed;
    const page = await house.visitor().go('/globex/x');
    expect(page.status).toBe(502);
    expect(page.text).toContain('upstream_unavailable');
    expect(page.headers['content-security-policy']).toContain("default-src 'none'");
    expect((await house.visitor().send('/globex/x')).json().error).toBe('upstream_unavailable');
  });

  it('hangs up is 502, and asked once only', async () => {
    const before = app.seen.length;
    expect((await visitor.send('/AcmeCorp/cut')).status).toBe(502);
    expect((await visitor.send('/AcmeCorp/cut', { method: 'POST', body: 'x' })).status).toBe(502);
    expect(app.seen.length - before).toBe(2);
  });

  it('does not answer in time is 504', async () => {
    const reply = await visitor.send('/AcmeCorp/never');
    expect(reply.status).toBe(504);
    expect(reply.json().error).toBe('upstream_unavailable');
  });

  it('breaks off looks broken off', async () => {
    const response = await answerTo(send('/AcmeCorp/half'));
    await expect(text(response)).rejects.toThrow('aborted');
  });
});

describe('a stream', () => {
  it('comes at once, and ends at the app when the client goes', async () => {
    const request = send('/AcmeCorp/events');
    const response = await answerTo(request);
    const [first] = await once(response, 'data');
    expect(String(first)).toBe('data: first\n\n');
    const before = app.aborted;
    response.on('error', () => {});
    request.destroy();
    await expect.poll(() => app.aborted).toBe(before + 1);
  });

  it('of events is over when the session is', async () => {
    const response = await answerTo(send('/AcmeCorp/events'));
    const over = new Promise((resolve) => response.on('close', resolve).on('error', resolve));
    response.resume();
    await visitor.post('/SSO/OIDC/acme/SignOut', {}, { 'sec-fetch-site': 'same-origin' });
    await over;
  });

  it('of a gibibyte waits for a client that does not read, and takes no memory', { timeout: 60_000 }, async () => {
    app.flooded = 0;
    const response = await answerTo(send('/AcmeCorp/flood'));
    await expect
      .poll(async () => {
        const before = app.flooded;
        await new Promise((resolve) => setTimeout(resolve, 200));
        return app.flooded - before;
      })
      .toBe(0);
    expect(app.flooded).toBeLessThan(64 * 1024 * 1024); // what the kernel and three processes' buffers hold
    const rss = process.memoryUsage().rss;
    let received = 0;
    let highest = 0;
    response.on('data', (chunk: Buffer) => {
      received += chunk.length;
      if (received % (64 * 1024 * 1024) < chunk.length) highest = Math.max(highest, process.memoryUsage().rss - rss);
    });
    await once(response, 'end');
    expect(received).toBe(1024 * 1024 * 1024);
    expect(highest).toBeLessThan(256 * 1024 * 1024);
  });
});

describe('a WebSocket', () => {
  const url = () => house.gateway.url.replace('http:', 'ws:');
  const open = (path: string, headers: Record<string, string>) => new WebSocket(`${url()}${path}`, { headers });
  const ours = () => ({ cookie: cookieOf(visitor), origin: house.gateway.url });

  it('is tied to the app, which knows who it is', async () => {
    const socket = open('/AcmeCorp/socket?x=1', {
      ...ours(),
      'x-auth-request-user': 'evil',
      x_auth_request_groups: 'evil',
    });
    await once(socket, 'open');
    socket.send('hello');
    const [data] = await once(socket, 'message');
    expect(String(data)).toBe('hello');
    socket.send(Buffer.alloc(2_000_000));
    const [large] = await once(socket, 'message');
    expect(large).toHaveLength(2_000_000);
    expect(app.last()).toMatchObject({ method: 'WS', url: '/AcmeCorp/socket?x=1' });
    expect(app.last().headers).toMatchObject({
      'x-auth-request-user': 'ada',
      'x-auth-request-groups': 'invoice-readers',
    });
    expect(JSON.stringify(app.last().raw)).not.toMatch(/evil|gatehouse-session/);
    socket.terminate();
  });

  const refusals: [string, string, () => Record<string, string>, number][] = [
    ['without a session', '/AcmeCorp/socket', () => ({ origin: house.gateway.url }), 401],
    ['from another site', '/AcmeCorp/socket', () => ({ ...ours(), origin: 'https://evil.example' }), 403],
    ['from nowhere', '/AcmeCorp/socket', () => ({ cookie: cookieOf(visitor) }), 403],
    ['where the person may not', '/AcmeCorp/admin/socket', ours, 403],
    ['by an ambiguous path', '/AcmeCorp/a;b', ours, 400],
    ['at nobody’s', '/nobody/socket', ours, 404],
    ['at the gateway’s own paths', '/SSO/nothing', ours, 404],
  ];
  it.each(refusals)('%s is refused', async (_what, path, headers, status) => {
    const before = app.seen.length;
    const socket = open(path, headers());
    const [, response] = await once(socket, 'unexpected-response');
    expect(response.statusCode).toBe(status);
    expect(app.seen.length).toBe(before);
    socket.on('error', () => {});
    socket.terminate();
  });

  it('is closed when its session ends, wherever that was ended', async () => {
    const socket = open('/AcmeCorp/socket', ours());
    await once(socket, 'open');
    const closed = once(socket, 'close');
    await visitor.post('/SSO/OIDC/acme/SignOut', {}, { 'sec-fetch-site': 'same-origin' });
    await closed;
    expect(await sessionOf(visitor)).toBeUndefined();
  });

  it('does not keep the gateway from going', async () => {
    const other = await openHouse({ acme: { upstream: { url: app.url }, access: [{ path: '/**', anonymous: true }] } });
    const socket = new WebSocket(`${other.gateway.url.replace('http:', 'ws:')}/AcmeCorp/socket`, {
      headers: { origin: other.gateway.url },
    });
    await once(socket, 'open');
    const closed = once(socket, 'close');
    await other.close();
    await closed;
  });
});

describe('a tenant whose prefix is stripped', () => {
  it('has an app that knows nothing of it but by a header', async () => {
    const changed = house.gateway.waitFor('tenant.changed');
    await house.gateway.writeTenant(
      acmeYaml(house.acme, { upstream: { url: app.url, strip_prefix: true }, hosts: ['acme.example'] }),
    );
    await changed;
    await visitor.go('/AcmeCorp/invoices?x=1');
    expect(app.last().url).toBe('/invoices?x=1');
    expect(app.last().headers['x-forwarded-prefix']).toBe('/AcmeCorp');
    await visitor.go('/AcmeCorp');
    expect(app.last().url).toBe('/');
    (await answerTo(send('/AcmeCorp'))).resume();
    const own = await visitor.go('/invoices', { headers: { host: 'acme.example' } });
    expect(own.status).toBe(200);
    expect(app.last().url).toBe('/invoices');
    expect(app.last().headers['x-forwarded-prefix']).toBeUndefined();
    expect(app.last().headers.host).toMatch(/^acme\.example:\d+$/);
  });
});

describe('a host of the tenant’s own', () => {
  it('knows no path in the form with slugs, by which rules would be passed by', async () => {
    const changed = house.gateway.waitFor('tenant.changed');
    await house.gateway.writeTenant(
      acmeYaml(house.acme, { access: ACCESS, upstream: { url: app.url }, hosts: ['acme.example'] }),
    );
    await changed;
    const before = app.seen.length;
    const at = (path: string) => visitor.send(path, { headers: { host: 'acme.example' } });
    for (const path of ['/AcmeCorp/admin/x', '/acmecorp/admin', '/%41cmeCorp/admin', '/globex/x', '/globex'])
      expect((await at(path)).status).toBe(404);
    expect((await at('/admin/x')).status).toBe(403);
    expect((await at('/%53SO/jwks.json')).status).toBe(404);
    const socket = new WebSocket(`${house.gateway.url.replace('http:', 'ws:')}/%53SO/x`, {
      headers: {
        cookie: cookieOf(visitor),
        host: 'acme.example',
        origin: house.gateway.url.replace('127.0.0.1', 'acme.example'),
      },
    });
    const [, refused] = await once(socket, 'unexpected-response');
    expect(refused.statusCode).toBe(404);
    socket.on('error', () => {});
    socket.terminate();
    expect(app.seen.length).toBe(before);
    expect((await at('/page')).status).toBe(200);
  });
});

describe('an app that answers before it has read the body', () => {
  it('gets its answer through, on a connection that ends then: nothing could follow on it', async () => {
    const early = createHttpServer((_, response) => response.writeHead(413, { 'content-length': 2 }).end('no'));
    await new Promise<void>((done) => early.listen(0, '127.0.0.1', done));
    const address = early.address();
    const url = `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`;
    const other = await openHouse({ acme: { upstream: { url }, access: [{ path: '/**', anonymous: true }] } });
    const { hostname, port } = new URL(other.gateway.url);
    const socket = connect(Number(port), hostname);
    let answer = '';
    socket.on('data', (chunk) => {
      answer += chunk;
    });
    socket.on('error', () => {});
    socket.write(`POST /AcmeCorp/x HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\na`);
    await once(socket, 'close');
    expect(answer).toMatch(/^HTTP\/1\.1 413 [\s\S]*Connection: close/i);
    await other.close();
    early.closeAllConnections();
    await new Promise((done) => early.close(done));
  });
});

describe('what names a protocol and is no WebSocket request', () => {
  const raw = async (bytes: string): Promise<string> => {
    const { hostname, port } = new URL(house.gateway.url);
    const socket = connect(Number(port), hostname, () => socket.write(bytes));
    let answer = '';
    socket.on('data', (chunk) => {
      answer += chunk;
    });
    await once(socket, 'close');
    return answer;
  };
  const head = (method: string, path: string, upgrade: string, more = '') =>
    `${method} ${path} HTTP/1.1\r\nHost: x\r\nCookie: ${cookieOf(visitor)}\r\nOrigin: ${house.gateway.url}\r\nConnection: Upgrade, close\r\nUpgrade: ${upgrade}\r\n${more}\r\n`;

  it('is an ordinary request, whose body stays its body (desync)', async () => {
    const smuggled = 'GET /AcmeCorp/admin/secret HTTP/1.1\r\nHost: x\r\n\r\n';
    const before = app.seen.length;
    const answer = await raw(
      head('GET', '/AcmeCorp/page', 'websocket', `Content-Length: ${smuggled.length}\r\n`) + smuggled,
    );
    expect(answer).toMatch(/^HTTP\/1\.1 200 /);
    expect(answer).toContain(`the app got ${smuggled.length} bytes at /AcmeCorp/page`);
    expect(app.seen.slice(before).map(({ url }) => url)).toEqual(['/AcmeCorp/page']);
  });

  it.each([
    ['GET', 'h2c'],
    ['POST', 'websocket'],
  ])('%s with %s too, and the app is not asked to upgrade', async (method, upgrade) => {
    expect(await raw(head(method, '/AcmeCorp/page', upgrade))).toMatch(/^HTTP\/1\.1 200 /);
    expect(app.last().headers.upgrade).toBeUndefined();
  });

  it('as is any at the gateway’s own paths', async () => {
    expect(await raw(head('GET', '/SSO/Session/acme', 'websocket'))).toMatch(/^HTTP\/1\.1 200 /);
  });
});

describe('an app that speaks badly', () => {
  it.each([
    ['HTTP/1.1 200 \u65e5\u672c\r\nContent-Length: 2\r\n\r\nok', 200],
    ['HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok', 502],
    ['nonsense\r\n\r\n', 502],
    [`HTTP/1.1 200 OK\r\nX-Big: ${'x'.repeat(70_000)}\r\n\r\n`, 502],
  ])('hangs nobody: %#', async (bytes, status) => {
    const server = createServer((socket) => socket.once('data', () => socket.end(bytes)).on('error', () => {}));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    const url = `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`;
    const changed = house.gateway.waitFor('tenant.changed');
    await house.gateway.writeTenant(acmeYaml(house.acme, { upstream: { url } }));
    await changed;
    expect((await visitor.send('/AcmeCorp/page')).status).toBe(status);
    server.close();
  });
});

describe('requests that two servers may split differently', () => {
  it.each([
    'POST /AcmeCorp/page HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    'POST /AcmeCorp/page HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcd',
    'POST /AcmeCorp/page HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n',
    'GET /AcmeCorp/page HTTP/1.1\r\nHost: x\r\nX-A: b\r\n c\r\n\r\n',
    'GET /AcmeCorp/page HTTP/1.1\r\nHost: x\r\nX-A : b\r\n\r\n',
    'GET /AcmeCorp/pa ge HTTP/1.1\r\nHost: x\r\n\r\n',
  ])('never get to the app: %#', async (bytes) => {
    const before = app.seen.length;
    const { hostname, port } = new URL(house.gateway.url);
    const socket = connect(Number(port), hostname, () =>
      socket.write(bytes.replace('Host: x', `Host: x\r\nCookie: ${cookieOf(visitor)}`)),
    );
    const [first] = await once(socket, 'data');
    expect(String(first)).toMatch(/^HTTP\/1\.1 400 /);
    expect(app.seen.length).toBe(before);
    socket.destroy();
  });
});
