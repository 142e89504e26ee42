import { createHash, generateKeyPairSync, sign as signWith } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { acmeYaml, type House, sessionOf } from '../support/house.ts';
import {
  ACME_KEY,
  DIALECTS,
  type DialectName,
  INITECH_KEY,
  linkPath,
  linksYaml,
  openLinkHouse,
  validLink,
} from '../support/link-house.ts';
import { signExactly } from '../support/senders.ts';
import type { Visitor } from '../support/visitor.ts';

/** One change from a valid link each. None opens a session, each says why in the log, and no token is anywhere. */
let house: House;
let visitor: Visitor;
beforeAll(async () => {
  house = await openLinkHouse();
});
afterAll(() => house.close());
beforeEach(() => {
  visitor = house.visitor();
});

const now = (): number => Math.floor(house.gateway.clock.nowMs() / 1000);
const valid = (dialect: DialectName): Record<string, unknown> => validLink(dialect, house.gateway.clock.nowMs());

async function refused(path: string, code: string, reason: string, by = visitor): Promise<void> {
  const from = house.gateway.log.length;
  const reply = await by.send(path);
  const lines = house.gateway.log.slice(from);
  expect({ status: reply.status, error: reply.json().error }).toMatchObject({ error: code });
  expect(lines.filter(({ event }) => event === 'sign_in.refused')).toMatchObject([{ error: code, reason }]);
  expect(reply.setCookies).toEqual([]);
  expect(await sessionOf(by)).toBeUndefined();
  const token = /[?&](?:token|ssoToken)=([^&]+)/.exec(path)?.[1] ?? path.split('/login/')[1] ?? '';
  if (token.length > 60) expect(JSON.stringify(lines)).not.toContain(token.slice(-40));
}

