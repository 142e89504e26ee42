/**
 * A person signs out: here first, so that it holds even when the IdP is down, then at the IdP (RP-Initiated Logout 1.0), then
 * back here or where the tenant's file says. A link on another site only ever gets the question.
 *
 * The same form ends single sessions and all of them, from the account page.
 */
import { html } from 'hono/html';
import type { OidcConnection } from '../connections/oidc/connection.ts';
import type { OwnHeaders } from '../edge/headers.ts';
import { isNavigation, isSameOriginPost } from '../edge/negotiate.ts';
import { sendPage } from '../edge/page.ts';
import { seeOther } from '../edge/redirect.ts';
import type { Context } from '../edge/request.ts';
import type { Audit } from '../kernel/events.ts';
import { GatewayFailure } from '../kernel/failure.ts';
import { random128 } from '../kernel/random.ts';
import type { Hints } from '../sessions/hint.ts';
import type { BrowserSession } from '../sessions/koa-session.ts';
import type { SessionRecord } from '../sessions/record.ts';
import type { Session, Sessions } from '../sessions/sessions.ts';
import type { PersonSessions } from '../sessions/sync.ts';
import type { Place } from '../tenants/registry.ts';
import { urls } from '../tenants/tenant.ts';

export type PersonSignOut = {
  /** GET: the question; or at once, for a link of this origin; or, without a session, that one is signed out. */
  readonly ask: (ctx: Context, place: Place) => Promise<void>;
  /** POST of a form of ours. */
  readonly signOut: (ctx: Context, place: Place, form: URLSearchParams) => Promise<void>;
};

type Dependencies = {
  readonly browserSession: BrowserSession;
  readonly sessions: Sessions;
  readonly personSessions: PersonSessions;
  readonly hints: Hints;
  readonly connection: OidcConnection;
  readonly ownHeaders: OwnHeaders;
  readonly audit: Audit;
};

export function createPersonSignOut(dependencies: Dependencies): PersonSignOut {
  const { browserSession, sessions, personSessions, hints, connection, ownHeaders, audit } = dependencies;

  async function end(ctx: Context, place: Place, { idDigest, record }: Session): Promise<void> {
    const { tenant, site } = place;
    const [idTokenHint, refresh] = await Promise.all([
      hints.read(tenant, idDigest),
      hints.readRefresh(tenant, idDigest),
    ]);
    await browserSession.end(ctx);
    // nobody waits for it: the session is over, whatever the IdP does
    if (refresh !== undefined && tenant.oidc !== undefined)
      connection.revoke(tenant.oidc, refresh.token).catch(() => {});
    audit('sign_out', { sub: record.sub });
    const next = record.connection === 'oidc' ? await atIdp(place, idTokenHint) : atSender(place, record);
    seeOther(ctx, next ?? tenant.signOut.post_logout_redirect ?? urls.signOut(tenant, site));
  }

  async function atIdp({ tenant, site }: Place, idTokenHint: string | undefined): Promise<string | undefined> {
    if (tenant.oidc === undefined) return undefined;
    return connection.endSessionUrl(tenant.oidc, {
      idTokenHint,
      postLogoutRedirectUri: urls.signOut(tenant, site),
      state: random128(), // it comes back, or not, or changed: nothing here depends on it
    });
  }

  /** One other session, by what the account page calls it, if it is this person's. */
  async function endOther(ctx: Context, place: Place, { record }: Session, idDigest: string): Promise<void> {
    const { tenant, site } = place;
    const other = await sessions.peek(tenant, idDigest);
    const isOwn = other?.record.sub === record.sub && other.record.issuer === record.issuer;
    if (isOwn) await sessions.end(tenant, idDigest, 'ended_by_person');
    seeOther(ctx, urls.account(tenant, site));
  }

  return {
    async ask(ctx, place) {
      const session = browserSession.current(ctx);
      if (session === undefined) return signedOut(ctx, place, ownHeaders);
      const isLinkOfOurs = ctx.get('sec-fetch-site') === 'same-origin' && isNavigation(ctx) && !ctx.get('sec-purpose');
      if (isLinkOfOurs) return end(ctx, place, session);
      await sendQuestion(ctx, place, session, ownHeaders);
    },

    async signOut(ctx, place, form) {
      const { tenant, site } = place;
      if (!isSameOriginPost(ctx.req.headers, site.origin))
        throw new GatewayFailure('request_invalid', { reason: 'sign_out_not_from_here' });
      const session = browserSession.current(ctx);
      if (session === undefined) {
        return seeOther(ctx, urls.signOut(tenant, site));
      }
      const chosen = form.get('session');
      if (chosen !== null && chosen !== session.idDigest) return endOther(ctx, place, session, chosen);
      const { issuer, sub } = session.record;
      // the others first: while this one is there, what failed can be tried again
      if (form.get('everywhere') === '1')
        await personSessions.endAll(tenant, { issuer, sub }, 'ended_by_person', { except: session.idDigest });
      await end(ctx, place, session);
    },
  };
}

/** Where the link said, or the tenant's file says for its dialect. */
function atSender({ tenant }: Place, { connection: dialect, logout_url: said }: SessionRecord): string | undefined {
  return said ?? tenant.links.find((link) => link.dialect === dialect && link.logout_url !== undefined)?.logout_url;
}

async function sendQuestion(ctx: Context, place: Place, { record }: Session, ownHeaders: OwnHeaders): Promise<void> {
  const { tenant, site } = place;
  const content = html`<p>You are signed in to ${tenant.name} as <strong>${record.name ?? record.sub}</strong>.</p>
<div class="actions">
<form method="post" action="${urls.signOut(tenant, site)}"><button class="button">Sign out</button></form>
<a class="button quiet" href="${urls.home(site)}">Stay signed in</a>
</div>`;
  await sendPage(ctx, { title: 'Sign out?', content, tenant, formLeadsOn: true }, ownHeaders);
}

/** Nobody is signed in: said here, or where the tenant's file says; never by signing in again. */
async function signedOut(ctx: Context, place: Place, ownHeaders: OwnHeaders): Promise<void> {
  const { tenant, site } = place;
  const elsewhere = tenant.signOut.post_logout_redirect;
  if (elsewhere !== null) {
    return seeOther(ctx, elsewhere);
  }
  const content = html`<p>You are signed out of ${tenant.name}.</p>
<div class="actions"><a class="button" href="${urls.home(site)}">Sign in again</a></div>`;
  await sendPage(ctx, { title: 'Signed out', content, tenant }, ownHeaders);
}
