import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { openChromium } from '../support/chromium.ts';
import { openRealHouse, type RealHouse } from '../support/real-idp.ts';
import { openRedis, type RedisServer } from '../support/redis.ts';

/** Real Chromium, real oidc-provider, real Redis; 127.0.0.1 and localhost are two sites, as in production. */
let redis: RedisServer;
let house: RealHouse;
let browser: Browser;
let context: BrowserContext;
let page: Page;
beforeAll(async () => {
  redis = await openRedis();
  [house, browser] = await Promise.all([openRealHouse({ REDIS_URL: redis.url }), openChromium()]);
});
afterAll(async () => {
  await browser.close();
  await house.close();
  await redis.stop();
});
beforeEach(async () => {
  context = await browser.newContext();
  page = await context.newPage();
});
afterEach(() => context.close());

async function signInAs(person: string, path = '/AcmeCorp'): Promise<void> {
  await page.goto(`${house.gateway.url}${path}`);
  await page.click(`#as-${person}`);
  await page.waitForURL((url) => url.origin === house.gateway.url && !url.pathname.endsWith('/Callback'));
}

describe('a person in a browser', () => {
  it('signs in by form_post and lands on their page', async () => {
    await signInAs('ada', '/AcmeCorp/some/page?x=1');
    expect(page.url()).toBe(`${house.gateway.url}/AcmeCorp/some/page?x=1`);
    expect(await page.textContent('h1')).toBe('Ada Admin');
    expect(await page.textContent('ul.groups')).toBe('billing-admins');
  });

  it('signs in by code, and neither code nor token is in the address bar or the history', async () => {
    await signInAs('ada', '/initech/x');
    expect(page.url()).toBe(`${house.gateway.url}/initech/x`);
    expect(await page.textContent('h1')).toBe('Ada Admin');
    expect(await page.textContent('ul.groups')).toBe('billing-admins');
    await page.goBack();
    expect(page.url()).not.toContain('code=');
  });

  it('signs in by fragment, and the token is not in the address bar or the history', async () => {
    await signInAs('ada', '/globex/x');
    expect(page.url()).toBe(`${house.gateway.url}/globex/x`);
    await page.goBack();
    expect(page.url()).not.toContain('id_token');
  });

  it('is signed in to both tenants, each with a cookie of its own that scripts cannot read', async () => {
    await signInAs('ada', '/AcmeCorp');
    await page.goto(`${house.gateway.url}/globex`); // the IdP knows them by now
    await page.waitForURL(`${house.gateway.url}/globex`);
    const cookies = (await context.cookies(house.gateway.url)).filter(({ name }) => name.includes('session'));
    expect(cookies.map(({ name, sameSite, secure, httpOnly }) => ({ name, sameSite, secure, httpOnly }))).toEqual(
      ['acme', 'globex'].map((id) => ({
        name: `__Host-gatehouse-session-${id}`,
        sameSite: 'Lax',
        secure: true,
        httpOnly: true,
      })),
    );
    expect(await page.evaluate('document.cookie')).toBe('');
  });

  it('lands on each of five tabs’ own pages, whichever finishes first', async () => {
    const tabs = await Promise.all(
      [1, 2, 3, 4, 5].map(async (tab) => {
        const opened = await context.newPage();
        await opened.goto(`${house.gateway.url}/AcmeCorp/tab/${tab}`);
        return { tab, opened };
      }),
    );
    for (const { tab, opened } of tabs.reverse()) {
      await opened.click('#as-ada');
      await opened.waitForURL(`${house.gateway.url}/AcmeCorp/tab/${tab}`);
      expect(await opened.textContent('h1')).toBe('Ada Admin');
    }
  });

  it('goes on after the back button and with a bookmarked login page', async () => {
    await page.goto(`${house.gateway.url}/AcmeCorp/kept`);
    const bookmark = page.url();
    expect(bookmark).toContain('localhost');
    await page.click('#as-ada');
    await page.waitForURL(`${house.gateway.url}/AcmeCorp/kept`);
    await page.goBack();
    await page.goto(`${house.gateway.url}/AcmeCorp/kept`);
    expect(await page.textContent('h1')).toBe('Ada Admin');
  });

  it('who has no group is told so, and may be somebody else', async () => {
    await page.goto(`${house.gateway.url}/AcmeCorp`);
    await page.click('#as-ben');
    await page.waitForSelector('text=Your account has no access here');
    expect(await page.textContent('main')).toContain('You signed in as ben');
    await page.click('text=Use another account');
    await page.click('#as-ada');
    await page.waitForURL(`${house.gateway.url}/AcmeCorp`);
    expect(await page.textContent('h1')).toBe('Ada Admin');
  });

  it('whose fragment answer is stale is taken to a new sign-in', async () => {
    await page.goto(`${house.gateway.url}/SSO/OIDC/globex/Callback#state=stale&id_token=x.y.z`);
    await page.click('#as-ada');
    await page.waitForURL(`${house.gateway.url}/globex`);
    expect(await page.textContent('h1')).toBe('Ada Admin');
  });

  it('signs out here and at the IdP, and comes back to a page that does not sign in again', async () => {
    await signInAs('ada');
    await page.click('text=Sign out');
    await page.waitForURL(`${house.idp.issuer}/**`);
    await page.click('button[name=logout]'); // the provider's own question
    await page.waitForSelector('text=You are signed out');
    expect(page.url().startsWith(`${house.gateway.url}/SSO/OIDC/acme/SignOut`)).toBe(true);
    await page.goto(`${house.gateway.url}/AcmeCorp`);
    await page.waitForSelector('#as-ada'); // the IdP asks who it is: its session is gone too
    await page.goto(`${house.gateway.url}/SSO/OIDC/acme/SignOut`);
    const reply = await page.request.get(`${house.gateway.url}/SSO/Session/acme`);
    expect(reply.status()).toBe(401);
  });

  it('meets no error in the console, no request elsewhere, and fits a phone', async () => {
    await page.setViewportSize({ width: 320, height: 640 });
    const complaints: string[] = [];
    const elsewhere: string[] = [];
    page.on('console', (message) => {
      if (message.type() === 'error' && page.url().startsWith(house.gateway.url)) complaints.push(message.text());
    });
    page.on('request', (request) => {
      const { origin, protocol } = new URL(request.url());
      if (protocol !== 'data:' && ![house.gateway.url, house.idp.issuer].includes(origin))
        elsewhere.push(request.url());
    });
    await signInAs('ada', '/globex');
    for (const path of ['/globex', '/SSO/Account/globex', '/SSO/OIDC/globex/SignOut', '/SSO/OIDC/globex/Callback']) {
      await page.goto(`${house.gateway.url}${path}`);
      const width = await page.evaluate('document.documentElement.scrollWidth');
      expect({ path, width }).toEqual({ path, width: 320 });
    }
    expect(complaints).toEqual([]);
    expect(elsewhere).toEqual([]);
  });
});
