import * as client from 'openid-client';
import { beforeAll, describe, expect, it } from 'vitest';
import type { OidcConfig } from '../../src/config/oidc.ts';
import { keepDocument } from '../../src/connections/oidc/document.ts';
import { verifyIdToken } from '../../src/connections/oidc/id-token.ts';
import { createKeySource, parseJwks } from '../../src/connections/oidc/keys.ts';
import type { Reason } from '../../src/kernel/refusal.ts';
import { type Claims, createSigner, type Signer, signWith } from '../support/adversary.ts';
import { createStillClock } from '../support/fake-clock.ts';
import { oidcConfig } from '../support/oidc-config.ts';

/** One valid token, changed in one way: OpenID Connect Core 3.1.3.7 with 3.2.2.11, and what lies beyond. */
const ISSUER = 'https://idp.example/tenant';
const CLIENT = 'gatehouse';
const clock = createStillClock(Math.floor(Date.now() / 1000) * 1000);
const now = clock.nowMs() / 1000;

const CONFIG = oidcConfig({ issuer: ISSUER, client_id: CLIENT });

const CLAIMS: Claims = { iss: ISSUER, aud: CLIENT, sub: 'ada', nonce: 'n-1', iat: now, exp: now + 300 };

const signers: Record<string, Signer> = {};
let rsa: Signer;
beforeAll(async () => {
  for (const alg of ['RS256', 'PS256', 'ES256', 'EdDSA', 'RS512']) signers[alg] = await createSigner(alg, `k-${alg}`);
  rsa = signers.RS256 as Signer;
});

function verify(token: string, config: Partial<OidcConfig> = {}, keys = Object.values(signers).map(({ jwk }) => jwk)) {
  const document = keepDocument(
    async () => parseJwks({ keys }),
    clock,
    () => {},
  );
  const expected = { config: { ...CONFIG, ...config }, nonce: 'n-1', attemptStartedAtMs: clock.nowMs() - 60_000 };
  return verifyIdToken(token, expected, createKeySource(document, clock), clock.nowMs());
}

async function reasonFor(token: string, config: Partial<OidcConfig> = {}, keys?: Parameters<typeof verify>[2]) {
  const result = await verify(token, config, keys);
  return result.ok ? 'accepted' : result.refusal.reason;
}

const b64 = (text: string): string => Buffer.from(text).toString('base64url');

describe('a valid ID token', () => {
  it('is accepted, with its claims', async () => {
    const result = await verify(await signWith(rsa, { ...CLAIMS, roles: ['a'] }));
    expect(result).toMatchObject({ ok: true, value: { issuer: ISSUER, connection: 'oidc', claims: { roles: ['a'] } } });
  });

  it.each(['PS256', 'ES256', 'EdDSA', 'RS512'] as const)(
    'may be signed with %s where the tenant says so',
    async (alg) => {
      const token = await signWith(signers[alg] as Signer, CLAIMS);
      expect(await reasonFor(token, { token_algs: [alg] })).toBe('accepted');
      expect(await reasonFor(token)).toBe('token_algorithm');
    },
  );

  it.each([['JWT'], ['jwt'], [undefined]])('may have the type %s', async (typ) => {
    expect(await reasonFor(await signWith(rsa, CLAIMS, { typ }))).toBe('accepted');
  });

  it('needs no key id where there is one key', async () => {
    expect(await reasonFor(await signWith(rsa, CLAIMS, { kid: undefined }), {}, [rsa.jwk])).toBe('accepted');
  });

  it('may have further audiences that the tenant trusts, if it says that it was issued to us', async () => {
    const config = { trusted_audiences: ['other'] };
    const aud = [CLIENT, 'other'];
    expect(await reasonFor(await signWith(rsa, { ...CLAIMS, aud, azp: CLIENT }), config)).toBe('accepted');
    expect(await reasonFor(await signWith(rsa, { ...CLAIMS, aud }), config)).toBe('authorized_party_missing');
    expect(await reasonFor(await signWith(rsa, { ...CLAIMS, aud: [CLIENT] }))).toBe('accepted');
  });

  it('meets max_age and acr_values where they were sent', async () => {
    const config = { max_age: 60, acr_values: 'silver gold' };
    expect(await reasonFor(await signWith(rsa, { ...CLAIMS, auth_time: now - 60, acr: 'gold' }), config)).toBe(
      'accepted',
    );
  });

  it('may have an auth_time of AD FS where the tenant has the quirk', async () => {
    const token = await signWith(rsa, { ...CLAIMS, auth_time: new Date((now - 5) * 1000).toISOString() });
    expect(await reasonFor(token, { max_age: 60, quirks: ['lenient_auth_time'] })).toBe('accepted');
    expect(await reasonFor(token, { max_age: 60 })).toBe('auth_time_malformed');
  });
});

