import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Claims, createSigner } from '../support/adversary.ts';
import { type House, openHouse, sessionOf, signIn, signInAtGlobex } from '../support/house.ts';
import type { Reply, Visitor } from '../support/visitor.ts';

/** Back-Channel Logout 1.0 section 2.6, rule by rule: one valid logout token, changed in one way. */
const EVENT = 'http://schemas.openid.net/event/backchannel-logout';
const SIGN_OUT = '/SSO/OIDC/acme/SignOut';
let house: House;
let visitor: Visitor;
beforeAll(async () => {
  house = await openHouse();
});
afterAll(() => house.close());
beforeEach(async () => {
  visitor = house.visitor();
  await signIn(house, visitor, { claims: { sid: 's-1' } });
});

function logoutClaims(change: Claims = {}): Claims {
  const now = Math.floor(house.gateway.clock.nowMs() / 1000);
  const claims: Claims = {
    iss: house.acme.issuer,
    aud: 'gatehouse-acme',
    iat: now,
    exp: now + 120,
    jti: randomUUID(),
    events: { [EVENT]: {} },
    sub: 'ada',
    sid: 's-1',
    ...change,
  };
  return Object.fromEntries(Object.entries(claims).filter(([, value]) => value !== undefined));
}

/** As an IdP does it: no cookie, no browser. */
async function order(claims: Claims, header: Claims = { typ: 'logout+jwt' }): Promise<Reply> {
  return post(await house.acme.sign(claims, header));
}

function post(token: string, path = SIGN_OUT): Promise<Reply> {
  return house.visitor().send(path, { method: 'POST', body: new URLSearchParams({ logout_token: token }) });
}

