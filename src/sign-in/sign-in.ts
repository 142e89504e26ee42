/**
 * `/SSO/OIDC/:id/SignIn`: starts a sign-in, for people who follow a link and for third parties that initiate one (Core
 * section 4). Unknown parameters are ignored; nothing of them reaches the IdP.
 */
import { readForm } from '../edge/form.ts';
import { seeOther } from '../edge/redirect.ts';
import type { Context } from '../edge/request.ts';
import { failureOf } from '../kernel/refusal.ts';
import type { Sessions } from '../sessions/sessions.ts';
import type { Place } from '../tenants/registry.ts';
import { readRound } from './recover.ts';
import type { Renewal } from './renewal.ts';
import { parseReturnPath } from './return-path.ts';
import type { StartSignIn } from './start.ts';

const LOGIN_HINT_MAX_CHARACTERS = 256;
const NAMES = ['return_to', 'iss', 'login_hint', 'target_link_uri', 'switch_account', 'round', 'renew'] as const;

export type HandleSignIn = (ctx: Context, place: Place) => Promise<void>;

export function createHandleSignIn(sessions: Sessions, renewal: Renewal, startSignIn: StartSignIn): HandleSignIn {
  return async (ctx, place) => {
    const parameters = ctx.method === 'POST' ? await readForm(ctx) : new URLSearchParams(ctx.querystring);
    for (const name of NAMES)
      if (parameters.getAll(name).length > 1)
        throw failureOf({ reason: 'parameter_doubled', evidence: { name } }, { event: 'sign_in.refused' });
    const iss = parameters.get('iss');
    if (iss !== null && place.tenant.oidc?.issuers.includes(iss) !== true)
      throw failureOf({ reason: 'initiation_issuer_mismatch' }, { event: 'sign_in.refused' });
    const returnPath = parseReturnPath(parameters.get('return_to') ?? parameters.get('target_link_uri'), place);
    const round = readRound(parameters.get('round'));
    if (parameters.get('renew') === '1') {
      // a proxy's way to a renewal: it cannot be redirected by the answer that it asked for
      const session = await sessions.find(place.tenant, ctx);
      if (session !== undefined && (await renewal.begin(ctx, place, session, returnPath))) return;
      if (session !== undefined) return seeOther(ctx, `${place.site.origin}${returnPath}`);
    }
    // the second half of a recovery: this request carries the session's cookie, if there is one
    if (round > 0 && (await sessions.find(place.tenant, ctx)) !== undefined)
      return seeOther(ctx, `${place.site.origin}${returnPath}`);
    await startSignIn(ctx, place, {
      returnPath,
      rounds: round,
      loginHint: iss === null ? undefined : readLoginHint(parameters.get('login_hint')),
      switchAccount: parameters.get('switch_account') === '1',
    });
  };
}

function readLoginHint(hint: string | null): string | undefined {
  const usable = hint !== null && hint !== '' && hint.length <= LOGIN_HINT_MAX_CHARACTERS && !/\p{Cc}/u.test(hint);
  return usable ? hint : undefined;
}