describe('claims', () => {
  const cases: [string, Claims, Reason, Partial<OidcConfig>?][] = [
    ['another issuer', { iss: 'https://evil.example' }, 'issuer_mismatch'],
    ['an issuer with one slash more', { iss: `${ISSUER}/` }, 'issuer_mismatch'],
    ['an issuer in other case', { iss: ISSUER.toUpperCase() }, 'issuer_mismatch'],
    ['an issuer with the default port', { iss: 'https://idp.example:443/tenant' }, 'issuer_mismatch'],
    ['no issuer', { iss: undefined }, 'issuer_mismatch'],
    ['an issuer list', { iss: [ISSUER] }, 'issuer_mismatch'],
    ['another audience', { aud: 'other' }, 'audience_mismatch'],
    ['no audience', { aud: undefined }, 'audience_malformed'],
    ['an empty audience list', { aud: [] }, 'audience_mismatch'],
    ['an audience that is no text', { aud: [CLIENT, 7] }, 'audience_malformed'],
    ['an audience object', { aud: { [CLIENT]: true } }, 'audience_malformed'],
    ['an untrusted further audience', { aud: [CLIENT, 'other'], azp: CLIENT }, 'audience_untrusted'],
    ['another authorized party', { azp: 'other' }, 'authorized_party_mismatch'],
    ['an authorized party that is no text', { azp: [CLIENT] }, 'authorized_party_mismatch'],
    ['an expiry beyond the tolerance', { exp: now - 30 }, 'expired'],
    ['no expiry', { exp: undefined }, 'expiry_malformed'],
    ['an expiry as text', { exp: String(now + 300) }, 'expiry_malformed'],
    ['a start in the future', { nbf: now + 31 }, 'not_yet_valid'],
    ['a start as text', { nbf: 'soon' }, 'not_before_malformed'],
    ['no time of issue', { iat: undefined }, 'issued_at_malformed'],
    ['a time of issue as text', { iat: String(now) }, 'issued_at_malformed'],
    ['a time of issue in the future', { iat: now + 31 }, 'issued_in_future'],
    ['a time of issue before the attempt', { iat: now - 60 - 31 }, 'issued_before_attempt'],
    ['another nonce', { nonce: 'n-2' }, 'nonce_mismatch'],
    ['no nonce', { nonce: undefined }, 'nonce_mismatch'],
    ['a nonce list', { nonce: ['n-1'] }, 'nonce_mismatch'],
    ['an auth_time as text', { auth_time: 'yesterday' }, 'auth_time_malformed'],
    ['no auth_time although max_age was sent', {}, 'auth_time_malformed', { max_age: 60 }],
    ['an auth_time that is too old', { auth_time: now - 91 }, 'auth_time_too_old', { max_age: 60 }],
    ['an auth_time in the future', { auth_time: now + 31 }, 'auth_time_too_old', { max_age: 60 }],
    ['no acr although it was asked for', {}, 'acr_mismatch', { acr_values: 'gold' }],
    ['another acr', { acr: 'bronze' }, 'acr_mismatch', { acr_values: 'gold' }],
    ['a part of an acr', { acr: 'ol' }, 'acr_mismatch', { acr_values: 'silver gold' }],
    ['two acrs in one', { acr: 'r g' }, 'acr_mismatch', { acr_values: 'silver gold' }],
  ];
  it.each(cases)('with %s are refused', async (_what, change, reason, config = {}) => {
    const claims = Object.fromEntries(
      Object.entries({ ...CLAIMS, ...change }).filter(([, value]) => value !== undefined),
    );
    expect(await reasonFor(await signWith(rsa, claims), config)).toBe(reason);
  });

  it.each([
    ['exp', { exp: now - 29 }],
    ['nbf', { nbf: now + 30 }],
    ['iat ahead', { iat: now + 30 }],
    ['iat behind', { iat: now - 60 - 30 }],
  ])('within the tolerance are accepted: %s', async (_what, change) => {
    expect(await reasonFor(await signWith(rsa, { ...CLAIMS, ...change }))).toBe('accepted');
  });
});

