/**
 * The keys with which an issuer signs (RFC 7517; Core 10.1, 10.1.1). Chosen by exact key id and algorithm out of the
 * issuer's own document; nothing in a token's header (`jku`, `x5u`, `jwk`, `x5c`) is ever looked at. When none fits, the
 * document is asked for again: at once a few times, then at a bounded rate, so that neither a rotation nor a flood hurts.
 */
import { type CryptoKey, importJWK, type JWK } from 'jose';
import type { Clock } from '../../kernel/clock.ts';
import { isJsonObject, type JsonObject, member } from '../../kernel/json.ts';
import { ok, type Result, refuse } from '../../kernel/result.ts';
import { OutboundError } from '../outbound.ts';
import type { KeptDocument } from './document.ts';

const KEYS_MAX = 100;
/** Forced fetches that may follow each other at once: an IdP may rotate twice in a minute. */
const FORCED_BURST = 3;
const FORCED_EVERY_MS = 30_000;

export type SigningKey = {
  readonly kid: string | undefined;
  /** Entra's word for whose tokens the key is, where it says so */
  readonly issuer: string | undefined;
  /** imported once per algorithm: the same RSA key serves RS256 and PS256 */
  readonly importFor: (algorithm: string) => Promise<CryptoKey>;
  readonly fits: (algorithm: string) => boolean;
};

/** Who asks for fresh keys: logout tokens come from anybody, so they must not use up what sign-ins need. */
export type Purpose = 'sign-in' | 'logout';

export type KeySource = {
  /** The one key that this header asks for. */
  readonly select: (header: { kid: string | undefined; alg: string }) => Promise<Result<SigningKey>>;
  /** Asks the IdP again, if the rate allows. @returns whether what `select` answers may have changed */
  readonly refetch: (purpose: Purpose) => Promise<boolean>;
  /** How many usable ones there are: for operators. */
  readonly count: () => Promise<number>;
};

export function createKeySource(document: KeptDocument<readonly SigningKey[]>, clock: Clock): KeySource {
  const allowances: Record<Purpose, () => boolean> = {
    'sign-in': createAllowance(clock),
    logout: createAllowance(clock),
  };

  return {
    count: async () => (await document.get()).length,
    async select({ kid, alg }) {
      const fitting = (await document.get()).filter((key) => key.fits(alg) && (kid === undefined || key.kid === kid));
      const [key, ...others] = fitting;
      if (key === undefined) return refuse('token_key_unknown');
      // Core 10.1: with several keys the token must say which; guessing would make one key stand for another
      if (others.length > 0) return refuse('token_key_ambiguous', { keys: fitting.length });
      return ok(key);
    },
    async refetch(purpose) {
      if (!allowances[purpose]()) return false;
      return document.refresh().then(
        () => true,
        () => false, // the kept keys stand
      );
    },
  };
}

/** A bucket of forced fetches. @returns whether one more may be made now */
function createAllowance(clock: Clock): () => boolean {
  let allowance = FORCED_BURST;
  let countedAtMs = clock.nowMs();
  return () => {
    const nowMs = clock.nowMs();
    allowance = Math.min(FORCED_BURST, allowance + Math.max(0, nowMs - countedAtMs) / FORCED_EVERY_MS);
    countedAtMs = nowMs;
    if (allowance < 1) return false;
    allowance -= 1;
    return true;
  };
}

/** One unusable key does not spoil the rest. Throws an `OutboundError` for a document without a list of keys. */
export function parseJwks(document: JsonObject): readonly SigningKey[] {
  const keys = member(document, 'keys');
  if (!Array.isArray(keys)) throw new OutboundError('has no list of keys');
  if (keys.length > KEYS_MAX) throw new OutboundError(`has more than ${KEYS_MAX} keys`);
  return keys.flatMap((jwk) => (isJsonObject(jwk) ? (signingKey(jwk) ?? []) : []));
}

const CURVES: Readonly<Record<string, string>> = { ES256: 'P-256', ES384: 'P-384', ES512: 'P-521', EdDSA: 'Ed25519' };
const RSA_MODULUS_MIN_BYTES = 256; // RFC 7518 section 3.3: 2048 bits or more

function signingKey(jwk: JsonObject): SigningKey | undefined {
  const text = (name: string): string | undefined => {
    const value = member(jwk, name);
    return typeof value === 'string' ? value : undefined;
  };
  const [kty, use, alg, crv, n] = [text('kty'), text('use'), text('alg'), text('crv'), text('n')];
  const operations = member(jwk, 'key_ops');
  const issuer = member(jwk, 'issuer');
  if (issuer !== undefined && typeof issuer !== 'string') return undefined; // whose it is, nobody can tell
  if (use !== undefined && use !== 'sig') return undefined;
  if (Array.isArray(operations) && !operations.includes('verify')) return undefined;
  if (kty === 'RSA' && Buffer.from(n ?? '', 'base64url').length < RSA_MODULUS_MIN_BYTES) return undefined;
  const publicPart: JWK = { kty: kty ?? '' };
  for (const name of ['crv', 'x', 'y', 'n', 'e'] as const) {
    const value = text(name);
    if (value !== undefined) publicPart[name] = value;
  }
  const imported = new Map<string, Promise<CryptoKey>>();
  return {
    kid: text('kid'),
    issuer,
    fits: (algorithm) =>
      (alg === undefined || alg === algorithm || (alg === 'Ed25519' && algorithm === 'EdDSA')) &&
      (CURVES[algorithm] === undefined ? kty === 'RSA' : crv === CURVES[algorithm]),
    importFor(algorithm) {
      const known = imported.get(algorithm);
      if (known !== undefined) return known;
      const fresh = importPublicKey(publicPart, algorithm);
      imported.set(algorithm, fresh);
      return fresh;
    },
  };
}

async function importPublicKey(jwk: JWK, algorithm: string): Promise<CryptoKey> {
  const key = await importJWK(jwk, algorithm);
  if (key instanceof Uint8Array) throw new Error('not a public key'); // symmetric keys have no place here
  return key;
}
