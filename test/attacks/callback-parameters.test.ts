import { Readable } from 'node:stream';
import { request } from 'undici';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ACME_CALLBACK, type Asked, type House, openHouse, sessionOf, start, validClaims } from '../support/house.ts';
import type { Visitor } from '../support/visitor.ts';

/** Parameter pollution and floods: one valid answer, changed in one way. */
let house: House;
let visitor: Visitor;
let asked: Asked;
let token: string;
beforeAll(async () => {
  house = await openHouse();
});
afterAll(() => house.close());
beforeEach(async () => {
  visitor = house.visitor();
  asked = await start(visitor);
  token = await house.acme.sign(validClaims(house.acme, asked, house.gateway.clock));
});

const form = (pairs: [string, string][]) => new URLSearchParams(pairs);

describe('the callback refuses', () => {
  const cases: [string, () => URLSearchParams, string][] = [
    [
      'a doubled id_token',
      () =>
        form([
          ['id_token', token],
          ['id_token', 'x'],
          ['state', asked.state],
        ]),
      'response_invalid',
    ],
    [
      'a doubled state',
      () =>
        form([
          ['id_token', token],
          ['state', asked.state],
          ['state', 'x'],
        ]),
      'response_invalid',
    ],
    [
      'any doubled name',
      () =>
        form([
          ['id_token', token],
          ['state', asked.state],
          ['a', '1'],
          ['a', '1'],
        ]),
      'response_invalid',
    ],
    ['no id_token', () => form([['state', asked.state]]), 'response_invalid'],
    ['no state', () => form([['id_token', token]]), 'response_invalid'],
    ['nothing at all', () => form([]), 'response_invalid'],
    [
      'a token and an error',
      () =>
        form([
          ['id_token', token],
          ['state', asked.state],
          ['error', 'x'],
        ]),
      'response_invalid',
    ],
    [
      'a code that nobody asked for',
      () =>
        form([
          ['id_token', token],
          ['state', asked.state],
          ['code', 'c'],
        ]),
      'response_invalid',
    ],
    [
      'an access token that nobody asked for',
      () =>
        form([
          ['id_token', token],
          ['state', asked.state],
          ['access_token', 'c'],
        ]),
      'response_invalid',
    ],
    [
      'another issuer beside it (RFC 9207)',
      () =>
        form([
          ['id_token', token],
          ['state', asked.state],
          ['iss', 'https://evil.example'],
        ]),
      'response_invalid',
    ],
    [
      'another issuer beside an error',
      () =>
        form([
          ['error', 'x'],
          ['state', asked.state],
          ['iss', 'https://evil.example'],
        ]),
      'response_invalid',
    ],
    [
      'array-like names',
      () =>
        form([
          ['id_token[]', token],
          ['state[x]', asked.state],
        ]),
      'response_invalid',
    ],
    ['50,000 parameters', () => form(Array.from({ length: 50_000 }, (_, i) => [`p${i}`, '1'])), 'response_invalid'],
    [
      '65 parameters',
      () =>
        form([
          ['id_token', token],
          ['state', asked.state],
          ...Array.from({ length: 63 }, (_, i): [string, string] => [`p${i}`, '']),
        ]),
      'response_invalid',
    ],
    [
      'an empty token',
      () =>
        form([
          ['id_token', ''],
          ['state', asked.state],
        ]),
      'token_invalid',
    ],
  ];
  it.each(cases)('%s', async (_what, body, code) => {
    const reply = await visitor.post(ACME_CALLBACK, body());
    expect(reply.status).toBe(400);
    expect(reply.text).toContain(code);
    expect(await sessionOf(visitor)).toBeUndefined();
  });

  it('parameters that are split over URL and body', async () => {
    const reply = await visitor.post(`${ACME_CALLBACK}?state=${asked.state}`, { id_token: token });
    expect(reply.status).toBe(400);
    const both = await visitor.post(`${ACME_CALLBACK}?id_token=x`, { id_token: token, state: asked.state });
    expect(both.text).toContain('response_invalid');
  });

  it('2 MB', async () => {
    const reply = await visitor.post(ACME_CALLBACK, { id_token: 'x'.repeat(2_000_000), state: asked.state });
    expect(reply.status).toBe(413);
    expect(reply.text).toContain('request_too_large');
  });

  it('2 MB in pieces, without a length', async () => {
    const reply = await request(`${house.gateway.url}${ACME_CALLBACK}`, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: Readable.from(Array.from({ length: 32 }, () => 'x'.repeat(65_536))),
    });
    expect(reply.statusCode).toBe(413);
  });

  it.each(['application/json', 'text/plain', 'multipart/form-data; boundary=x'])('%s', async (type) => {
    const reply = await visitor.go(ACME_CALLBACK, {
      method: 'POST',
      headers: { 'content-type': type },
      body: JSON.stringify({ id_token: token, state: asked.state }),
    });
    expect(reply.status).toBe(415);
  });

  it('a URL of more than 16 KiB', async () => {
    const reply = await visitor.go(`${ACME_CALLBACK}?state=${'x'.repeat(17_000)}`);
    expect(reply.status).toBe(413);
  });
});

describe('the callback takes', () => {
  it('a content type with a charset, the issuer parameter, and parameters that it does not know', async () => {
    const reply = await visitor.go(ACME_CALLBACK, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded;charset=UTF-8' },
      body: form([
        ['id_token', token],
        ['state', asked.state],
        ['iss', house.acme.issuer],
        ['session_state', 'x'],
      ]).toString(),
    });
    expect(reply.status).toBe(303);
    expect(await sessionOf(visitor)).toBeDefined();
  });

  it('a post with Origin: null', async () => {
    const reply = await visitor.post(ACME_CALLBACK, { id_token: token, state: asked.state }, { origin: 'null' });
    expect(reply.status).toBe(303);
  });
});
