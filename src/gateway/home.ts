/** `/` where the operator wants it: the way to each tenant. Off by default, since it names the customers. */
import { html } from 'hono/html';
import type { OwnHeaders } from '../edge/headers.ts';
import { sendPage } from '../edge/page.ts';
import type { Context } from '../edge/request.ts';
import { sitesOf, type Tenant, urls } from '../tenants/tenant.ts';

export async function sendHomePage(
  ctx: Context,
  tenants: readonly Tenant[],
  publicUrl: URL,
  ownHeaders: OwnHeaders,
): Promise<void> {
  const places = tenants.flatMap((tenant) => {
    const [site] = sitesOf(tenant, publicUrl);
    return site === undefined ? [] : [html`<li><a href="${urls.home(site)}">${tenant.name}</a></li>`];
  });
  const content = html`<p>Where do you want to sign in?</p><ul class="places">${places}</ul>`;
  await sendPage(ctx, { title: 'Gatehouse', content }, ownHeaders);
}
