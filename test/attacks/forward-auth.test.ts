import { request as httpRequest } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type House, openHouse, signIn } from '../support/house.ts';
import type { Visitor } from '../support/visitor.ts';

/** No request without an identity gets a 2xx, and no path is judged in another form than it has. */
let house: House;
let visitor: Visitor;
beforeAll(async () => {
  const access = [{ path: '/admin/**', groups: ['billing-admins'] }];
  house = await openHouse({ acme: { access }, environment: { TRUSTED_PROXIES: '127.0.0.1' } });
  visitor = house.visitor();
  await signIn(house, visitor, { claims: { roles: ['invoice-readers'] } });
});
afterAll(() => house.close());

function raw(headers: [string, string][], path = '/SSO/Auth'): Promise<number> {
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(house.gateway.url);
    const sent = httpRequest({ hostname, port, path, headers: headers.flat() }, (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    });
    sent.on('error', reject).end();
  });
}

const cookieOf = (by: Visitor): [string, string] => [
  'cookie',
  [...by.cookies].map(([name, value]) => `${name}=${value}`).join('; '),
];

describe('without an identity there is no 2xx', () => {
  it.each<[string, [string, string][]]>([
    ['nothing at all', []],
    [
      'a health checker’s user agent (CVE-2026-34457)',
      [
        ['user-agent', 'GoogleHC/1.0'],
        ['x-forwarded-uri', '/AcmeCorp/x'],
      ],
    ],
    [
      'a malformed cookie (CVE-2026-25748)',
      [
        ['cookie', '__Host-gatehouse-session-acme=%%%;;;'],
        ['x-forwarded-uri', '/AcmeCorp/x'],
      ],
    ],
    ['a path of the gateway’s own', [['x-forwarded-uri', '/livez']]],
    ['a path of nobody’s', [['x-forwarded-uri', '/nobody/x']]],
    ['a URL that is none (CVE-2021-32637)', [['x-original-url', 'https://[/AcmeCorp']]],
    [
      'an OPTIONS request’s headers',
      [
        ['x-forwarded-method', 'OPTIONS'],
        ['x-forwarded-uri', '/AcmeCorp/x'],
      ],
    ],
    [
      'identity headers of the client’s',
      [
        ['x-auth-request-user', 'ada'],
        ['x-forwarded-uri', '/AcmeCorp/x'],
      ],
    ],
  ])('with %s', async (_what, headers) => {
    expect(await raw([['host', '127.0.0.1'], ...headers])).toBe(401);
    for (const query of ['?tenant=acme', '?tenant=nobody', '?tenant=acme&tenant=globex', '?tenant=__proto__'])
      expect(await raw([['host', '127.0.0.1'], ...headers], `/SSO/Auth${query}`)).toBe(401);
  });
});

describe('a person without the group does not get to /admin', () => {
  it.each([
    '/AcmeCorp/admin',
    '/AcmeCorp/admin/',
    '/AcmeCorp/admin/x',
    '/AcmeCorp/%61dmin/x',
    '/acmecorp/admin/x',
    '/AcmeCorp//admin/x',
    '/AcmeCorp/./admin/x',
    '/AcmeCorp/public/../admin/x',
    '/AcmeCorp/public/%2e%2e/admin/x',
    '/AcmeCorp/public/..%2fadmin/x',
    '/AcmeCorp/admin;x/y',
    '/AcmeCorp/admin%00/y',
    '/AcmeCorp/admin#/public',
    '/AcmeCorp/admin%23/public/../x',
    '/AcmeCorp\\admin',
    '/AcmeCorp/%2561dmin/../admin',
    'https://127.0.0.1/AcmeCorp/admin',
    'https://127.0.0.1\\@evil/AcmeCorp/admin',
  ])('by %s', async (target) => {
    for (const header of ['x-forwarded-uri', 'x-original-url'])
      expect(await raw([['host', '127.0.0.1'], cookieOf(visitor), [header, target]])).toBeOneOf([400, 401, 403]);
  });

  it('by a query that looks like an allowed path (CVE-2025-54576)', async () => {
    const ask = (target: string) => raw([['host', '127.0.0.1'], cookieOf(visitor), ['x-forwarded-uri', target]]);
    expect(await ask('/AcmeCorp/admin?/AcmeCorp/page')).toBe(403);
    expect(await ask('/AcmeCorp/page?/AcmeCorp/admin')).toBe(200);
  });

  it('by telling the path twice', async () => {
    const twice: [string, string][] = [
      ['host', '127.0.0.1'],
      cookieOf(visitor),
      ['x-forwarded-uri', '/AcmeCorp/page'],
      ['x-forwarded-uri', '/AcmeCorp/admin'],
    ];
    expect(await raw(twice)).toBe(401);
    const both: [string, string][] = [
      ['host', '127.0.0.1'],
      cookieOf(visitor),
      ['x-forwarded-uri', '/AcmeCorp/page'],
      ['x-original-url', '/AcmeCorp/admin'],
    ];
    expect(await raw(both)).toBe(401);
  });
});
