import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  ACME_CALLBACK,
  type Asked,
  askedOf,
  GLOBEX_CALLBACK,
  type House,
  openHouse,
  sessionOf,
  signIn,
  signInAtGlobex,
  start,
  validClaims,
} from '../support/house.ts';
import type { Visitor } from '../support/visitor.ts';

let house: House;
beforeAll(async () => {
  house = await openHouse();
});
afterAll(() => house.close());

describe('a person of a tenant', () => {
  it('is taken to their own IdP with nothing but what the specification asks for', async () => {
    const asked = await start(house.visitor(), '/AcmeCorp/some/page?x=1&prompt=none&redirect_uri=https://evil.example');
    expect(asked.url.origin).toBe(house.acme.issuer);
    expect(Object.fromEntries(asked.url.searchParams)).toEqual({
      client_id: 'gatehouse-acme',
      redirect_uri: `${house.gateway.url}${ACME_CALLBACK}`,
      response_type: 'id_token',
      response_mode: 'form_post',
      scope: 'openid profile email',
      state: expect.stringMatching(/^[\w.~-]{22,2000}$/),
      nonce: expect.stringMatching(/^[\w-]{22,43}$/),
    });
  });

  it('lands on exactly the page that they wanted', async () => {
    const visitor = house.visitor();
    const reply = await signIn(house, visitor, { path: '/AcmeCorp/some/page?x=1&y=%2F%20z' });
    expect(reply.status).toBe(303);
    expect(reply.location).toBe(`${house.gateway.url}/AcmeCorp/some/page?x=1&y=%2F%20z`);
    expect((await visitor.go(reply.location)).status).toBe(200);
  });

  it('has a session with the identity and the groups that the roles assign', async () => {
    const visitor = house.visitor();
    await signIn(house, visitor, { claims: { sub: 'ben', roles: ['billing-eu', 'chess-club'], locale: 'nl-NL' } });
    expect(await sessionOf(visitor)).toEqual({
      tenant: 'acme',
      sub: 'ben',
      email: 'ada@acme.example',
      name: 'Ada Admin',
      preferred_username: 'Ada Admin',
      given_name: 'Ada Admin',
      family_name: 'Ada Admin',
      locale: 'nl-NL',
      zoneinfo: null,
      groups: ['billing-admins'],
      connection: 'oidc',
      signed_in_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      renewed_at: expect.any(String),
      expires_at: expect.any(String),
    });
  });

  it('may be signed in to two tenants in one browser, and to one without the other', async () => {
    const visitor = house.visitor();
    await signIn(house, visitor);
    expect(await sessionOf(visitor, 'globex')).toBeUndefined();
    expect((await signInAtGlobex(house, visitor, { sub: 'g-7' })).status).toBe(303);
    expect((await sessionOf(visitor, 'acme'))?.sub).toBe('ada');
    expect((await sessionOf(visitor, 'globex'))?.sub).toBe('g-7');
  });

  it('finds the tenant whatever the case of the slug', async () => {
    expect((await start(house.visitor(), '/acmecorp/x')).url.origin).toBe(house.acme.issuer);
  });
});

