/**
 * Identifiers that nobody can guess, and the digest under which a secret one may be written down.
 * Source of randomness: the operating system's CSPRNG (ASVS 7.2.3 asks for 128 bits; sessions get 256).
 */
import { createHmac, hash, randomBytes } from 'node:crypto';

/** 128 random bits as 22 characters of base64url. */
export function random128(): string {
  return randomBytes(16).toString('base64url');
}

/** 256 random bits as 43 characters of base64url. */
export function random256(): string {
  return randomBytes(32).toString('base64url');
}

/** SHA-256 as 43 characters of base64url: what the store sees of a session id or of a cookie, never the value itself. */
export function digest(value: string): string {
  return hash('sha256', value, 'base64url');
}

/** HMAC-SHA-256 as 43 characters of base64url: a value that only the holder of `secret` can foretell. */
export function keyedDigest(secret: string, value: string): string {
  return createHmac('sha256', secret).update(value).digest('base64url');
}
