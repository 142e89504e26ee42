/**
 * Sends a browser to its tenant's IdP. Nothing that a visitor sent shapes the request, but the `login_hint` of a
 * third-party-initiated login, which Core section 4 demands.
 */
import type { OidcConnection } from '../connections/oidc/connection.ts';
import { seeOther } from '../edge/redirect.ts';
import type { Context } from '../edge/request.ts';
import type { Audit } from '../kernel/events.ts';
import { GatewayFailure } from '../kernel/failure.ts';
import { failureOf, type Refusal } from '../kernel/refusal.ts';
import type { Sessions } from '../sessions/sessions.ts';
import { hasOidc, type Place } from '../tenants/registry.ts';
import { urls } from '../tenants/tenant.ts';
import { ATTEMPT_LIFETIME_MS, type Attempts } from './attempt.ts';
import { loginUrlOf } from './link-forms.ts';
import { parseReturnPath, type ReturnPath } from './return-path.ts';

export type StartOptions = {
  readonly returnPath: ReturnPath;
  readonly rounds?: number;
  readonly loginHint?: string | undefined;
  readonly switchAccount?: boolean;
  /** asks for the identity of the browser's session again, silently */
  readonly renewal?: { readonly idDigest: string; readonly idTokenHint: string | undefined };
};

export type StartSignIn = (ctx: Context, place: Place, options: StartOptions) => Promise<void>;

type Dependencies = {
  readonly attempts: Attempts;
  readonly connection: OidcConnection;
  readonly sessions: Sessions;
  readonly audit: Audit;
};

/** The answer is a 303 to the IdP. Throws `idp_unavailable`; then nothing was begun. */
export function createStartSignIn({ attempts, connection, sessions, audit }: Dependencies): StartSignIn {
  return async (ctx, place, options) => {
    if (!hasOidc(place)) return sendToSender(ctx, place, options.returnPath);
    const { tenant, site } = place;
    const cookieHeader = ctx.req.headers.cookie;
    const begun = await attempts.begin(place, cookieHeader, {
      returnPath: options.returnPath,
      rounds: options.rounds ?? 0,
      previous: options.renewal?.idDigest ?? sessions.digestOf(tenant, cookieHeader),
      renews: options.renewal !== undefined,
    });
    const target = await connection
      .begin(tenant.oidc, {
        redirectUri: urls.callback(tenant, site),
        state: begun.state,
        nonce: begun.nonce,
        codeVerifier: begun.codeVerifier,
        loginHint: options.loginHint,
        prompt: options.renewal !== undefined ? 'none' : options.switchAccount ? 'switch_account' : undefined,
        idTokenHint: options.renewal?.idTokenHint,
      })
      .catch((error: unknown) => {
        if (!(error instanceof GatewayFailure)) throw error;
        throw error.with({ event: 'sign_in.refused', retryUrl: signInUrl(place, options.returnPath) });
      });
    setOwnCookie(ctx, begun.cookie.name, begun.cookie.value, ATTEMPT_LIFETIME_MS);
    audit(options.renewal === undefined ? 'sign_in.started' : 'renewal.started', {
      ...(options.rounds ? { rounds: options.rounds } : {}),
    });
    seeOther(ctx, target);
  };
}

/**
 * People of a tenant without an IdP sign in at the sender's page, which brings them back. The address goes without its query: Frill's
 * sample code appends `?ssoToken=` to it, whatever it holds.
 */
function sendToSender(ctx: Context, place: Place, returnPath: ReturnPath): void {
  const loginUrl = loginUrlOf(place);
  if (loginUrl === undefined)
    throw new GatewayFailure('sign_in_required', {
      reason: 'no_login_url',
      detail: 'Please open this from the application that you came from.',
    });
  const target = new URL(loginUrl);
  target.searchParams.set('redirect', `${place.site.origin}${returnPath.split(/[?#]/, 1)[0]}`);
  seeOther(ctx, target.href);
}

/** The address that starts this sign-in again, for buttons and for programs. */
export function signInUrl({ tenant, site }: Place, returnPath: ReturnPath): string {
  return urls.signIn(tenant, site, { return_to: returnPath });
}

/** A refused sign-in, with the ways on from it. */
export function signInFailure(
  refusal: Refusal,
  place: Place,
  attempt?: { readonly returnPath: ReturnPath },
): GatewayFailure {
  const returnPath = attempt?.returnPath ?? parseReturnPath(undefined, place);
  const failure = failureOf(refusal, { event: 'sign_in.refused', retryUrl: signInUrl(place, returnPath) });
  // whom the IdP or the tenant's rules turned away may be somebody else too; the IdP would say the same again by itself
  const another = urls.signIn(place.tenant, place.site, { return_to: returnPath, switch_account: '1' });
  return failure.status === 403 ? failure.with({ switchUrl: another }) : failure;
}

/**
 * Sent back on the IdP's cross-site POST too, hence `SameSite=None` (RFC 6265bis 5.6.7.1) unless said otherwise. No lifetime removes it.
 */
export function setOwnCookie(
  ctx: Context,
  name: string,
  value: string,
  lifetimeMs: number,
  sameSite: 'none' | 'lax' = 'none',
): void {
  ctx.cookies.secure = true; // TLS ends in front of us; PUBLIC_URL was checked at start
  ctx.cookies.set(name, value, {
    httpOnly: true,
    secure: true,
    sameSite,
    path: '/',
    overwrite: true,
    signed: false,
    ...(lifetimeMs > 0 ? { maxAge: lifetimeMs } : { expires: new Date(0) }),
  });
}
