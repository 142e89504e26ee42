/**
 * One sign-in under way. Everything about it travels in `state`, sealed; the browser keeps one small secret in a cookie; the
 * server keeps nothing until the answer comes, and then only that it came (docs/decisions/0001-attempt.md).
 *
 * The cookie's secret makes the nonce (Core 15.5.2), so that neither `state` alone nor the cookie alone is enough, and a
 * digest of it in `state` ties the two together. A browser that has such a cookie gets no other; tabs that start at the
 * same instant in a fresh browser get one each, under different names, and all of them work.
 */
import { z } from 'zod';
import type { Clock } from '../kernel/clock.ts';
import { readCookies } from '../kernel/cookie-header.ts';
import { digest, keyedDigest, random128, random256 } from '../kernel/random.ts';
import { ok, type Result, refuse } from '../kernel/result.ts';
import type { Sealer } from '../kernel/seal.ts';
import { keys } from '../storage/keys.ts';
import type { Store } from '../storage/store.ts';
import type { Place } from '../tenants/registry.ts';
import type { Tenant } from '../tenants/tenant.ts';
import { parseReturnPath, type ReturnPath } from './return-path.ts';

export const ATTEMPT_LIFETIME_MS = 10 * 60_000;
const COOKIE_PREFIX = '__Host-gatehouse-attempt-';
const COOKIE_VALUE = /^[\w-]{43}$/;
/** Tabs that a browser restores at once; the rest of a crafted header is not looked at. */
const COOKIES_MAX = 64;
/** A sealed state with the longest return path stays below this. */
const STATE_MAX_CHARACTERS = 8_192;

export type Attempt = {
  readonly id: string;
  readonly nonce: string;
  /** RFC 7636: proves at the token endpoint that the browser that started it is the one that came back */
  readonly codeVerifier: string;
  readonly startedAtMs: number;
  readonly returnPath: ReturnPath;
  /** automatic new starts that led here */
  readonly rounds: number;
  /** digest of the session that the browser had when it started */
  readonly previous: string | undefined;
  /** whether it asks for that session's identity again, silently, instead of making a new one */
  readonly renews: boolean;
  readonly bindingDigest: string;
};

export type Start = Pick<Attempt, 'returnPath' | 'rounds' | 'previous' | 'renews'>;

export type Begun = {
  readonly state: string;
  readonly nonce: string;
  readonly codeVerifier: string;
  /** to be set, anew or again, so that it lives as long as this attempt */
  readonly cookie: { readonly name: string; readonly value: string };
};

/** What an unfit state still told, for a new start; present when it is ours and this tenant's. */
export type Remains = Pick<Attempt, 'returnPath' | 'rounds' | 'startedAtMs'>;

export type Attempts = {
  readonly begin: (place: Place, cookieHeader: string | undefined, start: Start) => Promise<Begun>;
  readonly open: (
    place: Place,
    cookieHeader: string | undefined,
    state: string,
  ) => Promise<{ readonly attempt: Result<Attempt>; readonly remains: Remains | undefined }>;
  /** Once: for one caller ever, on whatever replica. Throws `store_unavailable`; then it may be taken or not. */
  readonly take: (place: Place, attempt: Attempt) => Promise<Result<Attempt>>;
};

/** Short names: all of it goes through the IdP's URL. */
const sealedSchema = z.object({
  t: z.string(), // tenant
  i: z.string(), // attempt id
  s: z.number(), // started at, ms
  b: z.string(), // digest of the browser's secret
  p: z.string(), // return path
  r: z.number(), // rounds
  k: z.string().optional(), // digest of the previous session
  n: z.literal(1).optional(), // renews it
  c: z.string().optional(), // digest of the connection that it was started with
});

export function createAttempts(sealer: Sealer, store: Store, clock: Clock): Attempts {
  return {
    async begin({ tenant }, cookieHeader, { returnPath, rounds, previous, renews }) {
      const cookie = browserCookies(cookieHeader)[0] ?? newCookie();
      const id = random128();
      const state = await sealer.seal({
        t: tenant.id,
        i: id,
        s: clock.nowMs(),
        b: digest(cookie.value),
        p: returnPath,
        r: rounds,
        ...(previous === undefined ? {} : { k: previous }),
        ...(renews ? { n: 1 } : {}),
        c: connectionDigest(tenant),
      } satisfies z.input<typeof sealedSchema>);
      return { state, nonce: nonceOf(cookie.value, id), codeVerifier: verifierOf(cookie.value, id), cookie };
    },

    async open(place, cookieHeader, state) {
      const opened = state.length > STATE_MAX_CHARACTERS ? undefined : await sealer.open(state);
      const parsed = sealedSchema.safeParse(opened);
      if (!parsed.success) return { attempt: refuse('state_unknown'), remains: undefined };
      const { t, i, s, b, p, r, k, n, c } = parsed.data;
      if (t !== place.tenant.id) return { attempt: refuse('state_foreign_tenant'), remains: undefined };
      const remains: Remains = { returnPath: parseReturnPath(p, place), rounds: r, startedAtMs: s };
      // RFC 9700 section 4.4.2: the tenant's file may have changed meanwhile, and what one IdP gave is not the other's
      if (c !== undefined && c !== connectionDigest(place.tenant))
        return { attempt: refuse('attempt_outdated'), remains };
      const age = clock.nowMs() - s;
      if (age >= ATTEMPT_LIFETIME_MS)
        return { attempt: refuse('attempt_expired', { seconds: Math.round(age / 1000) }), remains };
      const binding = browserCookies(cookieHeader).find(({ value }) => digest(value) === b);
      if (binding === undefined) return { attempt: refuse('state_foreign_browser'), remains };
      const nonce = nonceOf(binding.value, i);
      const codeVerifier = verifierOf(binding.value, i);
      return {
        attempt: ok({ ...remains, id: i, nonce, codeVerifier, previous: k, renews: n === 1, bindingDigest: b }),
        remains,
      };
    },

    async take({ tenant }, attempt) {
      const remainingMs = attempt.startedAtMs + ATTEMPT_LIFETIME_MS - clock.nowMs();
      const first = await store.add(keys.attempt(tenant.id, attempt.id), '1', Math.max(1, remainingMs));
      return first ? ok(attempt) : refuse('attempt_used');
    },
  };
}

function browserCookies(cookieHeader: string | undefined): { name: string; value: string }[] {
  return readCookies(cookieHeader, COOKIE_PREFIX, COOKIES_MAX).filter(({ value }) => COOKIE_VALUE.test(value));
}

function newCookie(): { name: string; value: string } {
  return { name: `${COOKIE_PREFIX}${random128().replace(/\W/g, '').slice(0, 8)}`, value: random256() };
}

function nonceOf(secret: string, attemptId: string): string {
  return keyedDigest(secret, `nonce ${attemptId}`);
}

function verifierOf(secret: string, attemptId: string): string {
  return keyedDigest(secret, `code verifier ${attemptId}`);
}

function connectionDigest({ oidc }: Pick<Tenant, 'oidc'>): string {
  return digest(JSON.stringify([oidc?.issuer, oidc?.client_id, oidc?.flow])).slice(0, 16);
}
