/**
 * "The browser's previous session at this tenant ends": also where the browser could not show it. An IdP's form_post is a
 * cross-site POST, which carries no `SameSite=Lax` cookie, so the session cookie is not seen. Two
 * other traces lead to it: what the attempt saw when it started, and what this browser was given last.
 */
import type { Clock } from '../kernel/clock.ts';
import type { Session, Sessions } from '../sessions/sessions.ts';
import { keys } from '../storage/keys.ts';
import type { Store } from '../storage/store.ts';
import type { Place } from '../tenants/registry.ts';
import { ATTEMPT_LIFETIME_MS, type Attempt } from './attempt.ts';

/** Outlives every attempt that the same cookie may serve. */
const BROWSER_LIFETIME_MS = ATTEMPT_LIFETIME_MS + 5 * 60_000;
/**
 * Tabs that finish within this time of each other belong together: which of their cookies the browser kept last is the
 * browser's secret, and ending the wrong one would throw the person out. The other one ends unused.
 */
const TOGETHER_MS = 10_000;

export type EndReplaced = (place: Place, attempt: Attempt, session: Session) => Promise<void>;

export function createEndReplaced(store: Store, sessions: Sessions, clock: Clock): EndReplaced {
  return async ({ tenant }, attempt, { idDigest }) => {
    const nowMs = clock.nowMs();
    const key = keys.browser(tenant.id, attempt.bindingDigest);
    const before = await store.swap(key, `${nowMs} ${idDigest}`, BROWSER_LIFETIME_MS);
    const [givenAt = '', last = ''] = (before ?? '').split(' ');
    const together = Number(givenAt) >= attempt.startedAtMs && nowMs - Number(givenAt) < TOGETHER_MS;
    for (const previous of new Set([attempt.previous, together ? undefined : last]))
      if (previous) await sessions.end(tenant, previous, 'replaced');
  };
}
