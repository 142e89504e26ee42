/**
 * The identity as a JWT that the app can verify by itself: signed by the gateway (EdDSA, RFC 8037), for one tenant, for 60 seconds.
 * The keys come out of COOKIE_KEYS, so they are the same on all replicas, survive restarts, and rotate as those do: the first
 * signs, all are published.
 */
import { createPrivateKey, createPublicKey, hkdfSync, type KeyObject } from 'node:crypto';
import { calculateJwkThumbprint, exportJWK, type JWK, SignJWT } from 'jose';
import type { Clock } from '../kernel/clock.ts';
import type { Secret } from '../kernel/secret.ts';

const LIFETIME_SECONDS = 60;
/** One that is older is made anew, so that an app has this long at the least to look at it. */
const REUSED_SECONDS = 25;
const KEPT_MAX = 20_000;
/** RFC 8410 section 7: what stands before the 32 bytes of an Ed25519 key in PKCS #8. */
const PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex');

type AssertedClaims = Readonly<Record<string, unknown>> & { readonly tenant: string; readonly sub: string };

type Made = { readonly token: Promise<string>; readonly atSeconds: number; text: string | undefined };

export type Assertions = {
  /**
   * @param id of what is asserted: the same id must mean the same claims
   * @param claimsOf the whole identity, worked out only when an assertion has to be made; `tenant` becomes the audience
   */
  readonly of: (id: string, claimsOf: () => AssertedClaims) => Promise<string>;
  /** One that is there and still good. */
  readonly atHand: (id: string) => string | undefined;
  /** RFC 7517 */
  readonly jwks: { readonly keys: readonly JWK[] };
};

export async function createAssertions(secrets: readonly Secret[], publicUrl: URL, clock: Clock): Promise<Assertions> {
  const keys = await Promise.all(secrets.map(keyOf));
  const [first] = keys;
  if (first === undefined) throw new Error('assertions need a key');
  const made = new Map<string, Made>();
  const nowSeconds = (): number => Math.floor(clock.nowMs() / 1000);

  function good(id: string): Made | undefined {
    const kept = made.get(id);
    return kept !== undefined && nowSeconds() - kept.atSeconds < REUSED_SECONDS ? kept : undefined;
  }

  return {
    jwks: { keys: keys.map(({ jwk }) => jwk) },
    atHand: (id) => good(id)?.text,
    of(id, claimsOf) {
      const kept = good(id);
      if (kept !== undefined) return kept.token;
      if (made.size >= KEPT_MAX) made.delete(made.keys().next().value ?? '');
      const claims = claimsOf();
      const atSeconds = nowSeconds();
      const token = new SignJWT({ ...claims })
        .setProtectedHeader({ alg: 'EdDSA', typ: 'JWT', kid: first.jwk.kid ?? '' })
        .setIssuer(publicUrl.origin)
        .setAudience(claims.tenant)
        .setIssuedAt(atSeconds)
        .setExpirationTime(atSeconds + LIFETIME_SECONDS)
        .sign(first.privateKey);
      const entry: Made = { token, atSeconds, text: undefined };
      made.delete(id);
      made.set(id, entry);
      token.then(
        (text) => {
          entry.text = text;
        },
        () => made.delete(id),
      );
      return token;
    },
  };
}

async function keyOf(secret: Secret): Promise<{ privateKey: KeyObject; jwk: JWK }> {
  const seed = Buffer.from(hkdfSync('sha256', secret.reveal(), '', 'gatehouse identity assertion v1', 32));
  const privateKey = createPrivateKey({ key: Buffer.concat([PKCS8_PREFIX, seed]), format: 'der', type: 'pkcs8' });
  const jwk = await exportJWK(createPublicKey(privateKey));
  return { privateKey, jwk: { ...jwk, kid: await calculateJwkThumbprint(jwk), alg: 'EdDSA', use: 'sig' } };
}
