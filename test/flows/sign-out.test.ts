import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type House, openHouse, sessionOf, signIn, signInAtGlobex } from '../support/house.ts';

let house: House;
beforeAll(async () => {
  house = await openHouse();
});
afterAll(() => house.close());

const SIGN_OUT = '/SSO/OIDC/acme/SignOut';

describe('a person signs out', () => {
  it('after a question, here and at this tenant only', async () => {
    const visitor = house.visitor();
    await signIn(house, visitor);
    await signInAtGlobex(house, visitor);
    const before = visitor.copy();
    const question = await visitor.go(SIGN_OUT, { headers: { 'sec-fetch-site': 'cross-site' } });
    expect(question.status).toBe(200);
    expect(question.text).toContain('Sign out?');
    expect(await sessionOf(visitor)).toBeDefined();
    const reply = await visitor.post(SIGN_OUT, {}, { 'sec-fetch-site': 'same-origin', origin: 'null' });
    expect(reply.status).toBe(303);
    expect((await visitor.go(reply.location)).text).toContain('You are signed out');
    expect(visitor.cookies.has('__Host-gatehouse-session-acme')).toBe(false);
    expect(await sessionOf(before)).toBeUndefined(); // also for who kept the cookie
    expect(await sessionOf(visitor, 'globex')).toBeDefined();
    expect(house.gateway.events('sign_out').at(-1)).toMatchObject({ tenant: 'acme', sub: 'ada' });
  });

  it('at once by a link of the app itself', async () => {
    const visitor = house.visitor();
    await signIn(house, visitor);
    for (const notALink of [
      { 'sec-fetch-dest': 'image', 'sec-fetch-mode': 'no-cors' },
      { 'sec-purpose': 'prefetch' },
    ]) {
      await visitor.go(SIGN_OUT, { headers: { 'sec-fetch-site': 'same-origin', ...notALink } });
      expect(await sessionOf(visitor)).toBeDefined();
    }
    const reply = await visitor.go(SIGN_OUT, { headers: { 'sec-fetch-site': 'same-origin' } });
    expect(reply.location).toBe(`${house.gateway.url}${SIGN_OUT}`);
    expect((await visitor.go(reply.location)).text).toContain('You are signed out');
    expect(await sessionOf(visitor)).toBeUndefined();
  });

  it('who is not signed in sees that, and is not signed in again', async () => {
    const reply = await house.visitor().go(SIGN_OUT);
    expect(reply.status).toBe(200);
    expect(reply.text).toContain('You are signed out');
  });

  it('by Origin where the browser sends no Fetch Metadata', async () => {
    const visitor = house.visitor();
    await signIn(house, visitor);
    const body = new URLSearchParams();
    expect(
      (await visitor.send(SIGN_OUT, { method: 'POST', body, headers: { origin: house.gateway.url } })).status,
    ).toBe(303);
    expect(await sessionOf(visitor)).toBeUndefined();
  });
});

describe('a link', () => {
  it.each([['same-site'], ['none'], ['cross-site'], [undefined]])('from %s only asks', async (site) => {
    const visitor = house.visitor();
    await signIn(house, visitor);
    const reply = await visitor.go(SIGN_OUT, { headers: site === undefined ? {} : { 'sec-fetch-site': site } });
    expect(reply.text).toContain('Sign out?');
    expect(await sessionOf(visitor)).toBeDefined();
  });
});

describe('another site', () => {
  it.each([
    [{ 'sec-fetch-site': 'cross-site' }],
    [{ 'sec-fetch-site': 'same-site' }],
    [{ 'sec-fetch-site': 'cross-site', origin: 'http://127.0.0.1' }],
    [{ origin: 'https://evil.example' }],
    [{ origin: 'null' }],
    [{}],
  ])('signs nobody out with a POST: %j', async (headers) => {
    const visitor = house.visitor();
    await signIn(house, visitor);
    const reply = await visitor.send(SIGN_OUT, { method: 'POST', body: new URLSearchParams(), headers });
    expect(reply.status).toBe(400);
    expect(await sessionOf(visitor)).toBeDefined();
  });
});
