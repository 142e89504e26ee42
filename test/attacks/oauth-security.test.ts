import { createHash } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Claims } from '../support/adversary.ts';
import {
  ACME_CALLBACK,
  type Asked,
  GLOBEX_CALLBACK,
  type House,
  openHouse,
  sessionOf,
  signInAtGlobex,
  start,
  validClaims,
} from '../support/house.ts';
import type { Reply, Visitor } from '../support/visitor.ts';

/**
 * The rules of RFC 9700 (OAuth 2.0 Security Best Current Practice) for clients, one by one, in both flows: acme by code, globex by the
 * implicit flow. What the section calls an attack is done, and gives nothing.
 */
let house: House;
let visitor: Visitor;
beforeAll(async () => {
  house = await openHouse({ acmeOidc: { flow: 'code', client_secret: 'a-secret-of-acme-alone' } });
  house.acme.discovery.token_endpoint = `${house.acme.issuer}/token`;
});
afterAll(() => house.close());
beforeEach(() => {
  visitor = house.visitor();
  house.acme.calls.length = 0;
});

/** The token endpoint gives, for any code, the token of that attempt. */
function tokenFor(asked: Asked, claims: Claims = {}): void {
  house.acme.endpoints.set('/token', async () => {
    const id_token = await house.acme.sign(validClaims(house.acme, asked, house.gateway.clock, claims));
    return { body: { access_token: 'an-access-token', token_type: 'Bearer', id_token } };
  });
}
const comeBack = (asked: Asked, more: Record<string, string> = {}): Promise<Reply> =>
  visitor.post(ACME_CALLBACK, { code: 'a-code', state: asked.state, ...more });

describe('2.1 and 4.11.1: no open redirector', () => {
  it.each([
    'https://evil.example/',
    'http://evil.example/AcmeCorp/x',
    '//evil.example',
    '/\\evil.example',
    '/%2f/evil.example',
    'javascript:alert(1)',
  ])('return_to=%s stays here', async (target) => {
    const asked = await start(visitor, `/SSO/OIDC/acme/SignIn?return_to=${encodeURIComponent(target)}`);
    tokenFor(asked);
    const landed = new URL((await comeBack(asked)).location, house.gateway.url);
    expect(landed.origin).toBe(house.gateway.url);
    expect(landed.pathname).toBe('/AcmeCorp'); // not even the path of another's address
  });
});

describe('2.1 and 4.7: no answer that this browser did not ask for', () => {
  it('an attacker’s answer signs nobody in', async () => {
    const asked = await start(house.visitor());
    tokenFor(asked);
    await comeBack(asked);
    expect(await sessionOf(visitor)).toBeUndefined();
    expect(house.acme.calls).toEqual([]);
  });

  it('the state tells nothing, and is worth nothing when it is changed', async () => {
    const asked = await start(visitor, '/AcmeCorp/secret-project');
    expect(asked.state).not.toContain('acme');
    expect(Buffer.from(asked.state, 'base64url').toString('latin1')).not.toMatch(/acme|secret-project/i);
    tokenFor(asked);
    const [middle, at] = [Math.floor(asked.state.length / 2), asked.state.charAt(Math.floor(asked.state.length / 2))];
    const state = `${asked.state.slice(0, middle)}${at === 'A' ? 'B' : 'A'}${asked.state.slice(middle + 1)}`;
    await comeBack({ ...asked, state });
    expect(await sessionOf(visitor)).toBeUndefined();
    expect(house.acme.calls).toEqual([]);
  });
});

describe('2.1.1 and 4.5: a code is worth something to its own attempt alone', () => {
  it('PKCE: the verifier of each attempt is its own, and fits its S256 challenge', async () => {
    for (const asked of [await start(visitor), await start(visitor)]) {
      tokenFor(asked);
      await comeBack(asked);
      const verifier = house.acme.calls.at(-1)?.form.get('code_verifier') ?? '';
      const { searchParams } = asked.url;
      expect(searchParams.get('code_challenge_method')).toBe('S256');
      expect(searchParams.get('code_challenge')).toBe(createHash('sha256').update(verifier).digest('base64url'));
    }
    expect(new Set(house.acme.calls.map(({ form }) => form.get('code_verifier'))).size).toBe(2);
  });

  it('a stolen code, injected: its token has the nonce of another attempt', async () => {
    const [theirs, asked] = [await start(house.visitor()), await start(visitor)];
    tokenFor(theirs);
    await comeBack(asked);
    expect(house.gateway.events('sign_in.refused').at(-1)).toMatchObject({ reason: 'nonce_mismatch' });
    expect(await sessionOf(visitor)).toBeUndefined();
  });
});

describe('2.1.2: no access token by the browser', () => {
  it.each(['acme', 'globex'])('is asked for at %s', async (tenant) => {
    const asked = await start(visitor, tenant === 'acme' ? '/AcmeCorp' : '/globex');
    expect(asked.url.searchParams.get('response_type')?.split(' ')).not.toContain('token');
  });

  it('is taken', async () => {
    const asked = await start(visitor);
    tokenFor(asked);
    await comeBack(asked, { access_token: 'a-token' });
    expect(house.gateway.events('sign_in.refused').at(-1)).toMatchObject({ reason: 'parameter_unexpected' });
    expect(await sessionOf(visitor)).toBeUndefined();
  });
});

