import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Claims, createSigner, type Signer } from '../support/adversary.ts';
import { ACME_CALLBACK, type Asked, type House, openHouse, sessionOf, start, validClaims } from '../support/house.ts';
import type { Reply, Visitor } from '../support/visitor.ts';

/** The same cases in both flows: which way an ID token came changes nothing of what is asked of it. */
type Token = { readonly claims?: Claims; readonly header?: Claims; readonly signer?: Signer };

const CASES: readonly [string, Token, string, string][] = [
  ['another nonce', { claims: { nonce: 'other' } }, 'token_invalid', 'nonce_mismatch'],
  ['no nonce', { claims: { nonce: undefined } }, 'token_invalid', 'nonce_mismatch'],
  ['another audience', { claims: { aud: 'somebody' } }, 'token_invalid', 'audience_mismatch'],
  ['a further audience', { claims: { aud: ['gatehouse-acme', 'x'] } }, 'token_invalid', 'audience_untrusted'],
  ['another authorized party', { claims: { azp: 'somebody' } }, 'token_invalid', 'authorized_party_mismatch'],
  ['another issuer', { claims: { iss: 'https://evil.example' } }, 'token_invalid', 'issuer_mismatch'],
  ['an expired token', { claims: { exp: 1 } }, 'token_invalid', 'expired'],
  ['a token without an end', { claims: { exp: undefined } }, 'token_invalid', 'expiry_malformed'],
  ['a token of before', { claims: { iat: 1_000 } }, 'token_invalid', 'issued_before_attempt'],
  ['a token of tomorrow', { claims: { iat: 99_999_999_999 } }, 'token_invalid', 'issued_in_future'],
  ['a time as text', { claims: { auth_time: '2026-01-01T00:00:00Z' } }, 'token_invalid', 'auth_time_malformed'],
  ['a logout token', { header: { typ: 'logout+jwt' } }, 'token_invalid', 'token_type'],
  ['no sub', { claims: { sub: undefined } }, 'claims_invalid', 'claim_missing'],
  ['no e-mail', { claims: { email: undefined } }, 'claims_invalid', 'claim_missing'],
  ['no roles', { claims: { roles: undefined } }, 'claims_invalid', 'claim_missing'],
  ['no role that counts', { claims: { roles: ['chess'] } }, 'no_groups', 'no_groups'],
];

describe.each([
  { flow: 'implicit', oidc: {} },
  { flow: 'code', oidc: { flow: 'code', client_secret: 'a-secret-of-acme-alone' } },
])('by the $flow flow', ({ flow, oidc }) => {
  let house: House;
  let visitor: Visitor;
  beforeAll(async () => {
    house = await openHouse({ acmeOidc: oidc });
    house.acme.discovery.token_endpoint = `${house.acme.issuer}/token`;
  });
  afterAll(() => house.close());
  beforeEach(() => {
    visitor = house.visitor();
  });

  async function arrive({ claims, header, signer }: Token, asked?: Asked): Promise<Reply> {
    const { state, ...rest } = asked ?? (await start(visitor));
    const valid = validClaims(house.acme, { state, ...rest }, house.gateway.clock, claims);
    const id_token = await house.acme.sign(valid, header, signer);
    if (flow === 'implicit') return visitor.post(ACME_CALLBACK, { id_token, state }, { accept: 'application/json' });
    const body = { access_token: 'a', token_type: 'Bearer', id_token };
    house.acme.endpoints.set('/token', () => ({ body }));
    return visitor.post(ACME_CALLBACK, { code: 'c', state }, { accept: 'application/json' });
  }

  const refusal = () => house.gateway.events('sign_in.refused').at(-1);

  it('a token that holds signs in, here and nowhere else', async () => {
    expect((await arrive({})).status).toBe(303);
    expect(await sessionOf(visitor)).toMatchObject({ sub: 'ada', groups: ['billing-admins', 'invoice-readers'] });
    expect(await sessionOf(visitor, 'globex')).toBeUndefined();
  });

  it.each(CASES)('%s is refused', async (_what, token, error, reason) => {
    await arrive(token);
    expect(refusal()).toMatchObject({ tenant: 'acme', error, reason });
    expect(await sessionOf(visitor)).toBeUndefined();
  });

  it('a signature of somebody else is refused', async () => {
    await arrive({ signer: await createSigner('RS256', house.acme.signer.kid) });
    expect(refusal()).toMatchObject({ error: 'token_invalid', reason: 'token_signature' });
    expect(await sessionOf(visitor)).toBeUndefined();
  });

  it('an algorithm that the tenant does not accept is refused', async () => {
    const signer = await createSigner('ES256');
    house.acme.keys = [...house.acme.keys, signer.jwk];
    await arrive({ signer });
    expect(refusal()).toMatchObject({ reason: 'token_algorithm', algorithm: 'ES256', accepted: 'RS256' });
  });

  it('keys that were rotated a moment ago are picked up', async () => {
    await arrive({});
    await house.acme.rotate();
    visitor = house.visitor();
    expect((await arrive({})).status).toBe(303);
    expect(await sessionOf(visitor)).toMatchObject({ sub: 'ada' });
  });
});
