import { createServer } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseJwks } from '../../src/connections/oidc/keys.ts';
import { createProviders } from '../../src/connections/oidc/provider.ts';
import { createOutbound, type Outbound } from '../../src/connections/outbound.ts';
import type { JsonObject } from '../../src/kernel/json.ts';
import { createSigner } from '../support/adversary.ts';
import { createStillClock } from '../support/fake-clock.ts';
import { oidcConfig } from '../support/oidc-config.ts';

const ISSUER = 'https://idp.example';
const DOCUMENT = { issuer: ISSUER, authorization_endpoint: `${ISSUER}/a`, jwks_uri: `${ISSUER}/jwks` };
const CONFIG = oidcConfig({ issuer: ISSUER, client_id: 'x' });

function providersOver(documents: Record<string, JsonObject>) {
  const asked: string[] = [];
  const outbound: Outbound = {
    async getJson(url) {
      asked.push(url);
      return documents[url] ?? {};
    },
    fetch: () => Promise.reject(new Error('nobody asks here')),
    close: async () => {},
  };
  return { asked, providers: createProviders(outbound, createStillClock(), () => {}) };
}

describe('a provider', () => {
  const url = `${ISSUER}/.well-known/openid-configuration`;

  it('is shared by the tenants of one issuer: asked once', async () => {
    const { asked, providers } = providersOver({ [url]: DOCUMENT });
    await Promise.all(
      Array.from({ length: 200 }, (_, i) => providers.of({ ...CONFIG, client_id: `c${i}` }).metadata()),
    );
    expect(asked).toEqual([url]);
  });

  it('is not shared with a tenant that has another discovery URL, or that may be insecure', async () => {
    const elsewhere = 'https://other.example/doc';
    const insecure = { ...DOCUMENT, jwks_uri: 'http://idp.example/jwks' };
    const { providers } = providersOver({ [url]: insecure, [elsewhere]: { ...DOCUMENT, jwks_uri: `${ISSUER}/other` } });
    await expect(providers.of({ ...CONFIG, allow_insecure: true }).metadata()).resolves.toMatchObject({
      jwks_uri: 'http://idp.example/jwks',
    });
    await expect(providers.of(CONFIG).metadata()).rejects.toMatchObject({ code: 'idp_unavailable' });
    expect(await providers.of({ ...CONFIG, discovery_url: elsewhere }).metadata()).toMatchObject({
      jwks_uri: `${ISSUER}/other`,
    });
  });

  it.each(['http://idp.example/jwks', 'https://idp.example/a#f', 'https://u@idp.example/a', 'ftp://x', 'x', 7, null])(
    'may not name %s as an endpoint',
    async (endpoint) => {
      for (const name of ['jwks_uri', 'authorization_endpoint']) {
        const { providers } = providersOver({ [url]: { ...DOCUMENT, [name]: endpoint } });
        await expect(providers.of(CONFIG).metadata()).rejects.toMatchObject({ code: 'idp_unavailable' });
      }
    },
  );

  it('with a slash at its end is asked at the same place', async () => {
    const { asked, providers } = providersOver({ [url]: { ...DOCUMENT, issuer: `${ISSUER}/` } });
    await providers.of({ ...CONFIG, issuer: `${ISSUER}/` }).metadata();
    expect(asked).toEqual([url]);
  });

  it('has at most a hundred keys', async () => {
    const { jwk } = await createSigner();
    expect(() => parseJwks({ keys: Array.from({ length: 101 }, () => jwk) })).toThrow('more than 100');
    expect(
      parseJwks({ keys: [null, 7, {}, { kty: 'oct', k: 'AAAA' }, jwk] }).filter((key) => key.fits('RS256')),
    ).toHaveLength(1);
  });

  it('with keys of several kinds needs no key id where one fits', async () => {
    const [rsa, ec] = [await createSigner('RS256'), await createSigner('ES256')];
    const bare = [rsa, ec].map(({ jwk: { alg: _, kid: __, ...rest } }) => rest);
    expect(parseJwks({ keys: bare }).filter((key) => key.fits('RS256'))).toHaveLength(1);
    expect(parseJwks({ keys: bare }).filter((key) => key.fits('ES384'))).toHaveLength(0);
  });
});

describe('the way out', () => {
  const outbound = createOutbound({ has: () => false });
  let base: string;
  let respond: (response: import('node:http').ServerResponse) => void;
  let requests = 0;
  const server = createServer((_request, response) => {
    requests += 1;
    respond(response);
  });
  beforeAll(async () => {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    base = `http://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`;
  });
  afterAll(async () => {
    await outbound.close();
    server.close();
    server.closeAllConnections();
  });

  it('leads to no special address, however it is written', async () => {
    for (const host of [
      '169.254.169.254',
      '2852039166',
      '0xa9fea9fe',
      '[::ffff:10.0.0.1]',
      '10.0.0.1',
      '[fd00::1]',
      '0.0.0.0',
    ])
      await expect(outbound.getJson(`http://${host}/`)).rejects.toThrow('not allowed');
  });

  it('refuses what is too large, however it comes', async () => {
    const whole = JSON.stringify({ ...DOCUMENT, filler: 'x'.repeat(2_000_000) });
    respond = (response) => void response.end(whole);
    await expect(outbound.getJson(base)).rejects.toThrow();
    respond = (response) => {
      for (let at = 0; at < whole.length; at += 65_536) response.write(whole.slice(at, at + 65_536));
      response.end();
    };
    await expect(outbound.getJson(base)).rejects.toThrow();
  });

  it.each([201, 203, 204, 301, 302, 307, 400, 500])(
    'takes nothing but 200: not %i, whatever its body',
    async (status) => {
      requests = 0;
      respond = (response) =>
        void response.writeHead(status, { location: base }).end(status === 204 ? undefined : JSON.stringify(DOCUMENT));
      await expect(outbound.getJson(base)).rejects.toThrow(`answered ${status}`);
      expect(requests).toBe(1);
    },
  );

  it('unpacks nothing', async () => {
    respond = (response) =>
      void response.writeHead(200, { 'content-encoding': 'gzip' }).end(Buffer.from('1f8b', 'hex'));
    await expect(outbound.getJson(base)).rejects.toThrow();
  });

  it('gives up on an answer that drips', { timeout: 15_000 }, async () => {
    respond = (response) => {
      response.writeHead(200);
      const drip = setInterval(() => response.write(' '), 200);
      response.on('close', () => clearInterval(drip));
    };
    await expect(outbound.getJson(base)).rejects.toThrow();
  });
});
