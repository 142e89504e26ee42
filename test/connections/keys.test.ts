import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createSigner } from '../support/adversary.ts';
import { ACME_CALLBACK, type House, openHouse, sessionOf, signIn, start, validClaims } from '../support/house.ts';

/** Keys come from the IdP when needed, survive its outages, follow its rotations, and cannot be made to flood it. */
let house: House;
beforeAll(async () => {
  house = await openHouse();
});
afterAll(() => house.close());
afterEach(() => {
  house.acme.misbehave = undefined;
  house.gateway.clock.advance(10 * 60_000); // documents are stale, the burst is whole again
});

async function signInWith(signer?: Parameters<typeof house.acme.sign>[2]): Promise<number> {
  const visitor = house.visitor();
  const asked = await start(visitor);
  const token = await house.acme.sign(validClaims(house.acme, asked, house.gateway.clock), {}, signer);
  return (await visitor.post(ACME_CALLBACK, { id_token: token, state: asked.state })).status;
}

describe('keys', () => {
  it('are asked for once by a hundred sign-ins at the same time', async () => {
    const visitors = Array.from({ length: 100 }, () => house.visitor());
    const answers = await Promise.all(
      visitors.map(async (visitor) => {
        const asked = await start(visitor);
        const token = await house.acme.sign(validClaims(house.acme, asked, house.gateway.clock));
        return { visitor, form: { id_token: token, state: asked.state } };
      }),
    );
    const answered = house.acme.requests.jwks;
    const replies = await Promise.all(answers.map(({ visitor, form }) => visitor.post(ACME_CALLBACK, form)));
    expect(replies.every(({ status }) => status === 303)).toBe(true);
    expect(house.acme.requests.jwks - answered).toBe(1);
  });

  it('that rotated a second ago are picked up at once', async () => {
    expect(await signInWith()).toBe(303);
    for (const _again of [1, 2, 3]) {
      await house.acme.rotate();
      expect(await signInWith()).toBe(303);
    }
  });

  it('that rotated under the same id, or without one, are picked up at once too', async () => {
    expect(await signInWith()).toBe(303);
    house.acme.signer = await createSigner('RS256', house.acme.signer.kid);
    house.acme.keys = [house.acme.signer.jwk];
    expect(await signInWith()).toBe(303);
  });

  it('are not asked for more than a few times by a flood of unknown key ids', async () => {
    await signInWith();
    const before = house.acme.requests.jwks;
    const stranger = await createSigner();
    for (const _again of Array(15).keys()) expect(await signInWith(stranger)).toBe(400);
    expect(house.acme.requests.jwks - before).toBeLessThanOrEqual(3);
    house.gateway.clock.advance(30_000);
    await signInWith(stranger);
    await signInWith(stranger);
    expect(house.acme.requests.jwks - before).toBeLessThanOrEqual(4);
  });

  it('are never asked for because of a request without a live attempt', async () => {
    await signInWith();
    const before = house.acme.requests.jwks;
    const token = await house.acme.sign({ iss: house.acme.issuer }, {}, await createSigner());
    for (const state of ['x', '']) await house.visitor().post(ACME_CALLBACK, { id_token: token, state });
    expect(house.acme.requests.jwks).toBe(before);
  });

  it('that are kept serve while the IdP is down', async () => {
    await signInWith();
    house.gateway.clock.advance(11 * 60_000);
    house.acme.misbehave = (_request, response) => void response.writeHead(503).end();
    expect(await signInWith()).toBe(303);
    const [stale] = house.gateway.events('idp.keys_stale');
    expect(stale).toMatchObject({ issuer: house.acme.issuer });
    expect(stale).not.toHaveProperty('tenant'); // it is every tenant's of that issuer
    expect(stale).not.toHaveProperty('request_id');
    house.gateway.clock.advance(25 * 3_600_000);
    expect((await house.visitor().go('/AcmeCorp')).status).toBe(503); // not for ever
  });
});

describe('an IdP that', () => {
  const faults: [string, House['acme']['misbehave']][] = [
    ['answers 500', (_, response) => void response.writeHead(500).end('oops')],
    ['redirects', (_, response) => void response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end()],
    ['answers HTML', (_, response) => void response.end('<html>')],
    ['answers a list', (_, response) => void response.end('[]')],
    ['answers 2 MB', (_, response) => void response.end(`{"x":"${'x'.repeat(2_000_000)}"}`)],
    ['hangs up', (request) => void request.socket.destroy()],
    [
      'names another issuer',
      (_, response) => void response.end(JSON.stringify({ ...house.acme.discovery, issuer: 'https://x.example' })),
    ],
    [
      'has no authorization endpoint',
      (_, response) => void response.end(JSON.stringify({ ...house.acme.discovery, authorization_endpoint: 7 })),
    ],
    [
      'sends people to a script',
      (_, response) =>
        void response.end(JSON.stringify({ ...house.acme.discovery, authorization_endpoint: 'javascript:alert(1)' })),
    ],
    [
      'points at another machine’s inside',
      (_, response) =>
        void response.end(JSON.stringify({ ...house.acme.discovery, jwks_uri: 'http://169.254.169.254/latest' })),
    ],
  ];
  it.each(faults)('%s makes a 503 of its own tenant, and of nobody else', async (_what, fault) => {
    house.gateway.clock.advance(25 * 3_600_000);
    house.acme.misbehave = fault;
    const reply = await house.visitor().go('/AcmeCorp');
    expect(reply.status).toBe(503);
    expect(reply.headers['retry-after']).toMatch(/^\d+$/);
    expect(reply.text).toContain('idp_unavailable');
    expect((await house.visitor().go('/globex')).status).toBe(303);
    house.acme.misbehave = undefined;
    expect(await signInWith()).toBe(303); // and comes back by itself
  });

  it('is down when the answer comes makes a 503 without a session', async () => {
    house.gateway.clock.advance(25 * 3_600_000);
    const visitor = house.visitor();
    house.acme.misbehave = (request, response) => {
      if (request.url === '/jwks') response.writeHead(500).end();
      else response.end(JSON.stringify(house.acme.discovery));
    };
    const reply = await signIn(house, visitor);
    expect(reply.status).toBe(503);
    expect(await sessionOf(visitor)).toBeUndefined();
  });
});
