/**
 * The tenant URL: who is signed in gets through, a browser without a session is taken to its IdP, a program is told how.
 * This is the hot path; it knows neither koa-session nor the router.
 */
import type { OwnHeaders } from '../edge/headers.ts';
import { isNavigation } from '../edge/negotiate.ts';
import type { Context } from '../edge/request.ts';
import { GatewayFailure } from '../kernel/failure.ts';
import type { Session, Sessions } from '../sessions/sessions.ts';
import type { PersonSessions } from '../sessions/sync.ts';
import type { Renewal } from '../sign-in/renewal.ts';
import { parseReturnPath } from '../sign-in/return-path.ts';
import { type StartSignIn, signInUrl } from '../sign-in/start.ts';
import type { Place } from '../tenants/registry.ts';
import { urls } from '../tenants/tenant.ts';
import { sendAccountPage, sendSessionJson } from './account.ts';
import type { Admission } from './admission.ts';
import type { AppProxy } from './proxy.ts';

export type Guard = {
  readonly tenantUrl: (ctx: Context, place: Place) => Promise<void>;
  readonly sessionJson: (ctx: Context, place: Place) => Promise<void>;
  readonly account: (ctx: Context, place: Place) => Promise<void>;
};

type Dependencies = {
  readonly sessions: Sessions;
  readonly personSessions: PersonSessions;
  readonly renewal: Renewal;
  readonly admission: Admission;
  readonly proxy: AppProxy;
  readonly startSignIn: StartSignIn;
  readonly ownHeaders: OwnHeaders;
};

export function createGuard(dependencies: Dependencies): Guard {
  const { sessions, personSessions, renewal, admission, proxy, startSignIn, ownHeaders } = dependencies;

  async function askToSignIn(ctx: Context, place: Place, returnTo: string | undefined): Promise<void> {
    const returnPath = parseReturnPath(returnTo, place);
    ownHeaders(ctx);
    if (!isNavigation(ctx)) throw signInRequired(signInUrl(place, returnPath));
    await startSignIn(ctx, place, { returnPath });
  }

  async function sendAccount(ctx: Context, place: Place, session: Session): Promise<void> {
    const { issuer, sub } = session.record;
    const all = await personSessions.list(place.tenant, { issuer, sub });
    await sendAccountPage(ctx, place, session, all, ownHeaders);
  }

  return {
    async tenantUrl(ctx, place) {
      const { tenant } = place;
      const { path, within, session, decision } = await admission.judge(place, ctx.path, ctx);
      if (decision === 'deny' && session !== undefined) throw accessDenied(ctx, place, session);
      if (decision !== 'allow' || (session === undefined && tenant.upstream === undefined))
        return askToSignIn(ctx, place, ctx.req.url);
      const refreshed = session === undefined ? 'not_ours' : await renewal.refresh(ctx, place, session);
      if (refreshed === 'changed') return this.tenantUrl(ctx, place);
      if (session !== undefined && refreshed === 'not_ours' && renewal.isDue(tenant, session.record)) {
        if (await renewal.begin(ctx, place, session, parseReturnPath(ctx.req.url, place))) return ownHeaders(ctx);
      }
      const { upstream } = tenant;
      if (upstream !== undefined) {
        const told = await admission.tell(place, session, ctx.state);
        const { requestId } = ctx.state;
        const asSeen = upstream.strip_prefix ? within : path;
        await proxy.pass(ctx.req, ctx.res, { place, upstream, path: asSeen, session, told, requestId });
        ctx.respond = false;
        return;
      }
      if (ctx.method !== 'GET' && ctx.method !== 'HEAD')
        throw new GatewayFailure('method_not_allowed', { headers: { Allow: 'GET, HEAD' } });
      if (session !== undefined) await sendAccount(ctx, place, session);
    },
    async sessionJson(ctx, place) {
      const session = await sessions.find(place.tenant, ctx);
      if (session === undefined) throw signInRequired(signInUrl(place, parseReturnPath(undefined, place)));
      sendSessionJson(ctx, session.record, place.tenant);
    },
    async account(ctx, place) {
      // no renewal from here: it would lead back to the tenant URL
      const session = await sessions.find(place.tenant, ctx);
      if (session === undefined) return askToSignIn(ctx, place, undefined);
      await sendAccount(ctx, place, session);
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