describe('the session cookie', () => {
  it('is __Host-, Secure, HttpOnly, Lax, host-only and opaque', async () => {
    const reply = await signIn(house, house.visitor());
    const line = reply.setCookies.find((cookie) => cookie.includes('-session-'));
    expect(line).toMatch(
      /^__Host-gatehouse-session-acme=[\w-]{43}; path=\/; expires=[^;]+; samesite=lax; secure; httponly$/i,
    );
  });

  it('is new on each sign-in, and the previous session ends', async () => {
    const visitor = house.visitor();
    await signIn(house, visitor);
    const before = visitor.copy();
    const asked = await start(visitor, '/SSO/OIDC/acme/SignIn');
    await visitor.post(ACME_CALLBACK, {
      id_token: await house.acme.sign(validClaims(house.acme, asked, house.gateway.clock)),
      state: asked.state,
    });
    const name = '__Host-gatehouse-session-acme';
    expect(visitor.cookies.get(name)).not.toBe(before.cookies.get(name));
    expect(await sessionOf(visitor)).toBeDefined();
    expect(await sessionOf(before)).toBeUndefined();
  });

  it('ends the previous session also when the browser withheld its cookie, as on a cross-site post', async () => {
    const visitor = house.visitor();
    await signIn(house, visitor);
    const before = visitor.copy();
    const asked = await start(visitor, '/SSO/OIDC/acme/SignIn');
    visitor.cookies.delete('__Host-gatehouse-session-acme');
    const token = await house.acme.sign(validClaims(house.acme, asked, house.gateway.clock));
    await visitor.post(ACME_CALLBACK, { id_token: token, state: asked.state });
    expect(await sessionOf(before)).toBeUndefined();
  });

  describe('of tabs that the browser cannot tell us about, since a cross-site post shows no session', () => {
    const NAME = '__Host-gatehouse-session-acme';
    /** Finishes one attempt as a cross-site post would: without the session cookie. */
    async function finish(visitor: Visitor, asked: Asked): Promise<Visitor> {
      visitor.cookies.delete(NAME);
      const token = await house.acme.sign(validClaims(house.acme, asked, house.gateway.clock));
      await visitor.post(ACME_CALLBACK, { id_token: token, state: asked.state });
      return visitor.copy();
    }

    it('ends the first when the second finishes later', async () => {
      const visitor = house.visitor();
      const [one, two] = [await start(visitor, '/AcmeCorp/1'), await start(visitor, '/AcmeCorp/2')];
      const first = await finish(visitor, one);
      house.gateway.clock.advance(11_000);
      const second = await finish(visitor, two);
      expect(await sessionOf(first)).toBeUndefined();
      expect(await sessionOf(second)).toBeDefined();
    });

    it('leaves both when they finish together: which cookie the browser kept is its secret', async () => {
      const visitor = house.visitor();
      const [one, two] = [await start(visitor, '/AcmeCorp/1'), await start(visitor, '/AcmeCorp/2')];
      const first = await finish(visitor, one);
      const second = await finish(visitor, two);
      expect(await sessionOf(first)).toBeDefined();
      expect(await sessionOf(second)).toBeDefined();
    });

    it('ends the first when the second was begun after it', async () => {
      const visitor = house.visitor();
      const first = await finish(visitor, await start(visitor));
      visitor.cookies.delete(NAME);
      house.gateway.clock.advance(1_000);
      const second = await finish(visitor, await start(visitor));
      expect(await sessionOf(first)).toBeUndefined();
      expect(await sessionOf(second)).toBeDefined();
    });

    it('ends the one that the browser had when it started, whatever else is known', async () => {
      const visitor = house.visitor();
      await signIn(house, visitor);
      const first = visitor.copy();
      for (const name of [...visitor.cookies.keys()]) if (name.includes('-attempt-')) visitor.cookies.delete(name);
      await finish(visitor, await start(visitor, '/SSO/OIDC/acme/SignIn'));
      expect(await sessionOf(first)).toBeUndefined();
    });

    it('ends the one that the browser shows, although it was not there when it started', async () => {
      const [visitor, other] = [house.visitor(), house.visitor()];
      const asked = await start(visitor);
      await signIn(house, other);
      visitor.cookies.set(NAME, other.cookies.get(NAME) ?? '');
      const token = await house.acme.sign(validClaims(house.acme, asked, house.gateway.clock));
      await visitor.post(ACME_CALLBACK, { id_token: token, state: asked.state });
      expect(await sessionOf(other)).toBeUndefined();
    });
  });

  it('leads nowhere once the tenant takes another issuer', async () => {
    const visitor = house.visitor();
    await signInAtGlobex(house, visitor);
    const line = house.gateway.waitFor('tenant.changed');
    await house.gateway.writeTenant({
      id: 'globex',
      oidc: {
        issuer: house.acme.issuer,
        client_id: 'gatehouse-globex',
        allow_insecure: true,
        response_mode: 'fragment',
      },
      groups: [{ id: 'invoice-readers' }],
    });
    await line;
    expect(await sessionOf(visitor, 'globex')).toBeUndefined();
    const back = house.gateway.waitFor('tenant.changed');
    await house.gateway.writeTenant({
      id: 'globex',
      oidc: {
        issuer: house.globex.issuer,
        client_id: 'gatehouse-globex',
        allow_insecure: true,
        response_mode: 'fragment',
      },
      groups: [{ id: 'invoice-readers' }],
    });
    await back;
  });
});

