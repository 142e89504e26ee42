/**
 * OpenID Connect Front-Channel Logout 1.0: the IdP shows this URI in a frame. Browsers give a frame no cookies, so the session is
 * found by `iss` and `sid` alone. Nothing here is authenticated: it can end the one session whose `sid` somebody knows, and
 * tells nobody whether there was one. It is 200 in any case (past `limits` 429), and only the issuer may frame it.
 */
import type { OwnHeaders } from '../edge/headers.ts';
import type { Context } from '../edge/request.ts';
import type { Audit } from '../kernel/events.ts';
import { GatewayFailure } from '../kernel/failure.ts';
import type { PersonSessions } from '../sessions/sync.ts';
import type { OidcPlace, Place } from '../tenants/registry.ts';

const SID_MAX_CHARACTERS = 1_024;
/** Anybody can ask for a mark, so it is a short one: long enough for a sign-in whose token has been seen. */
const MARKED_MS = 60_000;

export type FrontChannel = (ctx: Context, place: OidcPlace, query: URLSearchParams) => Promise<void>;

/** Section 2: `iss` and `sid` come together. Some providers send `sid` alone; their tenants have the quirk. */
export function isFrontChannel(query: URLSearchParams, place: Place): place is OidcPlace {
  const { tenant } = place;
  if (!query.has('sid') || tenant.oidc === undefined) return false;
  return query.has('iss') || tenant.oidc.quirks.includes('frontchannel_sid_only');
}

export function createFrontChannel(personSessions: PersonSessions, ownHeaders: OwnHeaders, audit: Audit): FrontChannel {
  return async (ctx, place, query) => {
    const { tenant } = place;
    ownHeaders(ctx, { framedBy: new URL(tenant.oidc.issuer).origin });
    ctx.type = 'text';
    ctx.body = 'Signed out.\n';
    const [sid = '', ...moreSids] = query.getAll('sid');
    const [issuer = tenant.oidc.issuer, ...moreIssuers] = query.getAll('iss');
    const isMeant = tenant.oidc.issuers.includes(issuer) || !query.has('iss');
    if (!isMeant || moreIssuers.length + moreSids.length > 0 || sid === '' || sid.length > SID_MAX_CHARACTERS) return;
    const order = {
      issuer,
      sid,
      sub: undefined,
      issuedAtSeconds: Number.POSITIVE_INFINITY, // the IdP says no time, and our clock is not its
      clockToleranceSeconds: 0,
      markedMs: MARKED_MS,
    };
    const who = { by: 'front_channel' };
    try {
      audit('sign_out.ordered', { ...who, ended: await personSessions.obey(tenant, order) });
    } catch (error) {
      if (!(error instanceof GatewayFailure)) throw error;
      audit('sign_out.refused', { ...who, error: error.code, reason: error.options.reason ?? error.code });
    }
  };
}
