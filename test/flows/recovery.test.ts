import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  ACME_CALLBACK,
  askedOf,
  type House,
  openHouse,
  sessionOf,
  signIn,
  start,
  validClaims,
} from '../support/house.ts';
import { Visitor } from '../support/visitor.ts';

let house: House;
beforeAll(async () => {
  house = await openHouse();
});
afterAll(() => house.close());

async function answerTo(asked: { state: string; nonce: string; url: URL }): Promise<Record<string, string>> {
  return { id_token: await house.acme.sign(validClaims(house.acme, asked, house.gateway.clock)), state: asked.state };
}

describe('several tabs', () => {
  it('all land on their own pages, whichever finishes first', async () => {
    const visitor = house.visitor();
    const asked = [];
    for (const page of [1, 2, 3, 4, 5]) asked.push({ page, asked: await start(visitor, `/AcmeCorp/tab/${page}`) });
    for (const { page, asked: one } of asked.reverse()) {
      const reply = await visitor.post(ACME_CALLBACK, await answerTo(one));
      expect(reply.location).toBe(`${house.gateway.url}/AcmeCorp/tab/${page}`);
      expect(await sessionOf(visitor)).toBeDefined();
    }
  });

  it('that a fresh browser opens at the same instant all work', async () => {
    const visitor = house.visitor();
    const asked = await Promise.all([1, 2, 3, 4, 5].map((page) => start(visitor, `/AcmeCorp/tab/${page}`)));
    expect([...visitor.cookies.keys()].filter((name) => name.includes('-attempt-'))).toHaveLength(5);
    const replies = await Promise.all(asked.map(async (one) => visitor.post(ACME_CALLBACK, await answerTo(one))));
    expect(replies.map(({ location }) => location)).toEqual(
      [1, 2, 3, 4, 5].map((page) => `${house.gateway.url}/AcmeCorp/tab/${page}`),
    );
    expect(await sessionOf(visitor)).toBeDefined();
  });

  it('leave no pile of cookies behind', async () => {
    const visitor = house.visitor();
    for (const page of Array(30).keys()) await start(visitor, `/AcmeCorp/${page}`);
    expect(visitor.cookies.size).toBe(1);
  });

  it('of two tenants do not disturb each other', async () => {
    const visitor = house.visitor();
    const acme = await start(visitor, '/AcmeCorp');
    await start(visitor, '/globex');
    expect((await visitor.post(ACME_CALLBACK, await answerTo(acme))).location).toBe(`${house.gateway.url}/AcmeCorp`);
  });
});

describe('an answer that cannot be used', () => {
  it('takes who is signed in to the page that it was for', async () => {
    const visitor = house.visitor();
    const asked = await start(visitor, '/AcmeCorp/page');
    const answer = await answerTo(asked);
    await visitor.post(ACME_CALLBACK, answer);
    const again = await visitor.post(ACME_CALLBACK, answer); // the back button
    expect(again.status).toBe(303);
    expect(again.location).toBe(`${house.gateway.url}/AcmeCorp/page`);
  });

  it('starts a new sign-in by itself for who is not, and that one works', async () => {
    const visitor = house.visitor();
    const reply = await visitor.post(ACME_CALLBACK, { id_token: 'x', state: 'bookmarked' });
    expect(reply.status).toBe(303);
    const done = await visitor.post(ACME_CALLBACK, await answerTo(askedOf(reply)));
    expect(done.location).toBe(`${house.gateway.url}/AcmeCorp`);
    expect(await sessionOf(visitor)).toBeDefined();
  });

  it('is asked again in a request that carries the session, where the browser withholds it', async () => {
    const visitor = house.visitor();
    await signIn(house, visitor);
    const blind = new Visitor(house.gateway.url); // a cross-site post carries no SameSite=Lax cookie
    const reply = await blind.post(ACME_CALLBACK, { id_token: 'x', state: 'old' }, { 'sec-fetch-site': 'cross-site' });
    expect(reply.status).toBe(303);
    expect(reply.location).toContain('/SSO/OIDC/acme/SignIn?');
    expect((await visitor.go(reply.location)).location).toBe(`${house.gateway.url}/AcmeCorp`);
    expect(new URL((await blind.go(reply.location)).location).origin).toBe(house.acme.issuer);
  });

  it('after ten minutes is too old, and starts anew with the page that was wanted', async () => {
    const visitor = house.visitor();
    const asked = await start(visitor, '/AcmeCorp/kept?x=1');
    house.gateway.clock.advance(10 * 60_000);
    const reply = await visitor.post(ACME_CALLBACK, await answerTo(asked));
    const done = await visitor.post(ACME_CALLBACK, await answerTo(askedOf(reply)));
    expect(done.location).toBe(`${house.gateway.url}/AcmeCorp/kept?x=1`);
    expect(house.gateway.events('sign_in.restarted').at(-1)).toMatchObject({
      tenant: 'acme',
      reason: 'attempt_expired',
    });
  });

  it('stops after three rounds in a minute at a page that names the cause: state mangled', async () => {
    const visitor = house.visitor();
    for (const _round of [1, 2, 3])
      expect((await visitor.post(ACME_CALLBACK, { id_token: 'x', state: 'mangled' })).status).toBe(303);
    const stopped = await visitor.post(ACME_CALLBACK, { id_token: 'x', state: 'mangled' });
    expect(stopped.status).toBe(400);
    expect(stopped.text).toContain('attempt_invalid');
    expect(stopped.text).toContain('did not return what we gave it');
    house.gateway.clock.advance(0);
  });

  it('stops also without any cookie: the state carries the count', async () => {
    let asked = await start(house.visitor());
    for (const _round of [1, 2, 3]) {
      const reply = await house.visitor().post(ACME_CALLBACK, await answerTo(asked));
      expect(reply.status).toBe(303);
      asked = askedOf(reply);
    }
    const stopped = await house.visitor().post(ACME_CALLBACK, await answerTo(asked));
    expect(stopped.status).toBe(400);
    expect(stopped.text).toContain('blocking cookies');
  });

  it('a real sign-in ends the count', async () => {
    const visitor = house.visitor();
    for (const _round of [1, 2]) await visitor.post(ACME_CALLBACK, { id_token: 'x', state: 'mangled' });
    await signIn(house, visitor);
    expect([...visitor.cookies.keys()].some((name) => name.includes('rounds'))).toBe(false);
  });
});

describe('an attempt', () => {
  it('is used up by a wrong answer too', async () => {
    const visitor = house.visitor();
    const asked = await start(visitor);
    const answer = await answerTo(asked);
    expect((await visitor.post(ACME_CALLBACK, { ...answer, id_token: `${answer.id_token}x` })).status).toBe(400);
    expect((await visitor.post(ACME_CALLBACK, answer)).status).toBe(303);
    expect(await sessionOf(visitor)).toBeUndefined();
  });

  it('gives one session to twenty parallel answers', async () => {
    const visitor = house.visitor();
    const answer = await answerTo(await start(visitor));
    const before = house.gateway.events('sign_in.succeeded').length;
    await Promise.all(Array.from({ length: 20 }, () => visitor.copy().post(ACME_CALLBACK, answer)));
    expect(house.gateway.events('sign_in.succeeded').length - before).toBe(1);
  });
});