describe('who is not signed in', () => {
  const cases: [string, Record<string, string>, number][] = [
    ['a browser navigation', { 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' }, 303],
    ['a script, whatever it accepts', { 'sec-fetch-mode': 'cors', accept: 'text/html' }, 401],
    ['a frame', { 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'iframe', accept: 'text/html' }, 401],
    ['an old browser', { accept: 'text/html,*/*' }, 303],
    ['an old script', { accept: 'text/html', 'x-requested-with': 'XMLHttpRequest' }, 401],
    ['curl', { accept: '*/*' }, 401],
    ['a program', {}, 401],
  ];
  it.each(cases)('%s', async (_who, headers, status) => {
    const reply = await house.visitor().send('/AcmeCorp/x', { headers });
    expect(reply.status).toBe(status);
  });

  it('learns from the 401 where to sign in', async () => {
    const body = (await house.visitor().send('/AcmeCorp/x?y=1', { headers: { accept: 'application/json' } })).json();
    expect(body).toMatchObject({ error: 'sign_in_required', request_id: expect.any(String) });
    const reply = await house.visitor().go(String(body.sign_in_url));
    expect(new URL(reply.location).origin).toBe(house.acme.issuer);
  });

  it('gets no session JSON', async () => {
    const reply = await house.visitor().send('/SSO/Session/acme');
    expect(reply.status).toBe(401);
    expect(reply.json().error).toBe('sign_in_required');
  });
});

describe('third-party-initiated login (Core section 4)', () => {
  const target = (path: string) => encodeURIComponent(`${house.gateway.url}${path}`);

  it.each(['GET', 'POST'])('starts by %s, passes the hint on and returns to the target', async (method) => {
    const visitor = house.visitor();
    const query = `iss=${encodeURIComponent(house.acme.issuer)}&login_hint=ada&target_link_uri=${target('/AcmeCorp/a?b=1')}`;
    const reply =
      method === 'GET'
        ? await visitor.go(`/SSO/OIDC/acme/SignIn?${query}`)
        : await visitor.post('/SSO/OIDC/acme/SignIn', new URLSearchParams(query));
    const asked = { url: new URL(reply.location), state: '', nonce: '' };
    expect(asked.url.searchParams.get('login_hint')).toBe('ada');
    const token = await house.acme.sign(
      validClaims(house.acme, { ...asked, nonce: asked.url.searchParams.get('nonce') ?? '' }, house.gateway.clock),
    );
    const state = asked.url.searchParams.get('state') ?? '';
    const done = await visitor.post(ACME_CALLBACK, { id_token: token, state });
    expect(done.location).toBe(`${house.gateway.url}/AcmeCorp/a?b=1`);
  });

  it('refuses another issuer than the tenant’s', async () => {
    const reply = await house.visitor().go('/SSO/OIDC/acme/SignIn?iss=https%3A%2F%2Fevil.example');
    expect(reply.status).toBe(400);
    expect(reply.text).toContain('response_invalid');
  });

  it('passes no hint on without an issuer', async () => {
    const reply = await house.visitor().go('/SSO/OIDC/acme/SignIn?login_hint=ada&prompt=none&scope=x');
    const names = [...new URL(reply.location).searchParams.keys()];
    expect(names).not.toContain('login_hint');
    expect(names).not.toContain('prompt');
  });
});

describe('a person without a group', () => {
  it('is refused with who they are and the way to another account, and has no session', async () => {
    const visitor = house.visitor();
    const reply = await signIn(house, visitor, { claims: { roles: ['chess-club'] } });
    expect(reply.status).toBe(403);
    expect(reply.text).toContain('no_groups');
    expect(reply.text).toContain('You signed in as Ada Admin');
    expect(await sessionOf(visitor)).toBeUndefined();
    const another = /href="([^"]+switch_account=1)"/.exec(reply.text)?.[1]?.replaceAll('&amp;', '&') ?? '';
    expect(askedOf(await visitor.go(another)).url.searchParams.get('prompt')).toBe('login');
  });

  it('and a claim that is missing is told as such', async () => {
    const reply = await signIn(house, house.visitor(), { claims: { email: undefined } });
    expect(reply.status).toBe(403);
    expect(reply.text).toContain('claims_invalid');
  });
});

