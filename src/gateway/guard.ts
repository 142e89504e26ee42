/**
 * The tenant URL: who is signed in gets through, a browser without a session is taken to its IdP, a program is told how.
 * This is the hot path; it knows neither koa-session nor the router.
 */
import type { OwnHeaders } from '../edge/headers.ts';
import { isNavigation } from '../edge/negotiate.ts';
import { canonicalPath, pathWithin } from '../edge/path.ts';
import type { Context } from '../edge/request.ts';
import { decideAccess } from '../identity/access.ts';
import { GatewayFailure } from '../kernel/failure.ts';
import { failureOf } from '../kernel/refusal.ts';
import type { Session, Sessions } from '../sessions/sessions.ts';
import type { PersonSessions } from '../sessions/sync.ts';
import type { Renewal } from '../sign-in/renewal.ts';
import { parseReturnPath } from '../sign-in/return-path.ts';
import { type StartSignIn, signInUrl } from '../sign-in/start.ts';
import type { Place } from '../tenants/registry.ts';
import { urls } from '../tenants/tenant.ts';
import { sendAccountPage, sendSessionJson } from './account.ts';

export type Guard = {
  readonly tenantUrl: (ctx: Context, place: Place) => Promise<void>;
  readonly sessionJson: (ctx: Context, place: Place) => Promise<void>;
  readonly account: (ctx: Context, place: Place) => Promise<void>;
};

type Dependencies = {
  readonly sessions: Sessions;
  readonly personSessions: PersonSessions;
  readonly renewal: Renewal;
  readonly startSignIn: StartSignIn;
  readonly ownHeaders: OwnHeaders;
};

export function createGuard({ sessions, personSessions, renewal, startSignIn, ownHeaders }: Dependencies): Guard {
  /** @returns the session, or `undefined` when the answer is the way to the IdP already */
  async function admit(ctx: Context, place: Place, returnTo: string | undefined): Promise<Session | undefined> {
    const session = await sessions.find(place.tenant, ctx);
    if (session === undefined) {
      const returnPath = parseReturnPath(returnTo, place);
      if (!isNavigation(ctx)) throw signInRequired(signInUrl(place, returnPath));
      await startSignIn(ctx, place, { returnPath });
      return undefined;
    }
    if (!renewal.isDue(place.tenant, session.record)) return session;
    const begun = await renewal.begin(ctx, place, session, parseReturnPath(returnTo, place));
    return begun ? undefined : session;
  }

  async function sendAccount(ctx: Context, place: Place, session: Session): Promise<void> {
    const { issuer, sub } = session.record;
    const all = await personSessions.list(place.tenant, { issuer, sub });
    await sendAccountPage(ctx, place, session, all, ownHeaders);
  }

  return {
    async tenantUrl(ctx, place) {
      const path = canonicalPath(ctx.path);
      if (!path.ok) throw failureOf(path.refusal);
      const session = await admit(ctx, place, ctx.req.url);
      if (session === undefined) return;
      const { access } = place.tenant;
      const within = pathWithin(path.value, place.site.prefix === '' ? 0 : 1);
      if (decideAccess(access, within, session.record.groups) === 'deny') throw accessDenied(ctx, place, session);
      if (ctx.method !== 'GET' && ctx.method !== 'HEAD')
        throw new GatewayFailure('method_not_allowed', { headers: { Allow: 'GET, HEAD' } });
      await sendAccount(ctx, place, session);
    },
    async sessionJson(ctx, place) {
      const session = await sessions.find(place.tenant, ctx);
      if (session === undefined) throw signInRequired(signInUrl(place, parseReturnPath(undefined, place)));
      sendSessionJson(ctx, session.record);
    },
    async account(ctx, place) {
      // no renewal from here: it would lead back to the tenant URL
      const session = (await sessions.find(place.tenant, ctx)) ?? (await admit(ctx, place, undefined));
      if (session !== undefined) await sendAccount(ctx, place, session);
    },
  };
}

/** Says who one is, and offers to be somebody else; which group is missing is the operator's to know. */
function accessDenied(ctx: Context, place: Place, { record }: Session): GatewayFailure {
  const returnPath = parseReturnPath(ctx.req.url, place);
  return new GatewayFailure('access_denied', {
    reason: 'access_rule',
    detail: `You are signed in to ${place.tenant.name} as ${record.name ?? record.sub}.`,
    switchUrl: urls.signIn(place.tenant, place.site, { return_to: returnPath, switch_account: '1' }),
  });
}

function signInRequired(url: string): GatewayFailure {
  return new GatewayFailure('sign_in_required', { members: { sign_in_url: url } });
}