describe('a logout token', () => {
  it('ends the session of its sid at once: 200, not cached', async () => {
    const reply = await order(logoutClaims());
    expect(reply.status).toBe(200);
    expect(reply.headers['cache-control']).toBe('no-store');
    expect(await sessionOf(visitor)).toBeUndefined();
  });

  it.each([['logout+jwt'], ['JWT'], [undefined]])('may have the type %s', async (typ) => {
    expect((await order(logoutClaims(), { typ })).status).toBe(200);
    expect(await sessionOf(visitor)).toBeUndefined();
  });

  it('with sub alone ends all sessions of that person, and nobody else’s', async () => {
    const elsewhere = house.visitor();
    const other = house.visitor();
    await signIn(house, elsewhere, { claims: { sid: 's-2' } });
    await signIn(house, other, { claims: { sub: 'ben', sid: 's-3' } });
    await signInAtGlobex(house, visitor);
    expect((await order(logoutClaims({ sid: undefined }))).status).toBe(200);
    expect(await sessionOf(visitor)).toBeUndefined();
    expect(await sessionOf(elsewhere)).toBeUndefined();
    expect(await sessionOf(other)).toBeDefined();
    expect(await sessionOf(visitor, 'globex')).toBeDefined();
  });

  it('with sid alone ends that one and no other of the person', async () => {
    const elsewhere = house.visitor();
    await signIn(house, elsewhere, { claims: { sid: 's-2' } });
    expect((await order(logoutClaims({ sub: undefined }))).status).toBe(200);
    expect(await sessionOf(visitor)).toBeUndefined();
    expect(await sessionOf(elsewhere)).toBeDefined();
  });

  it('for a session that nobody knows is obeyed: there is nothing to end', async () => {
    expect((await order(logoutClaims({ sid: 'unknown', sub: undefined }))).status).toBe(200);
    expect((await order(logoutClaims({ sid: undefined, sub: 'nobody' }))).status).toBe(200);
    expect(await sessionOf(visitor)).toBeDefined();
  });

  const cases: [string, Claims, string][] = [
    ['another issuer', { iss: 'https://evil.example' }, 'issuer_mismatch'],
    ['no issuer', { iss: undefined }, 'issuer_mismatch'],
    ['another audience', { aud: 'other' }, 'audience_mismatch'],
    ['no audience', { aud: undefined }, 'audience_malformed'],
    ['an untrusted audience', { aud: ['gatehouse-acme', 'other'] }, 'audience_untrusted'],
    ['no iat', { iat: undefined }, 'issued_at_malformed'],
    ['an iat in the future', { iat: Math.floor(Date.now() / 1000) + 3600 }, 'issued_in_future'],
    ['no exp', { exp: undefined }, 'expiry_malformed'],
    ['an exp that is over', { exp: Math.floor(Date.now() / 1000) - 60 }, 'expired'],
    ['neither sub nor sid', { sub: undefined, sid: undefined }, 'logout_subject_missing'],
    ['a sub that is no text', { sub: 7 }, 'logout_subject_missing'],
    ['an empty sid', { sid: '' }, 'logout_subject_missing'],
    ['a huge sid', { sid: 'x'.repeat(2_000) }, 'logout_subject_missing'],
    ['no events', { events: undefined }, 'logout_event_missing'],
    ['events of another kind', { events: { other: {} } }, 'logout_event_missing'],
    ['events as a list', { events: [EVENT] }, 'logout_event_missing'],
    ['an event that is no object', { events: { [EVENT]: true } }, 'logout_event_missing'],
    ['a nonce', { nonce: 'x' }, 'nonce_present'],
    ['a nonce of null', { nonce: null }, 'nonce_present'],
    ['no jti', { jti: undefined }, 'token_id_missing'],
    ['a sid of somebody else', { sub: 'ben' }, 'logout_subject_mismatch'],
  ];
  it.each(cases)('with %s is refused: 400, and nothing ends', async (_what, change, reason) => {
    const reply = await order(logoutClaims(change));
    expect(reply.status).toBe(400);
    expect(reply.headers['cache-control']).toBe('no-store');
    expect(reply.json()).toMatchObject({ error: 'token_invalid', error_description: expect.any(String) });
    expect(house.gateway.events('sign_out.refused').at(-1)).toMatchObject({ tenant: 'acme', reason });
    expect(await sessionOf(visitor)).toBeDefined();
  });

  it('is refused with a signature of somebody else, of another type, or with another algorithm', async () => {
    const stranger = await createSigner('RS256', house.acme.signer.kid);
    const other = await createSigner('PS256');
    const tokens = [
      await house.acme.sign(logoutClaims(), { typ: 'logout+jwt' }, stranger),
      await house.acme.sign(logoutClaims(), { typ: 'at+jwt' }),
      await house.acme.sign(logoutClaims(), {}, other),
      await house.globex.sign(logoutClaims(), { typ: 'logout+jwt' }),
      `${Buffer.from('{"alg":"none"}').toString('base64url')}.${Buffer.from(JSON.stringify(logoutClaims())).toString('base64url')}.x`,
      'x',
      '',
    ];
    for (const token of tokens) expect((await post(token)).status).toBe(400);
    expect(await sessionOf(visitor)).toBeDefined();
  });

  it('that is an ID token is refused', async () => {
    const now = Math.floor(house.gateway.clock.nowMs() / 1000);
    const idToken = {
      iss: house.acme.issuer,
      aud: 'gatehouse-acme',
      sub: 'ada',
      sid: 's-1',
      iat: now,
      exp: now + 60,
      nonce: 'n',
      jti: 'j',
    };
    expect((await order(idToken, {})).status).toBe(400);
    expect(await sessionOf(visitor)).toBeDefined();
  });

  it('counts once', async () => {
    const token = await house.acme.sign(logoutClaims({ sid: undefined }), { typ: 'logout+jwt' });
    expect((await post(token)).status).toBe(200);
    const again = house.visitor();
    await signIn(house, again, { claims: { sid: 's-9' } });
    expect((await post(token)).status).toBe(400);
    expect(await sessionOf(again)).toBeDefined();
  });

  it('ends nothing that began after it, however late it comes', async () => {
    const claims = logoutClaims({ sid: undefined });
    house.gateway.clock.advance(2_000);
    const later = house.visitor();
    await signIn(house, later, { claims: { sid: 's-9' } });
    expect((await order(claims)).status).toBe(200);
    expect(await sessionOf(later)).toBeDefined();
    expect(await sessionOf(visitor)).toBeUndefined();
  });

  it('of one tenant means nothing at another', async () => {
    await signInAtGlobex(house, visitor, { sid: 's-1', sub: 'ada' });
    const token = await house.acme.sign(logoutClaims({ aud: 'gatehouse-globex' }), { typ: 'logout+jwt' });
    expect((await post(token, '/SSO/OIDC/globex/SignOut')).status).toBe(400);
    expect(await sessionOf(visitor, 'globex')).toBeDefined();
  });

  it('that comes twice in one request is refused', async () => {
    const token = await house.acme.sign(logoutClaims());
    const body = new URLSearchParams([
      ['logout_token', token],
      ['logout_token', token],
    ]);
    expect((await house.visitor().send(SIGN_OUT, { method: 'POST', body })).status).toBe(400);
  });

  it('without exp is obeyed for a tenant whose IdP is known for it, for five minutes', async () => {
    const changed = house.gateway.waitFor('tenant.changed');
    await house.gateway.writeTenant({
      id: 'authentik',
      oidc: { issuer: house.acme.issuer, client_id: 'ak', allow_insecure: true, quirks: ['logout_token_without_exp'] },
      groups: [],
    });
    await changed;
    const claims = logoutClaims({ aud: 'ak', exp: undefined });
    const at = '/SSO/OIDC/authentik/SignOut';
    expect((await post(await house.acme.sign(claims, { typ: 'JWT' }), at)).status).toBe(200);
    const old = { ...claims, jti: randomUUID(), iat: Number(claims.iat) - 400 };
    expect((await post(await house.acme.sign(old, { typ: 'JWT' }), at)).status).toBe(400);
  });
});

