import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { createTenantFolder } from '../../src/config/tenant-folder.ts';
import { NO_LIMITS } from '../support/gateway.ts';
import { ACME_CALLBACK, type House, openHouse, sessionOf, signIn, start, validClaims } from '../support/house.ts';

/**
 * Whatever comes: never a crash, never a 5xx, never a session. The same values each time, for a few seconds; longer and with others by
 * `FUZZ_SECONDS=60 npx vitest run test/attacks/fuzz.test.ts`.
 */
const SECONDS = Number(process.env.FUZZ_SECONDS ?? 1);
const OPTIONS = {
  numRuns: 1_000_000,
  interruptAfterTimeLimit: SECONDS * 1000,
  ...(process.env.FUZZ_SECONDS === undefined && { seed: 20_261_122 }),
};
const TIMEOUT = { timeout: SECONDS * 1000 + 30_000 };

let house: House;
beforeAll(async () => {
  house = await openHouse({
    gatewayYaml: { limits: NO_LIMITS },
    environment: { TRUSTED_PROXIES: '127.0.0.1', LOG_LEVEL: 'error' },
    acme: { links: [{ dialect: 'frill', key: 'a-key-of-acme-for-links' }] },
  });
});
afterAll(() => house.close());
/** Whatever came, people can still sign in. */
afterEach(async () => {
  const visitor = house.visitor();
  await signIn(house, visitor);
  expect(await sessionOf(visitor)).toMatchObject({ sub: 'ada' });
  expect(house.gateway.log.filter(({ msg }) => msg === 'bug')).toEqual([]);
});

/** Sends the bytes as they are. @returns the answer's head; nothing when the connection was closed without one */
function sendRaw(bytes: string | Buffer): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(Number(new URL(house.gateway.url).port), '127.0.0.1', () => socket.write(bytes));
    let text = '';
    socket.setTimeout(10_000, () => reject(new Error('no answer')));
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1');
    });
    socket.on('error', () => resolve(text));
    socket.on('close', () => resolve(text));
  });
}

type Sent = { readonly method?: string; readonly target: string; readonly headers?: string[]; readonly body?: Buffer };

async function send({ method = 'GET', target, headers = [], body }: Sent): Promise<number> {
  const length = body === undefined ? [] : [`Content-Length: ${body.length}`];
  const head = [`${method} ${target} HTTP/1.1`, 'Host: x', 'Connection: close', ...length, ...headers, '', ''].join(
    '\r\n',
  );
  const answer = await sendRaw(Buffer.concat([Buffer.from(head, 'latin1'), body ?? Buffer.alloc(0)]));
  const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1] ?? 0);
  if (status >= 500 || status === 0) throw new Error(`${status}: ${answer.slice(0, 300)}`);
  if (/^set-cookie: __Host-gatehouse-session-\w+=[^;]/im.test(answer)) throw new Error('a session');
  return status;
}

/** What a header may hold on the wire: anything but its end. */
const headerValue = fc
  .oneof(fc.string({ unit: 'binary' }), fc.string({ unit: 'grapheme' }), fc.base64String())
  .map((text) =>
    Buffer.from(text)
      .toString('latin1')
      .replace(/[\r\n\0]/g, ' '),
  );
const anyBytes = fc.uint8Array({ maxLength: 2_000 }).map((bytes) => Buffer.from(bytes));
const word = fc.oneof(
  fc.constantFrom('id_token', 'state', 'code', 'error', 'iss', 'token', 'logout_token', 'return_to', 'sid', 'confirm'),
  fc.string({ maxLength: 12 }),
);
const form = fc
  .array(fc.tuple(word, fc.oneof(fc.string({ unit: 'grapheme' }), fc.base64String())), { maxLength: 12 })
  .map((pairs) => Buffer.from(new URLSearchParams(pairs).toString()));
const FORM = 'Content-Type: application/x-www-form-urlencoded';

