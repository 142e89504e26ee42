/** What a signed-in person sees of themself, as a page and as JSON (contract sections 3 and 5). */
import { html } from 'hono/html';
import type { OwnHeaders } from '../edge/headers.ts';
import { type Html, sendPage } from '../edge/page.ts';
import type { Context } from '../edge/request.ts';
import { type SessionRecord, sessionJson } from '../sessions/record.ts';
import type { Session } from '../sessions/sessions.ts';
import type { ListedSession } from '../sessions/sync.ts';
import type { Place } from '../tenants/registry.ts';
import { type Tenant, urls } from '../tenants/tenant.ts';

export async function sendAccountPage(
  ctx: Context,
  place: Place,
  session: Session,
  all: readonly ListedSession[],
  ownHeaders: OwnHeaders,
): Promise<void> {
  const { tenant, site } = place;
  const { record } = session;
  const rows: readonly (readonly [string, string | null])[] = [
    ['E-mail', record.email],
    ['User name', record.preferred_username],
    ['Identifier', record.sub],
    ['Language', record.locale],
    ['Time zone', record.zoneinfo],
  ];
  const several = all.length > 1;
  const content = html`<dl>${rows.map(([term, value]) => (value === null ? '' : html`<dt>${term}</dt><dd>${value}</dd>`))}</dl>
<h2>Groups</h2>
${groupList(record.groups)}
<h2>Sessions</h2>
<ul class="sessions">${all.map((one) => sessionItem(place, one, one.idDigest === session.idDigest))}</ul>
<div class="actions">
<a class="button" href="${urls.signOut(tenant, site)}">Sign out</a>
${several ? html`<form method="post" action="${urls.signOut(tenant, site)}"><input type="hidden" name="everywhere" value="1"><button class="button quiet">Sign out everywhere</button></form>` : ''}
<a class="button quiet" href="${urls.signIn(tenant, site, { switch_account: '1' })}">Use another account</a>
</div>`;
  await sendPage(ctx, { title: record.name ?? record.sub, content, tenant, formLeadsOn: true }, ownHeaders);
}

export function sendSessionJson(ctx: Context, record: SessionRecord, tenant: Tenant): void {
  ctx.body = sessionJson(record, tenant);
}

function groupList(groups: readonly string[]): Html {
  if (groups.length === 0) return html`<p>You are in no group here.</p>`;
  return html`<ul class="groups">${groups.map((group) => html`<li>${group}</li>`)}</ul>`;
}

function sessionItem(
  { tenant, site }: Place,
  { idDigest, record, lastUsedAtMs }: ListedSession,
  isThis: boolean,
): Html {
  const end = html`<form method="post" action="${urls.signOut(tenant, site)}">
<input type="hidden" name="session" value="${idDigest}"><button class="button quiet small">End</button></form>`;
  return html`<li><div><strong>${browserName(record.user_agent)}</strong>${isThis ? ' (this one)' : ''}<br>
<small>since ${clockTime(record.signed_in_at_ms)}, last used ${clockTime(lastUsedAtMs)}</small></div>${isThis ? '' : end}</li>`;
}

/** Enough to recognise one's own; the whole header would help nobody. */
function browserName(userAgent: string | null): string {
  const text = userAgent ?? '';
  const browser = /(Firefox|Edg|OPR|Chrome|Safari)\//.exec(text)?.[1] ?? 'Unknown browser';
  const system = /(Windows|Android|iPhone|iPad|Mac OS X|Linux)/.exec(text)?.[1];
  const names: Readonly<Record<string, string>> = { Edg: 'Edge', OPR: 'Opera', 'Mac OS X': 'macOS' };
  return `${names[browser] ?? browser}${system === undefined ? '' : ` on ${names[system] ?? system}`}`;
}

function clockTime(ms: number): string {
  return new Date(ms)
    .toISOString()
    .replace('T', ' ')
    .replace(/:\d\d\.\d+Z$/, ' UTC');
}
