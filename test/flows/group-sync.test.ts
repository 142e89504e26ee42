import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ACME_CALLBACK, sessionOf, signIn, start, validClaims } from '../support/house.ts';
import { openReplicas, type Replicas } from '../support/replicas.ts';

/** What a sign-in in one browser says of a person reaches all their sessions, and nobody else's. */
let replicas: Replicas;
beforeAll(async () => {
  replicas = await openReplicas();
});
afterAll(() => replicas.close());

describe('a sign-in with other roles', () => {
  it('changes the groups of the person’s other sessions at once, on every replica', async () => {
    const { house } = replicas.one;
    const [first, second, other] = [house.visitor(), house.visitor(), house.visitor()];
    await signIn(house, first, { claims: { roles: ['BillingAdmin'] } });
    await signIn(house, other, { claims: { sub: 'ben', roles: ['BillingAdmin'] } });
    house.gateway.clock.advance(1_000);
    await signIn(house, second, { claims: { roles: ['invoice-readers'] } });
    expect((await sessionOf(replicas.at(replicas.two, first)))?.groups).toEqual(['invoice-readers']);
    expect((await sessionOf(first))?.groups).toEqual(['invoice-readers']);
    expect((await sessionOf(other))?.groups).toEqual(['billing-admins']);
    expect(house.gateway.events('groups.changed').at(-1)).toMatchObject({
      sub: 'ada',
      added: ['invoice-readers'],
      removed: ['billing-admins'],
    });
  });

  it('that brings no group any more ends the person’s other sessions', async () => {
    const { house } = replicas.one;
    const first = house.visitor();
    await signIn(house, first);
    house.gateway.clock.advance(1_000);
    expect((await signIn(house, house.visitor(), { claims: { roles: ['chess-club'] } })).status).toBe(403);
    expect(await sessionOf(first)).toBeUndefined();
  });

  it('whose token is older than what is known takes what is known', async () => {
    const { house } = replicas.one;
    const [late, early] = [house.visitor(), house.visitor()];
    const asked = await start(late);
    const old = validClaims(house.acme, asked, house.gateway.clock, { roles: ['BillingAdmin'] });
    house.gateway.clock.advance(2_000);
    await signIn(house, early, { claims: { roles: ['invoice-readers'] } });
    await late.post(ACME_CALLBACK, { id_token: await house.acme.sign(old), state: asked.state });
    expect((await sessionOf(early))?.groups).toEqual(['invoice-readers']);
    expect((await sessionOf(late))?.groups).toEqual(['invoice-readers']);
  });
});