describe('the form and the signature', () => {
  const parts = async (): Promise<[string, string, string]> => {
    const [header = '', payload = '', signature = ''] = (await signWith(rsa, CLAIMS)).split('.');
    return [header, payload, signature];
  };

  it('refuses a changed payload', async () => {
    const [header, , signature] = await parts();
    expect(await reasonFor(`${header}.${b64(JSON.stringify({ ...CLAIMS, sub: 'eve' }))}.${signature}`)).toBe(
      'token_signature',
    );
  });

  it.each(['none', 'None', 'NONE', 'nOnE', 'HS256', 'hs256', 'rs256', ''])(
    'refuses the algorithm "%s"',
    async (alg) => {
      const [, payload, signature] = await parts();
      for (const end of [signature, ''])
        expect(await reasonFor(`${b64(JSON.stringify({ alg, kid: rsa.kid }))}.${payload}.${end}`)).toMatch(
          /^token_(algorithm|not_compact)$/,
        );
    },
  );

  it('refuses a token that is signed with the public key as a shared secret (algorithm confusion)', async () => {
    const { createHmac } = await import('node:crypto');
    const signed = `${b64(JSON.stringify({ alg: 'HS256', kid: rsa.kid }))}.${b64(JSON.stringify(CLAIMS))}`;
    const mac = createHmac('sha256', JSON.stringify(rsa.jwk)).update(signed).digest('base64url');
    expect(await reasonFor(`${signed}.${mac}`)).toBe('token_algorithm');
  });

  it('refuses another key under the same id', async () => {
    const other = await createSigner('RS256', rsa.kid);
    expect(await reasonFor(await signWith(other, CLAIMS))).toBe('token_signature');
  });

  it('never uses a key that the token brings or names', async () => {
    const own = await createSigner('RS256', 'evil');
    const header = { jwk: own.jwk, jku: 'https://evil.example/jwks', x5u: 'https://evil.example/x', x5c: ['AAAA'] };
    expect(await reasonFor(await signWith(own, CLAIMS, header))).toBe('token_key_unknown');
    expect(await reasonFor(await signWith(own, CLAIMS, { ...header, kid: rsa.kid }))).toBe('token_signature');
  });

  it('refuses to guess among several keys', async () => {
    const other = await createSigner('RS256', 'another');
    const token = await signWith(rsa, CLAIMS, { kid: undefined });
    expect(await reasonFor(token, {}, [rsa.jwk, other.jwk])).toBe('token_key_ambiguous');
  });

  it('uses no key that is meant for something else, or too short', async () => {
    const token = await signWith(rsa, CLAIMS);
    const { n: _, ...rest } = rsa.jwk;
    const cases = [
      { ...rsa.jwk, use: 'enc' },
      { ...rsa.jwk, alg: 'RS512' },
      { ...rsa.jwk, key_ops: ['encrypt'] },
      { ...rest, n: 'AQAB' },
    ];
    for (const jwk of cases) expect(await reasonFor(token, {}, [jwk])).toBe('token_key_unknown');
  });

  it.each(['at+jwt', 'logout+jwt', 'JWT+x', 'secevent+jwt'])('refuses the type %s', async (typ) => {
    expect(await reasonFor(await signWith(rsa, CLAIMS, { typ }))).toBe('token_type');
  });

  it.each([7, null, ['JWT'], { a: 'JWT' }])('refuses a type that is no text: %j', async (typ) => {
    const { FlattenedSign } = await import('jose');
    const signed = await new FlattenedSign(new TextEncoder().encode(JSON.stringify(CLAIMS)))
      .setProtectedHeader({ alg: 'RS256', kid: rsa.kid ?? '', typ: typ as unknown as string })
      .sign(rsa.privateKey);
    expect(await reasonFor(`${signed.protected}.${signed.payload}.${signed.signature}`)).toBe('token_type');
  });

  it('refuses critical headers', async () => {
    const header = b64(JSON.stringify({ alg: 'RS256', kid: rsa.kid, crit: ['b64'], b64: true }));
    const [, payload, signature] = await parts();
    expect(await reasonFor(`${header}.${payload}.${signature}`)).toBe('token_critical_header');
  });

  it('refuses members that are named twice, in the header and in the payload, however they are written', async () => {
    const [header, payload, signature] = await parts();
    const doubledHeader = b64(`{"alg":"RS256","kid":"${rsa.kid}","alg"   \n:"RS256"}`);
    expect(await reasonFor(`${doubledHeader}.${payload}.${signature}`)).toBe('token_header_malformed');
    const { CompactSign } = await import('jose');
    for (const text of [
      `{"sub":"eve",${JSON.stringify(CLAIMS).slice(1)}`,
      `{"\\u0073ub":"eve",${JSON.stringify(CLAIMS).slice(1)}`,
      `{"x":{"a":[{"b":1,"b":2}]},${JSON.stringify(CLAIMS).slice(1)}`,
    ]) {
      const token = await new CompactSign(new TextEncoder().encode(text))
        .setProtectedHeader({ alg: 'RS256', kid: rsa.kid ?? '' })
        .sign(rsa.privateKey);
      expect(await reasonFor(token)).toBe('token_payload_malformed');
    }
    expect(header).not.toBe('');
  });

  it.each([
    ['', 'token_not_compact'],
    ['a.b', 'token_not_compact'],
    ['a.b.c.d', 'token_not_compact'],
    ['a.b.c.d.e', 'token_encrypted'],
    [' a.b.c', 'token_not_compact'],
    ['a.b.c\n', 'token_not_compact'],
    ['a=.b.c', 'token_not_compact'],
    ['{"payload":"x"}', 'token_not_compact'],
    ['e30.e30.AA', 'token_algorithm'],
    ['W10.e30.AA', 'token_header_malformed'],
    ['____.e30.AA', 'token_header_malformed'],
    ['x'.repeat(600_000), 'token_too_large'],
  ])('refuses what is no compact JWS: %#', async (token, reason) => {
    expect(await reasonFor(token)).toBe(reason);
  });
});

