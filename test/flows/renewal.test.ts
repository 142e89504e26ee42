import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Claims } from '../support/adversary.ts';
import {
  ACME_CALLBACK,
  type Asked,
  acmeYaml,
  askedOf,
  type House,
  openHouse,
  sessionOf,
  signIn,
  validClaims,
} from '../support/house.ts';
import { openReplicas, type Replicas } from '../support/replicas.ts';
import type { Reply, Visitor } from '../support/visitor.ts';

/** The identity is asked for again, silently: two replicas, one Redis. */
let replicas: Replicas;
let visitor: Visitor;
let elsewhere: Visitor;
const MINUTE = 60_000;

function advance(ms: number): void {
  for (const { house } of [replicas.one, replicas.two]) house.gateway.clock.advance(ms);
}

beforeAll(async () => {
  replicas = await openReplicas({ session: { idle: '8h', absolute: '12h', renew: '15m' } });
});
afterAll(() => replicas.close());
beforeEach(async () => {
  const { house } = replicas.one;
  visitor = house.visitor();
  elsewhere = replicas.two.house.visitor();
  await signIn(house, visitor);
  const asked = askedOf(await elsewhere.go('/AcmeCorp'));
  const token = await replicas.acme.sign(validClaims(replicas.acme, asked, replicas.two.house.gateway.clock));
  await elsewhere.post(ACME_CALLBACK, { id_token: token, state: asked.state });
  expect(await sessionOf(elsewhere)).toBeDefined();
});

async function renewalOf(path = '/AcmeCorp/page?x=1'): Promise<Asked> {
  advance(16 * MINUTE);
  const reply = await visitor.go(path);
  expect(reply.status).toBe(303);
  return askedOf(reply);
}

/** The IdP's answer, as a browser brings it from another site: without the session's cookie. */
async function answer(asked: Asked, change: Claims = {}): Promise<Reply> {
  const { house } = replicas.one;
  const id_token = await replicas.acme.sign(validClaims(replicas.acme, asked, house.gateway.clock, change));
  return post({ id_token, state: asked.state });
}

async function post(form: Record<string, string>): Promise<Reply> {
  const blind = visitor.copy();
  blind.cookies.delete('__Host-gatehouse-session-acme');
  return blind.post(ACME_CALLBACK, form, { 'sec-fetch-site': 'cross-site' });
}

describe('a renewal', () => {
  it('is asked for silently, with the token that was issued, and keeps session and end', async () => {
    const before = await sessionOf(visitor);
    const cookie = visitor.cookies.get('__Host-gatehouse-session-acme');
    const asked = await renewalOf();
    expect(asked.url.searchParams.get('prompt')).toBe('none');
    expect(asked.url.searchParams.get('id_token_hint')?.split('.')).toHaveLength(3);
    const reply = await answer(asked, { name: 'Ada New' });
    expect(reply.location).toBe(`${replicas.one.house.gateway.url}/AcmeCorp/page?x=1`);
    const after = await sessionOf(visitor);
    expect(after).toMatchObject({
      name: 'Ada New',
      signed_in_at: before?.signed_in_at,
      expires_at: before?.expires_at,
    });
    expect(after?.renewed_at).not.toBe(before?.renewed_at);
    expect(visitor.cookies.get('__Host-gatehouse-session-acme')).toBe(cookie);
    expect((await visitor.go('/AcmeCorp')).status).toBe(200);
  });

  it('is not asked for before its time, nor for scripts, posts, frames or HEAD', async () => {
    expect((await visitor.go('/AcmeCorp')).status).toBe(200);
    advance(16 * MINUTE);
    expect((await visitor.send('/AcmeCorp', { headers: { 'sec-fetch-mode': 'cors' } })).status).toBe(200);
    expect((await visitor.go('/AcmeCorp', { headers: { 'sec-fetch-dest': 'iframe' } })).status).toBe(200);
    expect((await visitor.go('/AcmeCorp', { method: 'HEAD' })).status).toBe(200);
    expect((await visitor.send('/SSO/Session/acme')).status).toBe(200);
    expect((await visitor.go('/AcmeCorp')).status).toBe(303);
  });

  it('is asked for by one of ten tabs on both replicas; the others go on', async () => {
    advance(16 * MINUTE);
    const there = replicas.at(replicas.two, visitor);
    const replies = await Promise.all(
      Array.from({ length: 10 }, (_, i) => (i % 2 ? there : visitor).go(`/AcmeCorp/${i}`)),
    );
    expect(replies.filter(({ status }) => status === 303)).toHaveLength(1);
    expect(replies.filter(({ status }) => status === 200)).toHaveLength(9);
    const asked = askedOf(replies.find(({ status }) => status === 303) as Reply);
    expect((await answer(asked)).status).toBe(303);
    for (const one of [visitor, there]) expect(await sessionOf(one)).toBeDefined();
  });

  it('takes roles that are gone away from every session of the person, on every replica', async () => {
    const from = replicas.one.house.gateway.log.length;
    await answer(await renewalOf(), { roles: ['invoice-readers'] });
    expect((await sessionOf(visitor))?.groups).toEqual(['invoice-readers']);
    expect((await sessionOf(elsewhere))?.groups).toEqual(['invoice-readers']);
    const changed = replicas.one.house.gateway.log.slice(from).filter(({ event }) => event === 'groups.changed');
    expect(changed).toEqual([
      expect.objectContaining({ tenant: 'acme', sub: 'ada', added: [], removed: ['billing-admins'] }),
    ]);
  });

  it('that finds no group left ends every session of the person', async () => {
    const reply = await answer(await renewalOf(), { roles: ['chess-club'] });
    expect(reply.status).toBe(403);
    expect(reply.text).toContain('no_groups');
    expect(await sessionOf(visitor)).toBeUndefined();
    expect(await sessionOf(elsewhere)).toBeUndefined();
  });

  it('that finds another person ends this session and nobody else’s', async () => {
    const reply = await answer(await renewalOf(), { sub: 'eve' });
    expect(reply.status).toBe(303);
    expect(await sessionOf(visitor)).toBeUndefined();
    expect(await sessionOf(elsewhere)).toBeDefined();
  });

  it.each(['login_required', 'interaction_required', 'consent_required', 'access_denied'])(
    'that the IdP refuses with %s ends the session, and the next page asks openly',
    async (error) => {
      const asked = await renewalOf();
      const reply = await post({ error, state: asked.state });
      expect(reply.status).toBe(303);
      expect(await sessionOf(visitor)).toBeUndefined();
      const next = askedOf(await visitor.go(reply.location));
      expect(next.url.searchParams.has('prompt')).toBe(false);
    },
  );

  it.each(['server_error', 'temporarily_unavailable'])('to which the IdP says %s keeps the session', async (error) => {
    const asked = await renewalOf();
    const reply = await post({ error, state: asked.state });
    expect((await visitor.go(reply.location)).status).toBe(200);
    expect(await sessionOf(visitor)).toBeDefined();
  });

  it('whose token is not right changes nothing', async () => {
    const asked = await renewalOf();
    const before = await sessionOf(visitor);
    await answer(asked, { nonce: 'x', roles: ['invoice-readers'] });
    expect(await sessionOf(visitor)).toEqual(before);
  });

  it('that a sign-out overtakes loses', async () => {
    const asked = await renewalOf();
    const kept = visitor.copy();
    await visitor.post('/SSO/OIDC/acme/SignOut', {}, { 'sec-fetch-site': 'same-origin' });
    await answer(asked);
    expect(await sessionOf(kept)).toBeUndefined();
  });

  it('that a back-channel logout overtakes loses', async () => {
    const asked = await renewalOf();
    const token = await replicas.acme.sign(validClaims(replicas.acme, asked, replicas.one.house.gateway.clock));
    advance(1_000);
    const now = Math.floor(replicas.one.house.gateway.clock.nowMs() / 1000);
    const events = { 'http://schemas.openid.net/event/backchannel-logout': {} };
    const logout = {
      iss: replicas.acme.issuer,
      aud: 'gatehouse-acme',
      sub: 'ada',
      iat: now,
      exp: now + 60,
      jti: `${now}`,
      events,
    };
    const logout_token = await replicas.acme.sign(logout, { typ: 'logout+jwt' });
    const body = new URLSearchParams({ logout_token });
    expect((await replicas.two.house.visitor().send('/SSO/OIDC/acme/SignOut', { method: 'POST', body })).status).toBe(
      200,
    );
    await post({ id_token: token, state: asked.state });
    expect(await sessionOf(visitor)).toBeUndefined();
  });
});