describe('nothing comes of', TIMEOUT, () => {
  const cookie = fc
    .array(
      fc.tuple(
        fc.oneof(
          fc.constantFrom('__Host-gatehouse-session-acme', '__Host-gatehouse-attempt', '__Host-gatehouse-link-acme'),
          headerValue,
        ),
        fc.constantFrom('=', '', '==', ' = '),
        headerValue,
        fc.constantFrom('; ', ';', ',', ' ', ''),
      ),
      { maxLength: 8 },
    )
    .map((parts) => parts.map((part) => part.join('')).join(''));

  it('cookies', async () => {
    const targets = fc.constantFrom('/AcmeCorp', '/SSO/Session/acme', '/SSO/Auth?tenant=acme', '/SSO/Account/acme');
    await fc.assert(
      fc.asyncProperty(cookie, targets, async (value, target) => {
        const status = await send({ target, headers: [`Cookie: ${value}`] });
        expect(status).toBeGreaterThanOrEqual(300);
      }),
      OPTIONS,
    );
  });

  it('bodies of the callback, of links and of orders to sign out', async () => {
    const targets = fc.constantFrom(ACME_CALLBACK, '/SSO/OIDC/acme/SignOut', '/SSO/Link/acme', '/SSO/OIDC/acme/SignIn');
    await fc.assert(
      fc.asyncProperty(fc.oneof(anyBytes, form), targets, fc.boolean(), async (body, target, isForm) => {
        await send({ method: 'POST', target, body, headers: isForm ? [FORM] : [] });
      }),
      OPTIONS,
    );
  });

  it('compact tokens, of whatever header, payload and signature', async () => {
    const encoded = (value: unknown): string => Buffer.from(JSON.stringify(value) ?? '').toString('base64url');
    const headers = fc.oneof(
      fc.jsonValue(),
      fc.record(
        {
          alg: fc.oneof(fc.constantFrom('RS256', 'none', 'HS256', 'NONE', 'EdDSA'), fc.jsonValue()),
          kid: fc.oneof(fc.constant(house.acme.signer.kid), fc.jsonValue()),
          typ: fc.oneof(fc.constantFrom('JWT', 'logout+jwt'), fc.jsonValue()),
          crit: fc.jsonValue(),
          jwk: fc.constant(house.acme.signer.jwk),
          jku: fc.webUrl(),
        },
        { requiredKeys: [] },
      ),
    );
    const token = fc.oneof(
      fc
        .tuple(headers, fc.jsonValue(), fc.base64String())
        .map(([head, payload, signature]) =>
          [encoded(head), encoded(payload), Buffer.from(signature).toString('base64url')].join('.'),
        ),
      fc.array(fc.base64String(), { maxLength: 6 }).map((parts) => parts.join('.')),
    );
    const visitor = house.visitor();
    await fc.assert(
      fc.asyncProperty(token, async (id_token) => {
        const { state } = await start(visitor);
        const cookies = [...visitor.cookies].map(([name, value]) => `${name}=${value}`).join('; ');
        const body = Buffer.from(new URLSearchParams({ id_token, state }).toString());
        const status = await send({
          method: 'POST',
          target: ACME_CALLBACK,
          body,
          headers: [FORM, `Cookie: ${cookies}`],
        });
        expect(status).toBeGreaterThanOrEqual(400);
        await send({ target: `/AcmeCorp?ssoToken=${encodeURIComponent(id_token)}` });
        const order = Buffer.from(new URLSearchParams({ logout_token: id_token }).toString());
        expect(await send({ method: 'POST', target: '/SSO/OIDC/acme/SignOut', body: order, headers: [FORM] })).toBe(
          400,
        );
      }),
      OPTIONS,
    );
  });

  it('signed tokens whose claims are anything', async () => {
    const claim = fc.oneof(fc.jsonValue(), fc.string({ unit: 'grapheme' }), fc.integer());
    const claims = fc.dictionary(
      fc.constantFrom('iss', 'aud', 'azp', 'exp', 'nbf', 'iat', 'nonce', 'auth_time', 'sub', 'email', 'roles', 'name'),
      claim,
      { minKeys: 1 },
    );
    const visitor = house.visitor();
    await fc.assert(
      fc.asyncProperty(claims, async (changed) => {
        const asked = await start(visitor);
        const id_token = await house.acme.sign(validClaims(house.acme, asked, house.gateway.clock, changed));
        const cookies = [...visitor.cookies].map(([name, value]) => `${name}=${value}`).join('; ');
        const body = Buffer.from(new URLSearchParams({ id_token, state: asked.state }).toString());
        // some of them are right: what counts is that none is an error of ours
        await send({ method: 'POST', target: ACME_CALLBACK, body, headers: [FORM, `Cookie: ${cookies}`] }).catch(
          (error: Error) => {
            if (error.message !== 'a session') throw error;
          },
        );
      }),
      OPTIONS,
    );
  });

  it('paths and queries', async () => {
    const segment = fc.oneof(
      fc.constantFrom(
        'AcmeCorp',
        'SSO',
        'OIDC',
        'acme',
        'Callback',
        '..',
        '.',
        '%2e%2e',
        '%2f',
        '%00',
        'login',
        'api',
        '',
      ),
      fc.string({ unit: 'binary', maxLength: 20 }),
    );
    const target = fc
      .tuple(fc.array(segment, { maxLength: 8 }), fc.option(fc.string({ unit: 'binary', maxLength: 60 })))
      .map(([segments, query]) => `/${segments.join('/')}${query === null ? '' : `?${query}`}`)
      .map((text) =>
        Buffer.from(text)
          .toString('latin1')
          .replace(/[\s\0]/g, '%20'),
      );
    const methods = fc.constantFrom('GET', 'POST', 'HEAD', 'OPTIONS', 'PUT', 'DELETE', 'PROPFIND');
    await fc.assert(
      fc.asyncProperty(target, methods, async (one, method) => {
        await send({ target: one, method });
      }),
      OPTIONS,
    );
  });

  it('what a trusted proxy tells of host, path and client', async () => {
    await fc.assert(
      fc.asyncProperty(headerValue, headerValue, headerValue, headerValue, async (host, uri, client, url) => {
        const status = await send({
          target: '/SSO/Auth',
          headers: [
            `X-Forwarded-Host: ${host}`,
            `X-Forwarded-Uri: /AcmeCorp/${uri}`,
            `X-Forwarded-For: ${client}`,
            `X-Original-URL: ${url}`,
          ],
        });
        expect(status).toBeGreaterThanOrEqual(400);
      }),
      OPTIONS,
    );
  });

  it('bytes that are no HTTP at all', async () => {
    await fc.assert(
      fc.asyncProperty(anyBytes, async (bytes) => {
        const answer = await sendRaw(Buffer.concat([bytes, Buffer.from('\r\n\r\n')]));
        expect(answer).not.toMatch(/^HTTP\/1\.1 5/);
      }),
      { ...OPTIONS, interruptAfterTimeLimit: 1_000 },
    );
  });
});

