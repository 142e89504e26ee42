/**
 * `/SSO/OIDC/:id/Callback`: the redirect URI. Its way, top to bottom: parameters -> attempt -> taken, once -> verified
 * claims -> person -> groups -> session -> 303. Every step refuses by default; nothing is written before the last one.
 */
import { ANSWER_NAMES, type Answer, parseAnswer, refuseIdpError } from '../connections/oidc/answer.ts';
import type { OidcConnection } from '../connections/oidc/connection.ts';
import type { VerifiedClaims } from '../connections/verified-claims.ts';
import { readForm } from '../edge/form.ts';
import type { OwnHeaders } from '../edge/headers.ts';
import { isCrossSite, isNavigation } from '../edge/negotiate.ts';
import { seeOther } from '../edge/redirect.ts';
import type { Context } from '../edge/request.ts';
import type { Clock } from '../kernel/clock.ts';
import { readCookie } from '../kernel/cookie-header.ts';
import type { Audit } from '../kernel/events.ts';
import { GatewayFailure } from '../kernel/failure.ts';
import type { Refusal } from '../kernel/refusal.ts';
import type { BrowserSession } from '../sessions/koa-session.ts';
import { createRecord } from '../sessions/record.ts';
import type { PersonSessions } from '../sessions/sync.ts';
import type { OidcPlace, Place } from '../tenants/registry.ts';
import { urls } from '../tenants/tenant.ts';
import type { Attempt, Attempts } from './attempt.ts';
import { type Identified, identify } from './identify.ts';
import { type Recover, roundsCookie } from './recover.ts';
import { sendRelayPage } from './relay-page.ts';
import type { Renewal } from './renewal.ts';
import type { EndReplaced } from './replaced.ts';
import { setOwnCookie, signInFailure, signInUrl } from './start.ts';

export type HandleCallback = (ctx: Context, place: OidcPlace) => Promise<void>;

type Dependencies = {
  readonly attempts: Attempts;
  readonly connection: OidcConnection;
  readonly browserSession: BrowserSession;
  readonly recover: Recover;
  readonly renewal: Renewal;
  readonly personSessions: PersonSessions;
  readonly endReplaced: EndReplaced;
  readonly ownHeaders: OwnHeaders;
  readonly audit: Audit;
  readonly clock: Clock;
};

export function createHandleCallback(dependencies: Dependencies): HandleCallback {
  const { attempts, connection, recover, renewal, ownHeaders } = dependencies;

  return async (ctx, place) => {
    const query = new URLSearchParams(ctx.querystring);
    if (ctx.method === 'GET' && !ANSWER_NAMES.some((name) => query.has(name))) return bare(ctx, place, ownHeaders);
    const answer = await readAnswer(ctx, place, query);
    const state = answer.parameters.get('state');
    if (state === undefined) throw signInFailure(withoutState(answer), place);
    const { attempt: opened, remains } = await attempts.open(place, ctx.req.headers.cookie, state);
    if (!opened.ok) return recover(ctx, place, opened.refusal, remains);
    const attempt = opened.value;
    try {
      const taken = await attempts.take(place, attempt);
      if (!taken.ok) return await recover(ctx, place, taken.refusal, remains);
      const verify = () =>
        connection.finish(place.tenant.oidc, answer, {
          ...attempt,
          redirectUri: urls.callback(place.tenant, place.site),
        });
      if (attempt.renews) return await renewal.finish(ctx, place, attempt, verify);
      const verified = await verify();
      if (!verified.ok) throw signInFailure(verified.refusal, place, attempt);
      const person = await admit(place, attempt, verified.value, dependencies);
      await establish(ctx, place, attempt, verified.value, person, dependencies);
    } catch (error) {
      if (!(error instanceof GatewayFailure)) throw error;
      throw error.with({ event: 'sign_in.refused', retryUrl: signInUrl(place, attempt.returnPath) });
    }
  };
}

/** Nothing came that a server can see: perhaps a fragment, perhaps a bookmark. */
async function bare(ctx: Context, place: OidcPlace, ownHeaders: OwnHeaders): Promise<void> {
  if (place.tenant.oidc.response_mode === 'fragment' || isNavigation(ctx)) return sendRelayPage(ctx, place, ownHeaders);
  throw signInFailure({ reason: 'parameters_missing' }, place);
}

async function readAnswer(ctx: Context, place: Place, query: URLSearchParams): Promise<Answer> {
  const isGet = ctx.method === 'GET';
  const answer = parseAnswer({
    method: ctx.method,
    sent: isGet ? query : await readForm(ctx),
    beside: isGet ? new URLSearchParams() : query,
    crossSite: isCrossSite(ctx.req.headers) ?? false,
  });
  if (!answer.ok) throw signInFailure(answer.refusal, place);
  return answer.value;
}

/** Some IdPs leave `state` out of their errors; a token without one was never asked for. */
function withoutState({ parameters }: Answer): Refusal {
  const isError = parameters.has('error') && !parameters.has('id_token');
  const refused = isError ? refuseIdpError(parameters) : undefined;
  return refused !== undefined && !refused.ok
    ? refused.refusal
    : { reason: 'parameters_missing', evidence: { name: 'state' } };
}

/** Throws for somebody who may not be here; who has lost the last group loses the other sessions too. */
async function admit(
  place: Place,
  attempt: Attempt,
  verified: VerifiedClaims,
  { personSessions, audit }: Dependencies,
): Promise<Identified> {
  const { tenant } = place;
  const person = identify(verified, tenant);
  if (person.ok) {
    for (const claim of person.value.dropped) audit('claims.dropped', { claim });
    return person.value;
  }
  const { identity, refusal: reason } = person.refusal;
  if (identity === undefined) throw signInFailure(reason, place, attempt);
  const { issuer, issuedAtSeconds } = verified;
  await personSessions.endAll(tenant, { issuer, sub: identity.sub }, 'no_groups', { byTokensUntil: issuedAtSeconds });
  const who = identity.name ?? identity.email ?? identity.sub;
  throw signInFailure(reason, place, attempt).with({ detail: `You signed in as ${who}.` });
}

async function establish(
  ctx: Context,
  place: Place,
  attempt: Attempt,
  verified: VerifiedClaims,
  person: Identified,
  { browserSession, endReplaced, personSessions, audit, clock }: Dependencies,
): Promise<void> {
  const { connection, issuer, issuedAtSeconds: tokenIat, idToken } = verified;
  const userAgent = ctx.req.headers['user-agent'] ?? null;
  const record = createRecord(place.tenant, { connection, issuer, tokenIat, userAgent, ...person }, clock.nowMs());
  const fresh = { record, idToken, refresh: verified.refresh, begunAtMs: attempt.startedAtMs };
  const established = await browserSession.establish(ctx, fresh, async (session) => {
    await personSessions.applyGroups(place.tenant, record);
    await endReplaced(place, attempt, session);
  });
  if (!established.ok) throw signInFailure(established.refusal, place, attempt);
  if (readCookie(ctx.req.headers.cookie, roundsCookie(place)) !== undefined)
    setOwnCookie(ctx, roundsCookie(place), '', 0);
  audit('sign_in.succeeded', {
    connection: record.connection,
    sub: record.sub,
    groups: record.groups,
  });
  seeOther(ctx, `${place.site.origin}${attempt.returnPath}`);
}
