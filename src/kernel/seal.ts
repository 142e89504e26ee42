/**
 * Values that leave the gateway and come back: encrypted and authenticated as a compact JWE (RFC 7516, `dir` with
 * A256GCM, made by jose). The first key seals, every key opens, so that rotation loses nothing. Each purpose has keys of
 * its own: what was sealed for one is nothing to another.
 */
import { hkdfSync } from 'node:crypto';
import { CompactEncrypt, compactDecrypt } from 'jose';
import { digest } from './random.ts';
import type { Secret } from './secret.ts';

export type Sealer = {
  /** JSON value -> compact JWE, of `A-Za-z0-9-_.` only */
  readonly seal: (value: unknown) => Promise<string>;
  /** compact JWE -> the value that was sealed; `undefined` for anything that we did not seal for this purpose */
  readonly open: (sealed: string) => Promise<unknown>;
};

/** @param secrets at least one, each of 32 bytes or more (settings check that); the first one seals */
export function createSealer(secrets: readonly Secret[], purpose: string): Sealer {
  const keys = secrets.map((secret) => {
    const bytes = hkdfSync('sha256', secret.reveal(), '', `gatehouse ${purpose} v1`, 32);
    const key = new Uint8Array(bytes);
    return { kid: digest(Buffer.from(key).toString('base64url')).slice(0, 6), key };
  });
  const byKid = new Map(keys.map(({ kid, key }) => [kid, key]));
  const first = keys[0];
  if (first === undefined) throw new Error('a sealer needs a key');

  return {
    async seal(value) {
      const plaintext = new TextEncoder().encode(JSON.stringify(value));
      return new CompactEncrypt(plaintext)
        .setProtectedHeader({ alg: 'dir', enc: 'A256GCM', kid: first.kid })
        .encrypt(first.key);
    },
    async open(sealed) {
      try {
        const { plaintext } = await compactDecrypt(sealed, (header) => byKid.get(header.kid ?? '') ?? first.key, {
          keyManagementAlgorithms: ['dir'],
          contentEncryptionAlgorithms: ['A256GCM'],
        });
        return JSON.parse(new TextDecoder().decode(plaintext));
      } catch {
        return undefined;
      }
    },
  };
}