describe('SignIn', () => {
  it.each(['return_to=/AcmeCorp&return_to=/AcmeCorp', 'iss=x&iss=x'])(
    'refuses doubled parameters: %s',
    async (query) => {
      expect((await house.visitor().go(`/SSO/OIDC/acme/SignIn?${query}`)).status).toBe(400);
    },
  );

  it.each(['x'.repeat(257), 'a%0Ab', ''])('passes no hint on that is none: %#', async (hint) => {
    const iss = encodeURIComponent(house.acme.issuer);
    const reply = await house.visitor().go(`/SSO/OIDC/acme/SignIn?iss=${iss}&login_hint=${hint}`);
    expect(askedOf(reply).url.searchParams.has('login_hint')).toBe(false);
  });

  it('by somebody who is signed in starts anew; who posts to their page is told what goes', async () => {
    const visitor = house.visitor();
    await signIn(house, visitor);
    expect(askedOf(await visitor.go('/SSO/OIDC/acme/SignIn')).state).not.toBe('');
    const reply = await visitor.send('/AcmeCorp', { method: 'POST', body: 'x' });
    expect(reply.status).toBe(405);
    expect(reply.headers.allow).toBe('GET, HEAD');
  });
});

describe('the response mode', () => {
  it('fragment: a bare GET gets the relay page with a strict policy', async () => {
    const reply = await house.visitor().send(GLOBEX_CALLBACK);
    expect(reply.status).toBe(200);
    expect(reply.headers['content-security-policy']).toMatch(/default-src 'none'.*script-src 'sha256-[^']+'/);
    expect(reply.headers['content-security-policy']).not.toContain('unsafe');
  });

  it('form_post: a program’s bare GET is told that parameters are missing', async () => {
    const reply = await house.visitor().send(ACME_CALLBACK);
    expect(reply.status).toBe(400);
    expect(reply.json().error).toBe('response_invalid');
  });

  it.each([
    ['acme', 'query'],
    ['globex', 'query'],
    ['globex', 'form_post'],
    ['globex', 'fragment from a sibling'],
    ['acme', 'fragment'],
  ])('at %s a token that comes by %s is refused', async (tenant, mode) => {
    const visitor = house.visitor();
    const idp = tenant === 'acme' ? house.acme : house.globex;
    const asked = await start(visitor, tenant === 'acme' ? '/AcmeCorp' : '/globex');
    const token = await idp.sign(validClaims(idp, asked, house.gateway.clock));
    const callback = `/SSO/OIDC/${tenant}/Callback`;
    const reply =
      mode === 'query'
        ? await visitor.go(`${callback}?id_token=${token}&state=${asked.state}`)
        : await visitor.post(
            callback,
            {
              id_token: token,
              state: asked.state,
              ...(mode.startsWith('fragment') ? { response_mode: 'fragment' } : {}),
            },
            {
              'sec-fetch-site': mode === 'fragment' ? 'same-origin' : mode === 'form_post' ? 'cross-site' : 'same-site',
            },
          );
    expect(reply.status).toBe(400);
    expect(reply.text).toContain('response_invalid');
    expect(await sessionOf(visitor, tenant)).toBeUndefined();
  });

  it.each(['query', 'form_post'])('an error is understood by %s whatever was asked for', async (mode) => {
    const visitor = house.visitor();
    const asked = await start(visitor);
    const form = { error: 'access_denied', error_description: 'no, thanks', state: asked.state };
    const reply =
      mode === 'query'
        ? await visitor.go(`${ACME_CALLBACK}?${new URLSearchParams(form)}`)
        : await visitor.post(ACME_CALLBACK, form);
    expect(reply.status).toBe(403);
    expect(reply.text).toContain('idp_refused');
    expect(reply.text).not.toContain('no, thanks');
    expect(house.gateway.events('sign_in.refused').at(-1)).toMatchObject({
      reason: 'idp_error',
      description: 'no, thanks',
    });
  });

  it('an error without a state is understood too', async () => {
    const reply = await house.visitor().go(`${ACME_CALLBACK}?error=server_error`);
    expect(reply.status).toBe(403);
    expect(reply.text).toContain('idp_refused');
  });
});
