/**
 * Who is asking: a browser that goes to a page, or a program. Fetch Metadata decides where it is sent, since scripts
 * cannot forge it; then method, `X-Requested-With` and `Accept`.
 */
import type { IncomingHttpHeaders } from 'node:http';

type Asked = { readonly method: string; readonly headers: IncomingHttpHeaders };

/** Whether a redirect to a sign-in page makes sense: a top-level navigation. */
export function isNavigation({ method, headers }: Asked): boolean {
  if (method === 'HEAD' || method === 'OPTIONS') return false; // they never change anything
  const mode = headers['sec-fetch-mode'];
  const destination = headers['sec-fetch-dest'];
  if (mode !== undefined) return mode === 'navigate' && (destination === undefined || destination === 'document');
  if (method !== 'GET' || isScripted(headers)) return false;
  return acceptsHtml(headers);
}

/** Whether an answer of ours should be a page. */
export function wantsPage({ headers }: Asked): boolean {
  if (headers['sec-fetch-mode'] !== undefined) return headers['sec-fetch-mode'] === 'navigate';
  return !isScripted(headers) && acceptsHtml(headers);
}

function isScripted(headers: IncomingHttpHeaders): boolean {
  return String(headers['x-requested-with'] ?? '').toLowerCase() === 'xmlhttprequest';
}

/** In so many words: `*` + `/*`, which programs send, is no wish for a page. */
function acceptsHtml(headers: IncomingHttpHeaders): boolean {
  return /\b(?:text\/html|application\/xhtml\+xml)\b/i.test(headers.accept ?? '');
}

/**
 * A picture, a script's request or a frame in another site's page: what people who mean to go somewhere never send (Core section 4). Programs
 * say nothing of a site, and some say `cors`.
 */
export function isForeignSubrequest(headers: IncomingHttpHeaders): boolean {
  const { 'sec-fetch-mode': mode, 'sec-fetch-dest': destination, 'sec-fetch-site': site } = headers;
  const isWithin =
    (mode !== undefined && mode !== 'navigate') || (destination !== undefined && destination !== 'document');
  return site === 'cross-site' && isWithin;
}

/** Whether the browser says that this came from another site; `undefined`: it says nothing. */
export function isCrossSite(headers: IncomingHttpHeaders): boolean | undefined {
  const site = headers['sec-fetch-site'];
  return site === undefined ? undefined : site !== 'same-origin' && site !== 'none';
}

/**
 * Whether a POST comes from a page of `origin`. `Sec-Fetch-Site` first: a page with `no-referrer` posts with
 * `Origin: null`. Without a word from the browser: no.
 */
export function isSameOriginPost(headers: IncomingHttpHeaders, origin: string): boolean {
  const site = headers['sec-fetch-site'];
  return site === undefined ? headers.origin === origin : site === 'same-origin';
}