describe('beside openid-client, the certified library', () => {
  it('accepts nothing that the library refuses', async () => {
    const configuration = new client.Configuration(
      { issuer: ISSUER, jwks_uri: 'https://idp.example/jwks', authorization_endpoint: 'https://idp.example/a' },
      CLIENT,
      { id_token_signed_response_alg: 'RS256', [client.clockTolerance]: 30 },
    );
    configuration[client.customFetch] = async () => Response.json({ keys: [rsa.jwk] });
    client.useIdTokenResponseType(configuration);
    const library = async (token: string): Promise<boolean> => {
      const body = new URLSearchParams({ id_token: token, state: 's' });
      const request = new Request('https://rp.example/cb', { method: 'POST', body });
      return client.implicitAuthentication(configuration, request, 'n-1', { expectedState: 's' }).then(
        () => true,
        () => false,
      );
    };
    const changes: Claims[] = [{}];
    for (const name of ['iss', 'aud', 'sub', 'nonce', 'iat', 'exp', 'nbf', 'azp', 'auth_time'])
      for (const value of [
        undefined,
        null,
        '',
        'x',
        0,
        -1,
        now,
        now + 3600,
        now - 3600,
        [],
        [CLIENT],
        [CLIENT, 'x'],
        {},
        true,
      ])
        changes.push({ [name]: value });
    let accepted = 0;
    for (const change of changes) {
      const token = await signWith(rsa, JSON.parse(JSON.stringify({ ...CLAIMS, ...change })));
      // `sub` is judged with the other claims about the person (identity/identity.ts)
      const ours = 'sub' in change ? 'not ours' : await reasonFor(token, {}, [rsa.jwk]);
      if (ours !== 'accepted') continue;
      accepted += 1;
      expect({ change, library: await library(token) }).toEqual({ change, library: true });
    }
    expect(accepted).toBeGreaterThan(5);
  });
});
