import { appendFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { acmeYaml, type House, openHouse, sessionOf, signIn, start } from '../support/house.ts';

let house: House;
beforeAll(async () => {
  house = await openHouse();
});
afterAll(() => house.close());

describe('an operator', () => {
  it('is told at start what to register at each tenant’s IdP', () => {
    expect(house.gateway.events('tenant.changed')).toContainEqual(
      expect.objectContaining({
        tenant: 'acme',
        change: 'added',
        tenant_urls: [`${house.gateway.url}/AcmeCorp`],
        redirect_uris: [`${house.gateway.url}/SSO/OIDC/acme/Callback`],
        logout_uris: [`${house.gateway.url}/SSO/OIDC/acme/SignOut`],
      }),
    );
  });

  it('adds a tenant without a restart, and takes it away again', async () => {
    expect((await house.visitor().go('/initech')).status).toBe(404);
    const added = house.gateway.waitFor('tenant.changed');
    await house.gateway.writeTenant({ ...acmeYaml(house.acme), id: 'initech', slug: 'initech' });
    expect(await added).toMatchObject({ tenant: 'initech', change: 'added' });
    expect((await house.visitor().go('/initech')).status).toBe(303);
    const removed = house.gateway.waitFor('tenant.changed');
    await house.gateway.removeTenant('initech');
    expect(await removed).toMatchObject({ tenant: 'initech', change: 'removed' });
    expect((await house.visitor().go('/initech')).status).toBe(404);
  });

  it('is told every problem of a wrong file, and the tenant goes on', async () => {
    const visitor = house.visitor();
    await signIn(house, visitor);
    const refused = house.gateway.waitFor('tenant.refused');
    await appendFile(join(house.gateway.configDir, 'tenants', 'acme.yaml'), 'colour: red\nsize: big\n');
    const line = await refused;
    expect(line).toMatchObject({ tenant: 'acme', goes_on_as_before: true });
    expect(JSON.stringify(line.problems)).toMatch(
      /acme\.yaml:\d+: colour: is not a known key.*acme\.yaml:\d+: size: is not a known key/,
    );
    expect(await sessionOf(visitor)).toBeDefined();
    await start(house.visitor());
    await signIn(house, house.visitor());
    const changed = house.gateway.waitFor('tenant.changed');
    await house.gateway.writeTenant(acmeYaml(house.acme, { name: 'Acme again' }));
    await changed;
  });

  it('changes the table of groups for the next sign-in', async () => {
    const changed = house.gateway.waitFor('tenant.changed');
    await house.gateway.writeTenant(acmeYaml(house.acme, { groups: [{ id: 'other', roles: ['BillingAdmin'] }] }));
    await changed;
    const visitor = house.visitor();
    await signIn(house, visitor);
    expect((await sessionOf(visitor))?.groups).toEqual(['other']);
  });

  it('names no secret of a file when something else in it is wrong', async () => {
    const refused = house.gateway.waitFor('tenant.refused');
    await writeFile(
      join(house.gateway.configDir, 'tenants', 'wrong.yaml'),
      'id: wrong\noidc: { client_secret: hunter2hunter2, issuer: "ftp://hunter2" }\n',
    );
    await refused;
    expect(house.gateway.logText()).not.toContain('hunter2');
  });
});

describe('a tenant with a host of its own', () => {
  it('is at the root there, and the only tenant there', async () => {
    const changed = house.gateway.waitFor('tenant.changed');
    await house.gateway.writeTenant(acmeYaml(house.acme, { hosts: ['login.acme.example'] }));
    expect(await changed).toMatchObject({
      redirect_uris: [
        `${house.gateway.url}/SSO/OIDC/acme/Callback`,
        expect.stringMatching(/^http:\/\/login\.acme\.example:\d+\/SSO\/OIDC\/acme\/Callback$/),
      ],
    });
    const at = (path: string, host: string) => house.visitor().go(path, { headers: { host } });
    const reply = await at('/invoices?x=1', 'login.acme.example');
    expect(new URL(reply.location).searchParams.get('redirect_uri')).toMatch(/^http:\/\/login\.acme\.example:/);
    expect((await at('/SSO/OIDC/acme/SignIn', 'LOGIN.acme.example:443')).status).toBe(303);
    expect((await at('/SSO/OIDC/globex/SignIn', 'login.acme.example')).status).toBe(404);
    expect((await at('/SSO/Session/globex', 'login.acme.example')).status).toBe(404);
    expect((await at('/AcmeCorp', 'evil.example')).status).toBe(303);
    expect(new URL((await at('/AcmeCorp', 'evil.example')).location).searchParams.get('redirect_uri')).toBe(
      `${house.gateway.url}/SSO/OIDC/acme/Callback`,
    );
  });
});
