/** What a signed-in person sees of themself, as a page and as JSON (contract sections 3 and 5). */
import { html } from 'hono/html';
import type { OwnHeaders } from '../edge/headers.ts';
import { type Html, sendPage } from '../edge/page.ts';
import type { Context } from '../edge/request.ts';
import { type SessionRecord, sessionJson } from '../sessions/record.ts';
import type { Place } from '../tenants/registry.ts';
import { urls } from '../tenants/tenant.ts';

export async function sendAccountPage(
  ctx: Context,
  place: Place,
  record: SessionRecord,
  ownHeaders: OwnHeaders,
): Promise<void> {
  const { tenant, site } = place;
  const rows: readonly (readonly [string, string | null])[] = [
    ['E-mail', record.email],
    ['User name', record.preferred_username],
    ['Identifier', record.sub],
    ['Language', record.locale],
    ['Time zone', record.zoneinfo],
    ['Signed in', clockTime(record.signed_in_at_ms)],
    ['Ends at the latest', clockTime(record.expires_at_ms)],
  ];
  const content = html`<dl>${rows.map(([term, value]) => (value === null ? '' : html`<dt>${term}</dt><dd>${value}</dd>`))}</dl>
<h2>Groups</h2>
${groupList(record.groups)}
<div class="actions">
<form method="post" action="${urls.signOut(tenant, site)}"><button class="button">Sign out</button></form>
<a class="button quiet" href="${urls.signIn(tenant, site, { switch_account: '1' })}">Use another account</a>
</div>`;
  await sendPage(ctx, { title: record.name ?? record.sub, content, tenant }, ownHeaders);
}

export function sendSessionJson(ctx: Context, record: SessionRecord, ownHeaders: OwnHeaders): void {
  ownHeaders(ctx);
  ctx.body = sessionJson(record);
}

function groupList(groups: readonly string[]): Html {
  if (groups.length === 0) return html`<p>You are in no group here.</p>`;
  return html`<ul class="groups">${groups.map((group) => html`<li>${group}</li>`)}</ul>`;
}

function clockTime(ms: number): string {
  return new Date(ms)
    .toISOString()
    .replace('T', ' ')
    .replace(/\.\d+Z$/, ' UTC');
}