describe('front-channel logout', () => {
  const frame = (query: string) =>
    house.visitor().go(`${SIGN_OUT}?${query}`, { headers: { 'sec-fetch-dest': 'iframe' } });
  const iss = () => encodeURIComponent(house.acme.issuer);

  it('ends the session of iss and sid without a cookie, and may be framed by the issuer alone', async () => {
    const reply = await frame(`iss=${iss()}&sid=s-1`);
    expect(reply.status).toBe(200);
    expect(reply.headers['cache-control']).toBe('no-store');
    expect(reply.headers['content-security-policy']).toContain(`frame-ancestors ${house.acme.issuer}`);
    expect(reply.headers['x-frame-options']).toBeUndefined();
    expect(await sessionOf(visitor)).toBeUndefined();
  });

  it.each([
    'iss=https%3A%2F%2Fevil.example&sid=s-1',
    'sid=s-1',
    'iss=&sid=s-1',
    'sid=s-1&sid=s-1&iss=ISS',
    'iss=ISS&iss=ISS&sid=s-1',
    'iss=ISS&sid=',
    'iss=ISS',
    'iss=ISS&sid=s-2',
    `iss=ISS&sid=${'x'.repeat(3_000)}`,
    'iss=ISS&sid=%2A',
    'iss=ISS&sid=s-1%00',
    'iss=ISS&sid=%7Bacme%7D%3Asession',
  ])('ends nothing for %s, and is 200 all the same', async (query) => {
    expect((await frame(query.replaceAll('ISS', iss()))).status).toBe(200);
    expect(await sessionOf(visitor)).toBeDefined();
  });

  it('takes the sid alone where the tenant’s IdP sends no more', async () => {
    const changed = house.gateway.waitFor('tenant.changed');
    await house.gateway.writeTenant({
      id: 'globex',
      oidc: {
        issuer: house.globex.issuer,
        client_id: 'gatehouse-globex',
        allow_insecure: true,
        response_mode: 'fragment',
        quirks: ['frontchannel_sid_only'],
      },
      groups: [{ id: 'invoice-readers' }],
    });
    await changed;
    await signInAtGlobex(house, visitor, { sid: 'g-1' });
    await house.visitor().go('/SSO/OIDC/globex/SignOut?sid=g-1');
    expect(await sessionOf(visitor, 'globex')).toBeUndefined();
  });
});