describe('tenants’ files', TIMEOUT, () => {
  it('of anything at all are taken or refused with their problems, and never stop the rest', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'gatehouse-fuzz-'));
    await mkdir(join(dir, 'tenants'));
    const good = {
      id: 'acme',
      oidc: { issuer: 'https://idp.example', client_id: 'x' },
      groups: [{ id: 'a', roles: ['b'] }],
      session: { idle: '5m' },
      access: [{ path: '/a/**', groups: ['a'] }],
    };
    await writeFile(join(dir, 'tenants', 'globex.yaml'), stringify({ ...good, id: 'globex' }));
    const keys = fc.constantFrom(
      'id',
      'slug',
      'name',
      'hosts',
      'enabled',
      'oidc',
      'links',
      'groups',
      'session',
      'access',
      'upstream',
      'branding',
      'x',
    ); // prettier-ignore
    const file = fc.oneof(
      fc.string({ unit: 'grapheme' }),
      fc.uint8Array({ maxLength: 500 }).map((bytes) => Buffer.from(bytes)),
      fc.jsonValue().map((value) => stringify(value)),
      fc.dictionary(keys, fc.jsonValue(), { minKeys: 1 }).map((change) => stringify({ ...good, ...change })),
      fc.dictionary(keys, fc.jsonValue()).map((oidc) => stringify({ ...good, oidc: { ...good.oidc, ...oidc } })),
    );
    await fc.assert(
      fc.asyncProperty(file, async (content) => {
        await writeFile(join(dir, 'tenants', 'acme.yaml'), content);
        const folder = createTenantFolder({
          configDir: dir,
          environment: {},
          production: true,
          publicHost: 'x.example',
        });
        const changes = await folder.scan();
        expect(folder.files().some(({ id }) => id === 'globex')).toBe(true);
        for (const change of changes) if (change.kind === 'refused') expect(change.problems.length).toBeGreaterThan(0);
      }),
      OPTIONS,
    );
    await rm(dir, { recursive: true });
  });
});
