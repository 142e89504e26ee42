import { createServer, type Server } from 'node:http';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { openChromium } from '../support/chromium.ts';
import type { House } from '../support/house.ts';
import { ACME_KEY, DIALECTS, linkPath, openLinkHouse, validLink } from '../support/link-house.ts';
import { signExactly } from '../support/senders.ts';

/** Real Chromium; the customer's own app is another site (localhost), the gateway is 127.0.0.1. */
let house: House;
let sender: Server;
let senderUrl: string;
let page: Page;
let browser: Browser;
let context: BrowserContext;
let content = '';
let referers: (string | undefined)[] = [];

beforeAll(async () => {
  sender = createServer((request, response) => {
    referers.push(request.headers.referer);
    response.setHeader('content-type', 'text/html').end(content);
  });
  await new Promise<void>((done) => sender.listen(0, '127.0.0.1', done));
  const address = sender.address();
  senderUrl = `http://localhost:${typeof address === 'object' && address !== null ? address.port : 0}`;
  [house, browser] = await Promise.all([
    openLinkHouse({}, {}, { login_url: `${senderUrl}/login`, logout_url: `${senderUrl}/bye` }),
    openChromium(),
  ]);
});
afterAll(async () => {
  await browser.close();
  await house.close();
  await new Promise((done) => sender.close(done));
});
beforeEach(async () => {
  context = await browser.newContext();
  page = await context.newPage();
  referers = [];
});
afterEach(() => context.close());

const make = (dialect: (typeof DIALECTS)[number], more = {}): string =>
  signExactly({ ...validLink(dialect, house.gateway.clock.nowMs()), ...more }, ACME_KEY);

describe('a person in the customer’s own app', () => {
  it.each(DIALECTS)(
    'follows a link of %s and is signed in, without a token in the address bar or the history',
    async (dialect) => {
      const token = make(dialect);
      content = `<a id="open" href="${house.gateway.url}${linkPath(dialect, token)}">Open</a>`;
      await page.goto(senderUrl);
      await page.click('#open');
      await page.waitForURL(`${house.gateway.url}/AcmeCorp`);
      expect(await page.textContent('ul.groups')).toContain('members');
      expect(await page.evaluate('history.length')).toBe(3); // blank, the sender, and where one is
      expect(page.url()).not.toContain(token);
      await page.goBack();
      expect(page.url()).toBe(`${senderUrl}/`);
    },
  );

  it('posts a link from its own site, and is signed in', async () => {
    content = `<form id="f" method="post" action="${house.gateway.url}/SSO/Link/acme"><input name="token" value="${make('frill')}"><button id="open">Open</button></form>`;
    await page.goto(senderUrl);
    await page.click('#open');
    await page.waitForURL(`${house.gateway.url}/AcmeCorp`);
    expect(await page.textContent('h1')).toBe('Ada Admin');
  });

  it('is asked before somebody else’s link takes over, also by a post, and may stay', async () => {
    await page.goto(`${house.gateway.url}${linkPath('frill', make('frill'))}`);
    const other = make('frill', { id: 'mallory', name: 'Mallory' });
    content = `<form method="post" action="${house.gateway.url}/SSO/Link/acme"><input name="token" value="${other}"><button id="open">Open</button></form>`;
    await page.goto(senderUrl);
    await page.click('#open');
    await page.waitForSelector('text=Somebody else?');
    expect(await page.content()).not.toContain(other);
    await page.click('text=Stay signed in');
    await page.waitForURL(`${house.gateway.url}/AcmeCorp`);
    expect(await page.textContent('h1')).toBe('Ada Admin');
    await page.goto(`${house.gateway.url}${linkPath('frill', other)}`);
    await page.click('text=Continue as Mallory');
    await page.waitForURL(`${house.gateway.url}/AcmeCorp`);
    expect(await page.textContent('h1')).toBe('Mallory');
  });

  it('reloads a used link and lands again; another browser is sent to the sender, without a referrer', async () => {
    const path = linkPath('chargely', make('chargely'));
    await page.goto(`${house.gateway.url}${path}`);
    await page.goto(`${house.gateway.url}${path}`);
    expect(page.url()).toBe(`${house.gateway.url}/AcmeCorp`);
    const elsewhere = await browser.newContext();
    const second = await elsewhere.newPage();
    content = '<p id="here">the sender</p>';
    await second.goto(`${house.gateway.url}${path}`);
    await second.waitForSelector('#here');
    expect(second.url()).toBe(`${senderUrl}/login?error=token_invalid`);
    expect(referers.filter((referer) => referer?.includes('eyJ'))).toEqual([]);
    await elsewhere.close();
  });

  it('signs out to the sender’s page', async () => {
    await page.goto(`${house.gateway.url}${linkPath('frill', make('frill'))}`);
    await page.click('text=Sign out');
    await page.waitForURL(`${senderUrl}/bye`);
    await page.goto(`${house.gateway.url}/SSO/Account/acme`).catch(() => {});
    expect((await context.cookies(house.gateway.url)).filter(({ name }) => name.includes('-session-'))).toEqual([]);
  });
});