describe('2.1 and 4.4: no mix-up of two providers', () => {
  it('each tenant has a redirect URI of its own', async () => {
    const uris = [await start(visitor), await start(visitor, '/globex')].map(({ url }) =>
      url.searchParams.get('redirect_uri'),
    );
    expect(uris).toEqual([`${house.gateway.url}${ACME_CALLBACK}`, `${house.gateway.url}${GLOBEX_CALLBACK}`]);
  });

  it('an answer that names another issuer reaches no token endpoint, and its error counts for nothing', async () => {
    const asked = await start(visitor);
    tokenFor(asked);
    await comeBack(asked, { iss: house.globex.issuer });
    expect(house.acme.calls).toEqual([]);
    const again = await start(visitor);
    await visitor.post(ACME_CALLBACK, { error: 'access_denied', state: again.state, iss: house.globex.issuer });
    const reasons = house.gateway.events('sign_in.refused').map(({ reason }) => reason);
    expect(reasons.slice(-2)).toEqual(['issuer_parameter_mismatch', 'issuer_parameter_mismatch']);
  });

  it('a provider that says it names itself, and does not, is not believed', async () => {
    const other = await openHouse({ acmeOidc: { flow: 'code' } });
    Object.assign(other.acme.discovery, {
      token_endpoint: `${other.acme.issuer}/token`,
      authorization_response_iss_parameter_supported: true,
    });
    other.acme.endpoints.set('/token', () => ({ status: 400, body: { error: 'invalid_grant' } }));
    const guest = other.visitor();
    const asked = await start(guest);
    await guest.post(ACME_CALLBACK, { code: 'a-code', state: asked.state });
    expect(other.gateway.events('sign_in.refused')).toMatchObject([{ reason: 'issuer_parameter_missing' }]);
    expect(other.acme.calls).toEqual([]);
    await other.close();
  });

  it('one tenant’s code, brought to the other’s redirect URI, reaches nobody', async () => {
    const both = await openHouse({
      acmeOidc: { flow: 'code' },
      globexOidc: { flow: 'code', response_mode: 'form_post' },
    });
    for (const idp of [both.acme, both.globex]) {
      idp.discovery.token_endpoint = `${idp.issuer}/token`;
      idp.endpoints.set('/token', () => ({ status: 400, body: { error: 'invalid_grant' } }));
    }
    const guest = both.visitor();
    const asked = await start(guest);
    await guest.post(GLOBEX_CALLBACK, { code: 'a-code', state: asked.state });
    expect(both.gateway.events('sign_in.restarted')).toMatchObject([
      { tenant: 'globex', reason: 'state_foreign_tenant' },
    ]);
    expect([...both.acme.calls, ...both.globex.calls]).toEqual([]);
    await both.close();
  });
});

describe('4.2 and 4.3: nothing leaks by the callback', () => {
  it('its answer sends no Referer, loads nothing of others, and leads to an address without code or state', async () => {
    const asked = await start(visitor);
    tokenFor(asked);
    const reply = await comeBack(asked);
    expect(reply.headers['referrer-policy']).toBe('no-referrer');
    expect(String(reply.headers['content-security-policy'])).toMatch(/default-src 'none'/);
    expect(reply.location).toBe(`${house.gateway.url}/AcmeCorp`);
  });

  it('a state is over with its first use, right or wrong', async () => {
    const asked = await start(visitor);
    tokenFor(asked, { aud: 'another-client' });
    await comeBack(asked);
    tokenFor(asked);
    await comeBack(asked);
    expect(await sessionOf(visitor)).toBeUndefined();
    expect(house.acme.calls).toHaveLength(1);
  });
});

describe('4.12: no redirect that would repeat a posted form', () => {
  it('to the provider, back from it, and at sign-out it is 303', async () => {
    const begun = await visitor.post('/SSO/OIDC/acme/SignIn', {});
    const asked = await start(visitor);
    tokenFor(asked);
    const landed = await comeBack(asked);
    const left = await visitor.post('/SSO/OIDC/acme/SignOut', {}, { 'sec-fetch-site': 'same-origin' });
    expect([begun.status, landed.status, left.status]).toEqual([303, 303, 303]);
  });
});

describe('4.16 and 4.17: no frame, no message', () => {
  it.each(['/globex', '/SSO/OIDC/globex/Callback', '/SSO/Account/globex', '/SSO/OIDC/globex/SignOut', '/nobody'])(
    '%s may not be framed, and its page listens to no other window',
    async (path) => {
      await signInAtGlobex(house, visitor);
      const reply = await visitor.go(path);
      expect(String(reply.headers['content-security-policy'])).toContain("frame-ancestors 'none'");
      expect(reply.text).not.toMatch(/postMessage|addEventListener\(.message/);
    },
  );
});

/* 4.13 (identity headers of a client never reach the app): test/flows/proxy.test.ts; 4.14 (refresh tokens rotate, and are presented
 * once): test/flows/refresh-replicas.test.ts. */
