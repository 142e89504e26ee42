import { request as httpRequest } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type House, openHouse } from '../support/house.ts';

/** Names that no tenant has, in every place where a tenant is named: one and the same 404. */
let house: House;
beforeAll(async () => {
  house = await openHouse();
});
afterAll(() => house.close());

/** As it is: no client library may tidy the path up. */
function raw(path: string): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(house.gateway.url);
    httpRequest({ hostname, port, path, headers: { accept: 'application/json' } }, (response) => {
      let body = '';
      response.on('data', (chunk) => {
        body += chunk;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
    })
      .on('error', reject)
      .end();
  });
}

const NAMES = [
  'nobody',
  '__proto__',
  'constructor',
  'toString',
  'hasOwnProperty',
  '%2e%2e',
  '..',
  'acme%00',
  'acme%2f',
  'acme%0d%0aX:y',
  '%ff',
  '%',
  'ACME',
  'acme ',
  'acme;x',
  '%5f%5fproto%5f%5f',
  'a'.repeat(5_000),
  'аcme', // a Cyrillic а
  'acme\u200b',
].map((name) => (/^[\x21-\x7e]*$/.test(name) ? name : encodeURIComponent(name)));

describe.each([
  '/SSO/OIDC/:name/SignIn',
  '/SSO/OIDC/:name/Callback',
  '/SSO/OIDC/:name/SignOut',
  '/SSO/Session/:name',
  '/SSO/Account/:name',
])('%s', (route) => {
  it.each(NAMES)('does not know %s', async (name) => {
    const reply = await raw(route.replace(':name', name));
    // a name with `..` is another path altogether to the router; it is not there either
    expect(reply.status).toBe(404);
    expect(JSON.parse(reply.body).error).toBe('tenant_not_found');
  });
});

describe('/:slug', () => {
  it.each(NAMES.filter((name) => name !== 'ACME'))('does not know %s', async (name) => {
    const reply = await raw(`/${name}/x`);
    expect(reply.status).toBe(404);
    expect(JSON.parse(reply.body).error).toBe('tenant_not_found');
  });

  it('answers an unknown, a disabled and a misspelt tenant alike', async () => {
    const changed = house.gateway.waitFor('tenant.changed');
    await house.gateway.writeTenant({
      id: 'closed',
      enabled: false,
      oidc: { issuer: house.acme.issuer, client_id: 'x', allow_insecure: true },
    });
    await changed;
    const bodies = await Promise.all(
      ['/closed', '/nobody', '/SSO/Session/closed', '/SSO/Session/nobody'].map(async (path) => {
        const { request_id: _, ...rest } = JSON.parse((await raw(path)).body);
        return JSON.stringify(rest);
      }),
    );
    expect(new Set(bodies).size).toBe(1);
  });

  it('refuses a target that is a whole URL', async () => {
    expect((await raw('http://evil.example/AcmeCorp')).status).toBe(400);
  });
});