describe('in a house of one replica', () => {
  let house: House;
  let person: Visitor;
  beforeAll(async () => {
    house = await openHouse({ acme: { session: { idle: '8h', absolute: '12h', renew: '15m' } } });
  });
  afterAll(() => house.close());
  beforeEach(async () => {
    person = house.visitor();
    await signIn(house, person);
    house.gateway.clock.advance(16 * MINUTE);
  });

  it('a renewal that never comes back leaves the person alone until the next time', async () => {
    expect((await person.go('/AcmeCorp')).status).toBe(303);
    for (let minutes = 0; minutes < 14; minutes += 2) {
      expect((await person.go('/AcmeCorp')).status).toBe(200);
      house.gateway.clock.advance(2 * MINUTE);
    }
    house.gateway.clock.advance(2 * MINUTE);
    expect((await person.go('/AcmeCorp')).status).toBe(303);
  });

  it('a session that is renewed all the time does not outlive the absolute limit', async () => {
    for (let hours = 0; hours < 11; hours++) {
      house.gateway.clock.advance(60 * MINUTE);
      const asked = askedOf(await person.go('/AcmeCorp'));
      const id_token = await house.acme.sign(validClaims(house.acme, asked, house.gateway.clock));
      expect((await person.post(ACME_CALLBACK, { id_token, state: asked.state })).status).toBe(303);
      expect(await sessionOf(person)).toBeDefined();
    }
    house.gateway.clock.advance(45 * MINUTE);
    expect(await sessionOf(person)).toBeUndefined();
  });

  it.each([
    ['keep', 200],
    ['end', 503],
  ])('an IdP that cannot be reached at all: %s', async (policy, status) => {
    const changed = house.gateway.waitFor('tenant.changed');
    const session = { idle: '8h', absolute: '60h', renew: '15m', on_renewal_failure: policy };
    await house.gateway.writeTenant(acmeYaml(house.acme, { session }, { scope: `openid ${policy}` }));
    await changed;
    const patient = house.visitor();
    await signIn(house, patient);
    for (let hours = 0; hours < 28; hours += 7) {
      house.gateway.clock.advance(7 * 60 * MINUTE);
      expect(await sessionOf(patient)).toBeDefined();
    }
    house.acme.misbehave = (request) => void request.socket.destroy(); // and what is kept of it is too old to use
    const reply = await patient.go('/AcmeCorp');
    expect(reply.status).toBe(status);
    expect((await sessionOf(patient)) !== undefined).toBe(policy === 'keep');
    expect(house.gateway.events('renewal.failed').at(-1)).toMatchObject({ session_ended: policy === 'end' });
    house.acme.misbehave = undefined;
  });
});
