/**
 * The tenant URL: who is signed in gets through, a browser without a session is taken to its IdP, a program is told how.
 * This is the hot path; it knows neither koa-session nor the router.
 */
import type { OwnHeaders } from '../edge/headers.ts';
import { isNavigation } from '../edge/negotiate.ts';
import type { Context } from '../edge/request.ts';
import { GatewayFailure } from '../kernel/failure.ts';
import type { SessionRecord } from '../sessions/record.ts';
import type { Sessions } from '../sessions/sessions.ts';
import { parseReturnPath } from '../sign-in/return-path.ts';
import { type StartSignIn, signInUrl } from '../sign-in/start.ts';
import type { Place } from '../tenants/registry.ts';
import { sendAccountPage, sendSessionJson } from './account.ts';

export type Guard = {
  readonly tenantUrl: (ctx: Context, place: Place) => Promise<void>;
  readonly sessionJson: (ctx: Context, place: Place) => Promise<void>;
  readonly account: (ctx: Context, place: Place) => Promise<void>;
};

export function createGuard(sessions: Sessions, startSignIn: StartSignIn, ownHeaders: OwnHeaders): Guard {
  /** @returns the session, or `undefined` when the answer is the way to the IdP already */
  async function admit(ctx: Context, place: Place, returnTo: string | undefined): Promise<SessionRecord | undefined> {
    const record = await sessions.find(place.tenant, ctx.req.headers.cookie);
    if (record !== undefined) return record;
    const returnPath = parseReturnPath(returnTo, place);
    if (!isNavigation(ctx)) throw signInRequired(signInUrl(place, returnPath));
    await startSignIn(ctx, place, { returnPath });
    return undefined;
  }

  return {
    async tenantUrl(ctx, place) {
      const record = await admit(ctx, place, ctx.req.url);
      if (record === undefined) return;
      if (ctx.method !== 'GET' && ctx.method !== 'HEAD')
        throw new GatewayFailure('method_not_allowed', { headers: { Allow: 'GET, HEAD' } });
      await sendAccountPage(ctx, place, record, ownHeaders);
    },
    async sessionJson(ctx, place) {
      const record = await sessions.find(place.tenant, ctx.req.headers.cookie);
      if (record === undefined) throw signInRequired(signInUrl(place, parseReturnPath(undefined, place)));
      sendSessionJson(ctx, record, ownHeaders);
    },
    async account(ctx, place) {
      const record = await admit(ctx, place, undefined);
      if (record !== undefined) await sendAccountPage(ctx, place, record, ownHeaders);
    },
  };
}

function signInRequired(url: string): GatewayFailure {
  return new GatewayFailure('sign_in_required', { members: { sign_in_url: url } });
}
