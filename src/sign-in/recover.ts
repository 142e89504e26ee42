/**
 * What happens to an answer whose attempt is unknown, stale, used, or of another browser: people bookmark login pages, go
 * back, and finish an old tab. Who is signed in goes on; everybody else gets a new start by itself; what
 * goes round in circles stops at a page that names the cause.
 */
import { isCrossSite } from '../edge/negotiate.ts';
import { seeOther } from '../edge/redirect.ts';
import type { Context } from '../edge/request.ts';
import type { Clock } from '../kernel/clock.ts';
import { readCookie } from '../kernel/cookie-header.ts';
import type { Audit } from '../kernel/events.ts';
import { failureOf, type Refusal } from '../kernel/refusal.ts';
import type { Sessions } from '../sessions/sessions.ts';
import type { Place } from '../tenants/registry.ts';
import { urls } from '../tenants/tenant.ts';
import type { Remains } from './attempt.ts';
import { parseReturnPath } from './return-path.ts';
import { type StartSignIn, setOwnCookie, signInUrl } from './start.ts';

const ROUNDS_MAX = 3;
const ROUNDS_WINDOW_MS = 60_000;

type Dependencies = {
  readonly sessions: Sessions;
  readonly startSignIn: StartSignIn;
  readonly audit: Audit;
  readonly clock: Clock;
};

export type Recover = (ctx: Context, place: Place, refusal: Refusal, remains: Remains | undefined) => Promise<void>;

export function createRecover({ sessions, startSignIn, audit, clock }: Dependencies): Recover {
  return async (ctx, place, refusal, remains) => {
    const { tenant, site } = place;
    const returnPath = remains?.returnPath ?? parseReturnPath(undefined, place);
    if ((await sessions.find(tenant, ctx)) !== undefined) {
      seeOther(ctx, `${site.origin}${returnPath}`);
      return;
    }
    const rounds = roundsSoFar(ctx, place, remains, clock.nowMs());
    if (rounds >= ROUNDS_MAX)
      throw failureOf(
        { reason: 'sign_in_loop', evidence: { cause: refusal.reason, rounds } },
        { event: 'sign_in.refused', detail: causeInWords(refusal), retryUrl: signInUrl(place, returnPath) },
      );
    audit('sign_in.restarted', {
      reason: refusal.reason,
      rounds: rounds + 1,
    });
    setOwnCookie(ctx, roundsCookie(place), String(rounds + 1), ROUNDS_WINDOW_MS);
    if (ctx.method === 'POST' && isCrossSite(ctx.req.headers) === true) {
      // the browser withholds the session's cookie from this request (SameSite=Lax): ask again in one that carries it
      seeOther(ctx, urls.signIn(tenant, site, { return_to: returnPath, round: String(rounds + 1) }));
      return;
    }
    await startSignIn(ctx, place, { returnPath, rounds: rounds + 1 });
  };
}

/** From the state where it could be read, from the cookie where not: one of the two arrives with most accidents. */
function roundsSoFar(ctx: Context, place: Place, remains: Remains | undefined, nowMs: number): number {
  const recent = remains !== undefined && nowMs - remains.startedAtMs < ROUNDS_WINDOW_MS;
  return Math.max(recent ? remains.rounds : 0, readRound(readCookie(ctx.req.headers.cookie, roundsCookie(place))));
}

/** A visitor may write what it likes here: it stops or does not stop its own circle. */
export function readRound(text: string | null | undefined): number {
  return /^[1-9]$/.test(text ?? '') ? Number(text) : 0;
}

export function roundsCookie({ tenant }: Place): string {
  return `__Host-gatehouse-rounds-${tenant.id}`;
}

function causeInWords({ reason }: Refusal): string {
  switch (reason) {
    case 'state_foreign_browser':
      return 'Cause: your browser did not send our cookie back. It may be blocking cookies for this address.';
    case 'attempt_expired':
      return 'Cause: the answer came more than ten minutes after the start, several times.';
    case 'attempt_used':
      return 'Cause: the same answer arrived again and again.';
    default:
      return 'Cause: your organisation’s sign-in service did not return what we gave it (the state parameter).';
  }
}
