/** The demo's application: it knows nothing of sign-ins, and shows what the gateway tells it of the person. */
import { createServer, type IncomingHttpHeaders } from 'node:http';
import { html, raw } from 'hono/html';

const STYLE = `
:root { color-scheme: light dark }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 34rem; margin: 10vh auto; padding: 0 1rem }
li, code { overflow-wrap: anywhere }
`;

export async function openDemoApp(port: number): Promise<void> {
  const server = createServer(async (request, response) => {
    response.setHeader('content-type', 'text/html; charset=utf-8');
    response.end(String(await page(request.url ?? '/', request.headers)));
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
}

function page(url: string, headers: IncomingHttpHeaders): ReturnType<typeof html> {
  const told = (name: string): string => {
    const value = headers[`x-auth-request-${name}`];
    return typeof value === 'string' ? decodeURIComponent(value) : '';
  };
  const tenant = told('tenant');
  const groups = told('groups')
    .split(',')
    .filter((group) => group !== '');
  return html`<!doctype html><html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">
<title>Demo application</title><style>${raw(STYLE)}</style></head><body>
<h1>Welcome, ${told('name') || told('user')}</h1>
<p>This is the demo application, at <code>${url}</code>, for the customer <strong>${tenant}</strong>. Your e-mail address is
${told('email')}.</p>
<h2>Your groups</h2>
<ul>${groups.map((group) => html`<li>${group}</li>`)}</ul>
<p><a href="/SSO/Account/${tenant}">Your account</a> · <a href="/SSO/Session/${tenant}">Your session as JSON</a> ·
<a href="/SSO/OIDC/${tenant}/SignOut">Sign out</a></p></body></html>`;
}
