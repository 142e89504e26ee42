import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  ACME_CALLBACK,
  GLOBEX_CALLBACK,
  type House,
  openHouse,
  sessionOf,
  start,
  validClaims,
} from '../support/house.ts';

/** Login CSRF, session fixation, mix-up: an answer counts for one browser, one tenant, once. */
let house: House;
beforeAll(async () => {
  house = await openHouse();
});
afterAll(() => house.close());

describe('an attacker', () => {
  it('cannot finish a sign-in in another browser (login CSRF)', async () => {
    const attacker = house.visitor();
    const victim = house.visitor();
    const asked = await start(attacker);
    await start(victim); // the victim has an attempt cookie of their own
    const token = await house.acme.sign(validClaims(house.acme, asked, house.gateway.clock));
    await victim.post(ACME_CALLBACK, { id_token: token, state: asked.state });
    expect(await sessionOf(victim)).toBeUndefined();
    expect(house.gateway.events('sign_in.restarted').at(-1)).toMatchObject({ reason: 'state_foreign_browser' });
  });

  it('cannot finish one attempt with the token of another, not even in the same browser', async () => {
    const visitor = house.visitor();
    const [one, two] = [await start(visitor), await start(visitor)];
    expect(one.nonce).not.toBe(two.nonce);
    const token = await house.acme.sign(validClaims(house.acme, one, house.gateway.clock));
    expect((await visitor.post(ACME_CALLBACK, { id_token: token, state: two.state })).status).toBe(400);
    expect(house.gateway.events('sign_in.refused').at(-1)).toMatchObject({ reason: 'nonce_mismatch' });
  });

  it('cannot plant the browser’s secret, nor foretell a nonce without it', async () => {
    const visitor = house.visitor();
    visitor.cookies.set('__Host-gatehouse-attempt-planted', 'known');
    const asked = await start(visitor);
    const secrets = [...visitor.cookies].filter(([name]) => name.includes('-attempt-')).map(([, value]) => value);
    expect(secrets.filter((value) => /^[\w-]{43}$/.test(value))).toHaveLength(1);
    const other = house.visitor();
    expect((await start(other)).nonce).not.toBe(asked.nonce);
  });

  it('gets a cookie that scripts cannot read and that only comes back over TLS or loopback', async () => {
    const reply = await house.visitor().go('/AcmeCorp');
    expect(reply.setCookies).toEqual([
      expect.stringMatching(
        /^__Host-gatehouse-attempt-\w+=[\w-]{43}; path=\/; expires=[^;]+; samesite=none; secure; httponly$/i,
      ),
    ]);
  });

  it('cannot use one tenant’s state at another', async () => {
    const visitor = house.visitor();
    const asked = await start(visitor, '/AcmeCorp');
    const claims = validClaims(house.globex, asked, house.gateway.clock, { aud: 'gatehouse-globex' });
    await visitor.post(GLOBEX_CALLBACK, { id_token: await house.globex.sign(claims), state: asked.state });
    expect(await sessionOf(visitor, 'globex')).toBeUndefined();
    expect(house.gateway.events('sign_in.restarted').at(-1)).toMatchObject({ reason: 'state_foreign_tenant' });
  });

  it('cannot use one tenant’s token at another', async () => {
    const visitor = house.visitor();
    const acme = await start(visitor, '/AcmeCorp');
    const globex = await start(visitor, '/globex');
    const token = await house.acme.sign(validClaims(house.acme, acme, house.gateway.clock));
    const reply = await visitor.post(GLOBEX_CALLBACK, { id_token: token, state: globex.state });
    expect(reply.status).toBe(400);
    expect(await sessionOf(visitor, 'globex')).toBeUndefined();
  });

  it('cannot use one tenant’s cookie value at another', async () => {
    const visitor = house.visitor();
    const asked = await start(visitor);
    const token = await house.acme.sign(validClaims(house.acme, asked, house.gateway.clock));
    await visitor.post(ACME_CALLBACK, { id_token: token, state: asked.state });
    const value = visitor.cookies.get('__Host-gatehouse-session-acme') ?? '';
    expect(value).not.toBe('');
    visitor.cookies.set('__Host-gatehouse-session-globex', value);
    expect(await sessionOf(visitor, 'globex')).toBeUndefined();
  });

  it('cannot have an id of their own adopted (session fixation)', async () => {
    const visitor = house.visitor();
    const planted = 'A'.repeat(43);
    visitor.cookies.set('__Host-gatehouse-session-acme', planted);
    const asked = await start(visitor);
    const token = await house.acme.sign(validClaims(house.acme, asked, house.gateway.clock));
    await visitor.post(ACME_CALLBACK, { id_token: token, state: asked.state });
    expect(visitor.cookies.get('__Host-gatehouse-session-acme')).not.toBe(planted);
    expect(await sessionOf(visitor)).toBeDefined();
  });

  it('cannot change a single character of the state', async () => {
    const visitor = house.visitor();
    const { state } = await start(visitor);
    for (const at of [5, Math.floor(state.length / 2), state.length - 3]) {
      const changed = state.slice(0, at) + (state[at] === 'A' ? 'B' : 'A') + state.slice(at + 1);
      await visitor.post(ACME_CALLBACK, { id_token: 'x', state: changed });
      expect(house.gateway.events('sign_in.restarted').at(-1)).toMatchObject({ reason: 'state_unknown' });
      visitor.cookies.delete('__Host-gatehouse-rounds-acme');
    }
  });

  it('cannot make HEAD or OPTIONS use an attempt up', async () => {
    const visitor = house.visitor();
    const asked = await start(visitor);
    const token = await house.acme.sign(validClaims(house.acme, asked, house.gateway.clock));
    for (const method of ['HEAD', 'OPTIONS', 'PUT'])
      await visitor.send(`${ACME_CALLBACK}?state=${asked.state}&id_token=${token}`, { method });
    expect((await visitor.post(ACME_CALLBACK, { id_token: token, state: asked.state })).status).toBe(303);
    expect(await sessionOf(visitor)).toBeDefined();
  });
});
