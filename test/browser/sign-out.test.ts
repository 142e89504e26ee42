import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { openChromium } from '../support/chromium.ts';
import { type House, openHouse, sessionOf, signIn } from '../support/house.ts';
import { openRealHouse, type RealHouse } from '../support/real-idp.ts';
import { openRedis, type RedisServer } from '../support/redis.ts';

let browser: Browser;
let context: BrowserContext;
let page: Page;
beforeAll(async () => {
  browser = await openChromium();
});
afterAll(() => browser.close());
beforeEach(async () => {
  context = await browser.newContext();
  page = await context.newPage();
});
afterEach(() => context.close());

describe('with a real provider that knows back-channel logout', () => {
  let redis: RedisServer;
  let house: RealHouse;
  beforeAll(async () => {
    redis = await openRedis();
    house = await openRealHouse({ REDIS_URL: redis.url });
  });
  afterAll(async () => {
    await house.close();
    await redis.stop();
  });

  it('a sign-out at one tenant that reaches the IdP ends the other tenant’s session too', async () => {
    const { url } = house.gateway;
    await page.goto(`${url}/AcmeCorp`);
    await page.click('#as-ada');
    await page.waitForURL(`${url}/AcmeCorp`);
    await page.goto(`${url}/globex`);
    await page.waitForURL(`${url}/globex`);
    expect((await page.request.get(`${url}/SSO/Session/globex`)).status()).toBe(200);
    await page.goto(`${url}/SSO/OIDC/acme/SignOut`);
    await page.click('main button'); // the question's form, which leads on to the IdP
    await page.waitForURL(`${house.idp.issuer}/**`);
    await page.click('button[name=logout]');
    await page.waitForSelector('text=You are signed out');
    await expect.poll(async () => (await page.request.get(`${url}/SSO/Session/globex`)).status()).toBe(401);
    expect(house.gateway.events('sign_out.ordered').at(-1)).toMatchObject({
      tenant: 'globex',
      by: 'back_channel',
      ended: 1,
    });
  });

  it('who does not sign out at the IdP after all stays signed out here', async () => {
    const { url } = house.gateway;
    await page.goto(`${url}/AcmeCorp`);
    await page.click('#as-ada');
    await page.waitForURL(`${url}/AcmeCorp`);
    await page.click('a:has-text("Sign out")');
    await page.waitForURL(`${house.idp.issuer}/**`);
    expect((await page.request.get(`${url}/SSO/Session/acme`)).status()).toBe(401);
  });
});

describe('front-channel logout in a frame', () => {
  let house: House;
  beforeAll(async () => {
    house = await openHouse();
  });
  afterAll(() => house.close());

  /** A page of that origin which frames Acme's sign-out URI, as an IdP's own sign-out page does. */
  async function frameFrom(origin: 'acme' | 'globex'): Promise<string[]> {
    const idp = house[origin];
    const target = `${house.gateway.url}/SSO/OIDC/acme/SignOut?iss=${encodeURIComponent(house.acme.issuer)}&sid=s-1`;
    idp.misbehave = (_request, response) => {
      response.setHeader('content-type', 'text/html');
      response.end(`<!doctype html><iframe src="${target}"></iframe>`);
    };
    const complaints: string[] = [];
    page.on('console', (message) => complaints.push(message.text()));
    await page.goto(`${idp.issuer}/signed-out`, { waitUntil: 'load' });
    idp.misbehave = undefined;
    return complaints;
  }

  it('is shown to the issuer, and ends the session without any cookie', async () => {
    const visitor = house.visitor();
    await signIn(house, visitor, { claims: { sid: 's-1' } });
    expect(await frameFrom('acme')).toEqual([]);
    expect(await page.frames()[1]?.textContent('body')).toContain('Signed out');
    expect(await sessionOf(visitor)).toBeUndefined();
  });

  it('is shown to nobody else', async () => {
    const complaints = await frameFrom('globex');
    expect(complaints.join()).toContain('frame-ancestors');
  });
});
