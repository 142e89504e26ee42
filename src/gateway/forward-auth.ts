/**
 * `/SSO/Auth`: what nginx, Traefik, Caddy and others ask before they let a request through. Deny is the initial value: 2xx only with
 * an identity, whatever the request looks like (CVE-2026-25748, CVE-2026-34457). What was asked for is told by headers of trusted
 * proxies, or by `?tenant=` in the proxy's own configuration.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { canonicalPath, pathWithin } from '../edge/path.ts';
import type { Context, RequestState } from '../edge/request.ts';
import { decideAccess } from '../identity/access.ts';
import { GatewayFailure } from '../kernel/failure.ts';
import type { Session, Sessions } from '../sessions/sessions.ts';
import { formOf, parametersOf, readSent } from '../sign-in/link-forms.ts';
import type { Renewal } from '../sign-in/renewal.ts';
import { parseReturnPath } from '../sign-in/return-path.ts';
import { signInUrl } from '../sign-in/start.ts';
import { type Place, type Registry, slugOf } from '../tenants/registry.ts';
import { urls } from '../tenants/tenant.ts';
import type { Admission } from './admission.ts';
import { type HeaderList, valuesOf } from './upstream-headers.ts';

export type ForwardAuth = {
  readonly handle: (ctx: Context) => Promise<void>;
  /** The headers of a 200, where nothing has to be waited for; `undefined`: ask `handle`. */
  readonly allowNow: (
    request: IncomingMessage,
    seen: RequestState,
    querystring: string,
  ) => { readonly place: Place; readonly identity: HeaderList } | undefined;
};

type Dependencies = {
  readonly registry: Registry;
  readonly sessions: Sessions;
  readonly renewal: Renewal;
  readonly admission: Admission;
};

/** What the proxy is asking about. */
type Subject = { readonly place: Place; readonly target: string | undefined };

export function createForwardAuth({ registry, sessions, renewal, admission }: Dependencies): ForwardAuth {
  function allowNow(request: IncomingMessage, seen: RequestState, querystring: string) {
    const query = new URLSearchParams(querystring);
    const subject = findSubject(request, seen, query, registry);
    if (subject === undefined || linkUrl(subject) !== undefined) return undefined;
    const asked = { method: request.method ?? '', headers: request.headers };
    const session = sessions.known(subject.place.tenant, asked);
    if (session === undefined || renewal.isDue(subject.place.tenant, session.record)) return undefined;
    const identity = mayOpen(subject, session, admission) ? admission.identityNow(session) : undefined;
    return identity && { place: subject.place, identity };
  }

  async function handle(ctx: Context): Promise<void> {
    // Envoy asks with the method of what it asks about
    if (!ctx.state.trusted && ctx.method !== 'GET' && ctx.method !== 'HEAD')
      throw new GatewayFailure('method_not_allowed', { headers: { Allow: 'GET, HEAD' } });
    const query = new URLSearchParams(ctx.querystring);
    const subject = findSubject(ctx.req, ctx.state, query, registry);
    if (subject === undefined) throw new GatewayFailure('sign_in_required', { reason: 'subject_unknown' });
    const { place, target } = subject;
    ctx.state.place = place;
    const link = linkUrl(subject);
    // a signed link: opened here, so that the app never sees it
    if (link !== undefined) return askToSignIn(ctx, query, link);
    const url = signInUrl(place, parseReturnPath(target, place));
    const session = await sessions.find(place.tenant, ctx);
    if (session === undefined) return askToSignIn(ctx, query, url);
    const refreshed = await renewal.refresh(ctx, place, session);
    if (refreshed === 'changed') return handle(ctx);
    if (refreshed === 'not_ours' && (await renewal.isWanted(ctx, place, session)))
      return askToSignIn(ctx, query, `${url}&renew=1`);
    if (!mayOpen(subject, session, admission)) throw new GatewayFailure('access_denied', { reason: 'access_rule' });
    const identity = await admission.identityOf(place, session);
    for (const name of ctx.res.getHeaderNames()) ctx.remove(name);
    sendAllowed(ctx.res, ctx.state.requestId, identity);
    ctx.respond = false;
  }

  return { handle, allowNow };
}

