/**
 * `/SSO/OIDC/:id/SignOut` for a person: asks, ends the session here, says so. A link on another site only ever gets the
 * question (contract section 6). The IdP's own messages to this URI are another matter and are refused until they are
 * understood.
 */
import { html } from 'hono/html';
import { readForm } from '../edge/form.ts';
import type { OwnHeaders } from '../edge/headers.ts';
import { isSameOriginPost } from '../edge/negotiate.ts';
import { sendPage } from '../edge/page.ts';
import type { Context } from '../edge/request.ts';
import type { Audit } from '../kernel/events.ts';
import { GatewayFailure } from '../kernel/failure.ts';
import type { BrowserSession } from '../sessions/koa-session.ts';
import type { SessionRecord } from '../sessions/record.ts';
import type { Place } from '../tenants/registry.ts';
import { urls } from '../tenants/tenant.ts';

export type HandleSignOut = (ctx: Context, place: Place) => Promise<void>;

export function createHandleSignOut(
  browserSession: BrowserSession,
  ownHeaders: OwnHeaders,
  audit: Audit,
): HandleSignOut {
  async function end(ctx: Context, place: Place, record: SessionRecord): Promise<void> {
    await browserSession.end(ctx);
    audit('sign_out', {
      tenant: place.tenant.id,
      request_id: ctx.state.requestId,
      client: ctx.state.client,
      sub: record.sub,
    });
  }

  return async (ctx, place) => {
    const { tenant, site } = place;
    const record = browserSession.current(ctx);
    if (ctx.method === 'POST') {
      const form = await readForm(ctx);
      if (form.has('logout_token') || !isSameOriginPost(ctx.req.headers, site.origin))
        throw new GatewayFailure('request_invalid', { reason: 'sign_out_not_from_here' });
      if (record !== undefined) await end(ctx, place, record);
      ownHeaders(ctx);
      ctx.redirect(urls.signOut(tenant, site));
      ctx.status = 303;
      return;
    }
    if (record === undefined) return sendSignedOut(ctx, place, ownHeaders);
    if (ctx.get('sec-fetch-site') === 'same-origin') {
      await end(ctx, place, record);
      return sendSignedOut(ctx, place, ownHeaders);
    }
    await sendQuestion(ctx, place, record, ownHeaders);
  };
}

async function sendQuestion(ctx: Context, place: Place, record: SessionRecord, ownHeaders: OwnHeaders): Promise<void> {
  const { tenant, site } = place;
  const content = html`<p>You are signed in to ${tenant.name} as <strong>${record.name ?? record.sub}</strong>.</p>
<div class="actions">
<form method="post" action="${urls.signOut(tenant, site)}"><button class="button">Sign out</button></form>
<a class="button quiet" href="${urls.home(site)}">Stay signed in</a>
</div>`;
  await sendPage(ctx, { title: 'Sign out?', content, tenant }, ownHeaders);
}

async function sendSignedOut(ctx: Context, place: Place, ownHeaders: OwnHeaders): Promise<void> {
  const { tenant, site } = place;
  const content = html`<p>You are signed out of ${tenant.name}.</p>
<div class="actions"><a class="button" href="${urls.home(site)}">Sign in again</a></div>`;
  await sendPage(ctx, { title: 'Signed out', content, tenant }, ownHeaders);
}
