/**
 * A fragment never reaches a server: this page posts it (Core 15.5.3). Shown on a GET of the redirect URI without
 * parameters, since an IdP's error may come in a fragment whatever mode was asked for. The script
 * builds inputs, never markup, from what it finds, and takes the fragment out of the address bar first.
 */
import { html } from 'hono/html';
import { RELAY_MARK } from '../connections/oidc/answer.ts';
import type { OwnHeaders } from '../edge/headers.ts';
import { sendPage } from '../edge/page.ts';
import type { Context } from '../edge/request.ts';
import type { Place } from '../tenants/registry.ts';
import { urls } from '../tenants/tenant.ts';

const SCRIPT = `
(function () {
  var form = document.getElementById('relay');
  var found = new URLSearchParams(location.hash.slice(1));
  history.replaceState(null, '', location.pathname);
  if (!found.has('id_token') && !found.has('error') && !found.has('state')) {
    document.getElementById('nothing').hidden = false;
    document.getElementById('working').hidden = true;
    return;
  }
  found.append('${RELAY_MARK}', 'fragment');
  found.forEach(function (value, name) {
    var input = document.createElement('input');
    input.type = 'hidden';
    input.name = name;
    input.value = value;
    form.appendChild(input);
  });
  form.submit();
})();
`;

export async function sendRelayPage(ctx: Context, place: Place, ownHeaders: OwnHeaders): Promise<void> {
  const { tenant, site } = place;
  const content = html`<p id="working">One moment, please.</p>
<noscript><p>This step needs JavaScript: your sign-in service put its answer where only a script can read it.</p></noscript>
<div id="nothing" hidden><p>There is no sign-in to finish here.</p><div class="actions"><a class="button" href="${urls.home(site)}">Go to ${tenant.name}</a></div></div>
<form id="relay" method="post" action="${urls.callback(tenant, site)}"></form>`;
  await sendPage(
    ctx,
    { title: 'Finishing your sign-in', content, tenant, script: SCRIPT, formLeadsOn: true },
    ownHeaders,
  );
}
