/** What a dialect is: a pure reading of claims whose signature has held. Each lives in one file; `dialects.ts` lists them. */
import type { DialectName, LinkConfig } from '../../config/links.ts';
import { type JsonObject, member } from '../../kernel/json.ts';
import { ok, type Result, refuse } from '../../kernel/result.ts';

/** What a link says, in the gateway's words. */
export type LinkSaid = {
  readonly sub: string;
  readonly email?: string | undefined;
  readonly name?: string | undefined;
  /** as they were sent: identity/identity.ts looks at their shape */
  readonly roles?: unknown;
  readonly projectId?: string | undefined;
  /** `jti`, where there is one: what the link is remembered by */
  readonly id?: string | undefined;
  readonly times: LinkTimes;
};

/** Seconds since the epoch, by the sender's clock. */
export type LinkTimes = {
  readonly issuedAt?: number | undefined;
  /** from when on it is worth nothing; `undefined`: never, which only `undated: allow` lets through */
  readonly expiresAt: number | undefined;
  /** how far ahead of now `expiresAt` may lie */
  readonly aheadMax?: number;
};

export type Dialect<Name extends DialectName = DialectName> = {
  readonly name: Name;
  readonly read: (claims: JsonObject, config: Extract<LinkConfig, { dialect: Name }>) => Result<LinkSaid>;
};

/** It travels in a URL; none of the systems that send them comes near. */
export const TOKEN_MAX_CHARACTERS = 8_192;
const TEXT_MAX_CHARACTERS = 1_024;

/** A claim that must be text. Senders in typed languages write identifiers as numbers: the seeds' own samples do. */
export function readIdentifier(claims: JsonObject, name: string): Result<string> {
  const value = member(claims, name);
  if (value === undefined || value === null || value === '') return refuse('claim_missing', { claim: name });
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return ok(String(value));
  return isText(value) ? ok(value) : refuse('claim_malformed', { claim: name });
}

export function readText(claims: JsonObject, name: string): Result<string> {
  const value = member(claims, name);
  if (value === undefined || value === null || value === '') return refuse('claim_missing', { claim: name });
  return isText(value) ? ok(value) : refuse('claim_malformed', { claim: name });
}

/** An absent claim is none; a malformed one is a refusal all the same. */
export function optional<T>(read: Result<T>): Result<T | undefined> {
  return !read.ok && read.refusal.reason === 'claim_missing' ? ok(undefined) : read;
}

/** RFC 7519 section 2: seconds since the epoch. */
export function readTime(claims: JsonObject, name: 'iat' | 'exp'): Result<number> {
  const value = member(claims, name);
  if (value === undefined || value === null) return refuse('claim_missing', { claim: name });
  const isTime = typeof value === 'number' && Number.isFinite(value) && value >= 0;
  return isTime ? ok(value) : refuse(name === 'iat' ? 'issued_at_malformed' : 'expiry_malformed');
}

type Values<T> = { readonly [Name in keyof T]: T[Name] extends Result<infer Value> ? Value : never };
type Reads = Readonly<Record<string, Result<unknown>>>;

/** All of these, or the first refusal. */
export function all<T extends Reads>(reads: T): Result<Values<T>>;
export function all(reads: Reads): Result<unknown> {
  const values: Record<string, unknown> = {};
  for (const [name, read] of Object.entries(reads)) {
    if (!read.ok) return read;
    values[name] = read.value;
  }
  return ok(values);
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value.length <= TEXT_MAX_CHARACTERS && !/\p{Cc}/u.test(value);
}