function part(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

describe('the signature and the form', () => {
  it.each(DIALECTS)('of %s: `none`, another algorithm, and another tenant’s key', async (dialect) => {
    const payload = valid(dialect);
    const unsigned = `${part({ alg: 'none', typ: 'JWT' })}.${part(payload)}.`;
    await refused(linkPath(dialect, unsigned), 'token_invalid', 'token_not_compact');
    await refused(linkPath(dialect, `${unsigned}AAAA`), 'token_invalid', 'token_algorithm');
    const other = signExactly(payload, ACME_KEY, { alg: 'HS512', typ: 'JWT' });
    await refused(linkPath(dialect, other), 'token_invalid', 'token_algorithm');
    const foreign = signExactly(payload, INITECH_KEY);
    await refused(linkPath(dialect, foreign), 'token_invalid', 'token_signature');
  });

  it('RS256, verified with the key as text', async () => {
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const input = `${part({ alg: 'RS256', typ: 'JWT' })}.${part(valid('frill'))}`;
    const token = `${input}.${signWith('sha256', Buffer.from(input), privateKey).toString('base64url')}`;
    await refused(linkPath('frill', token), 'token_invalid', 'token_algorithm');
  });

  it.each([
    ['a critical header', { alg: 'HS256', crit: ['exp'] }, 'token_critical_header'],
    ['an unencoded payload', { alg: 'HS256', b64: false }, 'token_critical_header'],
    ['another type', { alg: 'HS256', typ: 'logout+jwt' }, 'token_type'],
    ['an algorithm in other letters', { alg: 'hs256' }, 'token_algorithm'],
  ])('%s', async (_what, header, reason) => {
    await refused(linkPath('frill', signExactly(valid('frill'), ACME_KEY, header)), 'token_invalid', reason);
  });

  it('a claim that is there twice', async () => {
    const payload = JSON.stringify(valid('frill')).replace('{', '{"id":"admin",');
    const input = `${part({ alg: 'HS256' })}.${Buffer.from(payload).toString('base64url')}`;
    const { createHmac } = await import('node:crypto');
    const token = `${input}.${createHmac('sha256', ACME_KEY).update(input).digest('base64url')}`;
    await refused(linkPath('frill', token), 'token_invalid', 'token_payload_malformed');
  });

  it('nothing, rubbish, and far too much', async () => {
    await refused('/AcmeCorp?ssoToken=', 'token_invalid', 'token_not_compact');
    await refused('/AcmeCorp/login/rubbish', 'token_invalid', 'token_not_compact');
    await refused('/SSO/Link/acme', 'response_invalid', 'parameters_missing');
    await refused(linkPath('frill', `a.${'b'.repeat(9_000)}.c`), 'token_invalid', 'token_too_large');
    const huge = new URLSearchParams({ token: `a.${'b'.repeat(1_000_000)}.c` });
    expect((await visitor.send('/SSO/Link/acme', { method: 'POST', body: huge })).json().error).toBe('token_invalid');
    const tooHuge = new URLSearchParams({ token: 'b'.repeat(1_100_000) });
    expect((await visitor.send('/SSO/Link/acme', { method: 'POST', body: tooHuge })).status).toBe(413);
  });

  it('a parameter that is there twice', async () => {
    const token = signExactly(valid('frill'), ACME_KEY);
    await refused(`/AcmeCorp?ssoToken=${token}&ssoToken=${token}`, 'response_invalid', 'parameter_doubled');
    await refused(`/SSO/Link/acme?token=${token}&token=x`, 'response_invalid', 'parameter_doubled');
    await refused(`/SSO/Link/acme?token=${token}&return_to=/a&return_to=/b`, 'response_invalid', 'parameter_doubled');
  });
});

describe('what it says', () => {
  it.each<[DialectName, Record<string, unknown>, string, string]>([
    ['invoiced', { exp: undefined }, 'claims_invalid', 'claim_missing'],
    ['invoiced', { iss: undefined }, 'claims_invalid', 'claim_missing'],
    ['invoiced', { sub: undefined }, 'claims_invalid', 'claim_missing'],
    ['invoiced', { sub: { $ne: '' } }, 'claims_invalid', 'claim_malformed'],
    ['invoiced', { sub: 1.5 }, 'claims_invalid', 'claim_malformed'],
    ['invoiced', { sub: 'ä' }, 'claims_invalid', 'claim_malformed'],
    ['invoiced', { exp: '9999999999' }, 'token_invalid', 'expiry_malformed'],
    ['chargely', { jti: undefined }, 'claims_invalid', 'claim_missing'],
    ['chargely', { iat: undefined }, 'claims_invalid', 'claim_missing'],
    ['chargely', { auth: {} }, 'claims_invalid', 'claim_missing'],
    ['chargely', { auth: 'ref-7' }, 'claims_invalid', 'claim_malformed'],
    ['chargely', { auth: { cust_ref: ['ref-7'], cust_id: 1 } }, 'claims_invalid', 'claim_malformed'],
    ['frill', { id: undefined }, 'claims_invalid', 'claim_missing'],
    ['frill', { email: 'a@b@c' }, 'claims_invalid', 'claim_malformed'],
    ['frill', { name: undefined }, 'claims_invalid', 'claim_missing'],
    ['frill', { iat: undefined }, 'token_invalid', 'link_undated'],
    ['frill', { roles: [1] }, 'claims_invalid', 'claim_malformed'],
    ['issuely', { role: 'ADMIN' }, 'claims_invalid', 'claim_malformed'],
    ['issuely', { email: undefined }, 'claims_invalid', 'claim_missing'],
    ['issuely', { iat: 'now' }, 'token_invalid', 'issued_at_malformed'],
  ])('%s without what it must have: %j', async (dialect, change, code, reason) => {
    await refused(linkPath(dialect, signExactly({ ...valid(dialect), ...change }, ACME_KEY)), code, reason);
  });

  it('Chargely’s public key of somebody else', async () => {
    const token = signExactly(valid('chargely'), ACME_KEY);
    const path = `/AcmeCorp/sso/jwt/login?public_key=pk_other&token=${token}`;
    await refused(path, 'token_invalid', 'token_signature');
  });

  it('Issuely’s company: one that nobody is, and another tenant’s', async () => {
    const nobody = signExactly({ ...valid('issuely'), companyId: 'nobody' }, ACME_KEY);
    expect((await visitor.send(`/api/auth/sso?token=${nobody}`)).status).toBe(404);
    const foreign = signExactly({ ...valid('issuely'), companyId: 'company-initech' }, ACME_KEY);
    const reply = await visitor.go(`/api/auth/sso?token=${foreign}`);
    expect(reply.location).toBe('https://initech.example/login?error=token_invalid');
    await refused(`/SSO/Link/acme?token=${foreign}`, 'claims_invalid', 'claim_missing'); // as any of Acme's dialects
    expect(await sessionOf(visitor, 'initech')).toBeUndefined();
  });

  it('an e-mail that is known at another tenant, in whatever letters', async () => {
    const at = (email: string, company: string, key: string): string =>
      `/api/auth/sso?token=${signExactly({ ...validLink('issuely', house.gateway.clock.nowMs(), undefined, company), email }, key)}`;
    await visitor.go(at('Taken@x.example', 'company-initech', INITECH_KEY));
    expect(await sessionOf(visitor, 'initech')).toBeDefined();
    await refused(
      at('taken@X.example', 'company-acme', ACME_KEY),
      'claims_invalid',
      'email_of_another_tenant',
      house.visitor(),
    );
    const both = house.visitor();
    expect((await both.go(at('taken@x.example', 'company-initech', INITECH_KEY))).status).toBe(303);
  });
});

describe('when it was made', () => {
  it.each<[DialectName, () => Record<string, unknown>, string]>([
    ['invoiced', () => ({ exp: now() - 121 }), 'expired'],
    ['invoiced', () => ({ exp: now() + 24 * 3600 + 180 }), 'link_lives_too_long'],
    ['chargely', () => ({ iat: now() - 300 - 121 }), 'expired'],
    ['chargely', () => ({ iat: now() + 180 }), 'issued_in_future'],
    ['chargely', () => ({ exp: now() - 121 }), 'expired'],
    ['frill', () => ({ iat: now() - 600 - 121 }), 'expired'],
    ['frill', () => ({ exp: now() + 7 * 86_400 + 180 }), 'link_lives_too_long'],
    ['frill', () => ({ nbf: now() + 180 }), 'not_yet_valid'],
    ['frill', () => ({ nbf: 'soon' }), 'not_before_malformed'],
    ['issuely', () => ({ iat: now() - 700, exp: now() - 121 }), 'expired'],
    ['issuely', () => ({ iat: now(), exp: now() + 601 }), 'link_lives_too_long'],
    ['issuely', () => ({ iat: now(), exp: now() - 1 }), 'link_lives_too_long'],
    ['issuely', () => ({ iat: now() + 180, exp: now() + 400 }), 'issued_in_future'],
  ])('%s, out of its time: %s', async (dialect, change, reason) => {
    await refused(
      linkPath(dialect, signExactly({ ...valid(dialect), ...change() }, ACME_KEY)),
      'token_invalid',
      reason,
    );
  });

  it.each<[DialectName, () => Record<string, unknown>]>([
    ['invoiced', () => ({ exp: now() - 100 })],
    ['invoiced', () => ({ exp: now() + 24 * 3600 })],
    ['chargely', () => ({ iat: now() - 400 })],
    ['chargely', () => ({ iat: now() + 100 })],
    ['frill', () => ({ iat: undefined, exp: now() + 7 * 86_400 })],
  ])('%s within the skew is taken: %s', async (dialect, change) => {
    await visitor.send(linkPath(dialect, signExactly({ ...valid(dialect), ...change() }, ACME_KEY)));
    expect(await sessionOf(visitor)).toBeDefined();
  });
});

describe('a used link', () => {
  it('is no other link for being written otherwise', async () => {
    const token = signExactly(valid('frill'), ACME_KEY);
    await visitor.send(linkPath('frill', token));
    expect(await sessionOf(visitor)).toBeDefined();
    // the last of 43 characters holds four bits only: three more spellings are the same 32 bytes
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
    const last = alphabet.indexOf(token.at(-1) ?? '');
    for (let spare = 0; spare < 4; spare++) {
      const spelt = token.slice(0, -1) + alphabet[(last & ~3) | spare];
      expect(
        createHash('sha256')
          .update(Buffer.from(spelt.split('.')[2] ?? '', 'base64url'))
          .digest('hex'),
      ).toBe(
        createHash('sha256')
          .update(Buffer.from(token.split('.')[2] ?? '', 'base64url'))
          .digest('hex'),
      );
      await refused(linkPath('frill', spelt), 'token_invalid', 'link_used', house.visitor());
    }
  });

  it('is no other link for another signature over the same `jti`', async () => {
    const payload = valid('chargely');
    await visitor.send(linkPath('chargely', signExactly(payload, ACME_KEY)));
    const again = signExactly({ ...payload, auth: { cust_ref: 'boss' } }, ACME_KEY);
    await refused(linkPath('chargely', again), 'token_invalid', 'link_used', house.visitor());
  });

  it('in whatever dialect it could be read', async () => {
    const both = { ...valid('frill'), ...valid('invoiced') };
    const token = signExactly(both, ACME_KEY);
    await visitor.send(linkPath('invoiced', token));
    expect(await sessionOf(visitor)).toMatchObject({ connection: 'invoiced' });
    await refused(linkPath('frill', token), 'token_invalid', 'link_used', house.visitor());
  });

  it('by whatever address it comes', async () => {
    const token = signExactly(valid('frill'), ACME_KEY);
    await visitor.send(linkPath('frill', token));
    await refused(`/SSO/Link/acme?token=${token}`, 'token_invalid', 'link_used', house.visitor());
  });
});

describe('what nobody needs', () => {
  it('is not kept: pages of a megabyte, and links that are over', async () => {
    const token = signExactly(valid('frill'), ACME_KEY);
    const long = `/SSO/Link/acme?token=${token}&return_to=/${'a'.repeat(2_100)}`;
    await refused(long, 'response_invalid', 'parameter_too_long');
    const over = signExactly({ ...valid('frill'), iat: now() - 10_000 }, ACME_KEY);
    const headers = { 'sec-fetch-site': 'cross-site', origin: 'https://evil.example' };
    const reply = await visitor.send('/SSO/Link/acme', {
      method: 'POST',
      body: new URLSearchParams({ token: over }),
      headers,
    });
    expect(reply.json()).toMatchObject({ error: 'token_invalid' });
    expect(reply.setCookies).toEqual([]);
  });

  it('is not obeyed: another dialect’s custom_domain, which would move the token into an address', async () => {
    const own = await openLinkHouse({}, { hosts: ['own.acme.example'] });
    const token = signExactly(validLink('frill', own.gateway.clock.nowMs()), ACME_KEY);
    const reply = await own.visitor().go(`/SSO/Link/acme?token=${token}&custom_domain=own.acme.example`);
    expect(reply.location).toBe(`${own.gateway.url}/AcmeCorp`);
    await own.close();
  });
});

describe('a token in a request that is none', () => {
  it('does not reach the log, wherever it is tried', async () => {
    const token = signExactly(valid('invoiced'), ACME_KEY);
    const from = house.gateway.log.length;
    for (const path of [
      `/Nobody/login/${token}`,
      `/login/${token}`,
      `/globex/login/${token}`,
      `/AcmeCorp/x/login/${token}`,
      `/AcmeCorp/login%2f${token}`,
      `/Nobody/login/%65${token.slice(1)}`,
    ])
      await visitor.send(path);
    expect(JSON.stringify(house.gateway.log.slice(from))).not.toContain(token.slice(-40));
  });

  it('never reaches the app, by the gateway’s proxy, an upgrade or forward authentication', async () => {
    const seen: string[] = [];
    const { createServer } = await import('node:http');
    const app = createServer((request, response) => {
      seen.push(request.url ?? '');
      response.end('ok');
    });
    await new Promise<void>((done) => app.listen(0, '127.0.0.1', done));
    const address = app.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const behind = await openLinkHouse(
      { TRUSTED_PROXIES: '127.0.0.1' },
      { upstream: { url: `http://127.0.0.1:${port}` } },
    );
    const person = behind.visitor();
    const make = () => signExactly(validLink('frill', behind.gateway.clock.nowMs()), ACME_KEY);
    await person.send(`/AcmeCorp/page?ssoToken=${make()}`);
    for (let i = 0; i < 3; i++) await person.send('/AcmeCorp/page'); // known by now
    for (const path of [
      `/AcmeCorp/page?ssoToken=${make()}`,
      `/AcmeCorp/page?sso%54oken=${make()}`,
      `/AcmeCorp/login/${make()}`,
      `/AcmeCorp/login/${make()}/`,
      `/AcmeCorp/%6Cogin/${make()}`,
      `/AcmeCorp/sso/jwt/login/?token=${make()}`,
      `/AcmeCorp/sso/jwt/%6cogin?token=${make()}`,
    ]) {
      for (const method of ['GET', 'POST', 'HEAD', 'OPTIONS']) await person.send(path, { method });
      const upgrade = {
        connection: 'Upgrade',
        upgrade: 'websocket',
        'sec-websocket-version': '13',
        'sec-websocket-key': 'AAAAAAAAAAAAAAAAAAAAAA==',
        origin: behind.gateway.url,
      };
      await person.send(path, { headers: upgrade }).catch(() => undefined);
      const asked = await person.send('/SSO/Auth', { headers: { 'x-forwarded-uri': path } });
      expect(asked.status).toBe(401);
      expect(asked.location).toContain('/SSO/Link/acme?token=');
    }
    expect(seen.length).toBeGreaterThan(0);
    expect(seen.filter((url) => !/^\/AcmeCorp\/page$/.test(url))).toEqual([]);
    await behind.close();
    await new Promise((done) => app.close(done));
  });
});

describe('keys', () => {
  it('may be two while one is being replaced, and an old one is nothing afterwards', async () => {
    const rotated = await openLinkHouse(
      {},
      {
        links: linksYaml('placeholder-of-thirty-two-bytes-x', 'c').map((link) => ({
          ...link,
          key: ['new-key-of-at-least-16-bytes', ACME_KEY],
        })),
      },
    );
    const at = (key: string): string =>
      linkPath('frill', signExactly(validLink('frill', rotated.gateway.clock.nowMs()), key));
    for (const key of ['new-key-of-at-least-16-bytes', ACME_KEY]) {
      const person = rotated.visitor();
      await person.send(at(key));
      expect(await sessionOf(person)).toBeDefined();
    }
    const links = [{ dialect: 'frill', key: 'new-key-of-at-least-16-bytes' }];
    await rotated.gateway.writeTenant(acmeYaml(rotated.acme, { links }));
    await rotated.gateway.waitFor('tenant.changed');
    expect((await rotated.visitor().send(at(ACME_KEY))).json().error).toBe('token_invalid');
    await rotated.close();
  });
});