/** Said to a proxy, which passes on none of it but the identity; each byte is paid for with every request of everybody. */
const NOTHING_TO_SHOW: HeaderList = [
  'Content-Length',
  '0',
  'Cache-Control',
  'no-store',
  'Content-Security-Policy',
  "default-src 'none'",
  'Referrer-Policy',
  'no-referrer',
  'X-Content-Type-Options',
  'nosniff',
];

export function sendAllowed(response: ServerResponse, requestId: string, identity: HeaderList): void {
  response.writeHead(200, [...NOTHING_TO_SHOW, 'X-Request-Id', requestId, ...identity]).end();
}

function askToSignIn(ctx: Context, query: URLSearchParams, url: string): void {
  ctx.set('Location', url);
  if (query.get('redirect') !== '1') {
    throw new GatewayFailure('sign_in_required', { headers: { Location: url }, members: { sign_in_url: url } });
  }
  ctx.status = 302;
  ctx.body = '';
}

/** Where a signed link that is asked about is opened; one that cannot be read has nothing to lose there. `undefined`: it is none. */
function linkUrl({ place, target = '' }: Subject): string | undefined {
  const [path = '', query = ''] = target.split(/\?(.*)/s);
  const form = formOf(place, path, query);
  if (form === undefined) return undefined;
  const sent = readSent(form, place, path, query);
  return urls.link(place.tenant, place.site, sent.ok ? parametersOf(sent.value) : {});
}

/** Where the path is not known, rules about paths cannot be judged: then nothing that has any is open. */
function mayOpen({ place, target }: Subject, { record }: Session, admission: Admission): boolean {
  const { access } = place.tenant;
  if (target === undefined) return access.length === 0;
  const path = canonicalPath(target.split('?', 1)[0] ?? '');
  if (!path.ok || admission.isForeignForm(path.value, place)) return false;
  const segments = isBelowSlug(target, place) ? 1 : 0;
  return decideAccess(access, pathWithin(path.value, segments), record.groups) === 'allow';
}

/**
 * `?tenant=` by id, or host and path as a trusted proxy tells them. Both together must mean the same tenant. A header that comes
 * twice, or that is no URL, is nobody's.
 */
function findSubject(
  request: IncomingMessage,
  { trusted, host }: RequestState,
  query: URLSearchParams,
  registry: Registry,
): Subject | undefined {
  const target = trusted ? originalTarget(request) : undefined;
  if (target === null) return undefined;
  const ids = query.getAll('tenant');
  const told = target === undefined ? undefined : registry.byPath(target.split(/[/?]/, 2)[1] ?? '', host);
  if (ids.length === 0) return told && { place: told, target };
  const named = ids.length === 1 ? registry.byId(ids[0] ?? '', host) : undefined;
  if (named === undefined || (told !== undefined && told.tenant !== named.tenant)) return undefined;
  return { place: named, target };
}

/** @returns path and query; `undefined`: not told; `null`: told in a way that cannot be trusted */
function originalTarget({ rawHeaders }: IncomingMessage): string | undefined | null {
  const [uri, ...moreUris] = valuesOf(rawHeaders, 'x-forwarded-uri');
  const [original, ...moreOriginals] = valuesOf(rawHeaders, 'x-original-url');
  if (moreUris.length + moreOriginals.length > 0 || (uri !== undefined && original !== undefined)) return null;
  const told = uri ?? original;
  if (told === undefined) return undefined;
  if (told.startsWith('/')) return canonicalPath(told.split('?', 1)[0] ?? '').ok ? told : null;
  const pathAt = /^https?:\/\/[^/?#\\]+(?=\/)/i.exec(told)?.[0].length;
  if (pathAt === undefined) return null;
  const target = told.slice(pathAt);
  return canonicalPath(target.split('?', 1)[0] ?? '').ok ? target : null;
}

function isBelowSlug(target: string, { tenant, site }: Place): boolean {
  return site.prefix !== '' && slugOf(target.split(/[/?]/, 2)[1] ?? '') === tenant.slug.toLowerCase();
}
