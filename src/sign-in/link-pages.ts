/**
 * Where a link wants people to go: to a page of the tenant, back to the sender, out by the sender's sign-out. Addresses outside count only
 * where the tenant's file has one of the same origin; compared after parsing, by the parser that writes them out.
 */
import type { LinkConfig } from '../config/links.ts';
import { ok, type Result, refuse } from '../kernel/result.ts';
import type { Place } from '../tenants/registry.ts';
import { type LinkSent, loginUrlOf, parametersOf } from './link-forms.ts';
import { parseReturnPath, type ReturnPath } from './return-path.ts';

export type LinkPages = {
  readonly returnPath: ReturnPath;
  readonly loginUrl: string | undefined;
  readonly logoutUrl: string | undefined;
  /** the same link on another host of this tenant's, which it asks for */
  readonly elsewhere: string | undefined;
};

export function readPages(sent: LinkSent, place: Place, configs: readonly LinkConfig[]): Result<LinkPages> {
  const loginUrl = allowed(
    sent.login_url,
    configs.flatMap(({ login_url }) => login_url ?? []),
  );
  if (loginUrl === null) return refuse('link_page_foreign', { name: 'login_url' });
  const logoutUrl = allowed(
    sent.logout_url,
    configs.flatMap(({ logout_url }) => logout_url ?? []),
  );
  if (logoutUrl === null) return refuse('link_page_foreign', { name: 'logout_url' });
  const elsewhere = otherHost(sent, place);
  if (elsewhere === null) return refuse('link_host_foreign');
  return ok({
    returnPath: readReturnPath(sent.return_to, place),
    loginUrl: loginUrl ?? loginUrlOf(place, configs),
    logoutUrl,
    elsewhere,
  });
}

/** `undefined`: not asked for; `null`: asked for and not allowed. */
function allowed(asked: string | undefined, configured: readonly string[]): string | undefined | null {
  if (asked === undefined) return undefined;
  const url = URL.parse(asked);
  // `blob:` has the origin of what it stands for
  if (url === null || !/^https?:$/.test(url.protocol) || url.username !== '' || url.password !== '') return null;
  return configured.some((known) => new URL(known).origin === url.origin) ? url.href : null;
}

/** The senders' systems have hosts of their own, so `/dashboard` is a page of the tenant's, whatever stands before it here. */
function readReturnPath(asked: string | undefined, place: Place): ReturnPath {
  const { origin, prefix } = place.site;
  const direct = parseReturnPath(asked, place);
  const isHome = direct === parseReturnPath(undefined, place);
  if (!isHome || prefix === '' || asked === undefined || !/^\/(?![/\\])/.test(asked)) return direct;
  if (URL.parse(`${origin}${asked}`)?.pathname.toLowerCase() === prefix.toLowerCase()) return direct;
  return parseReturnPath(`${prefix}${asked}`, place);
}

/** Chargely's `custom_domain`: a host of this tenant's, where the session is to be. */
function otherHost({ custom_domain, ...sent }: LinkSent, { tenant, site }: Place): string | undefined | null {
  if (custom_domain === undefined || sent.dialect !== 'chargely') return undefined; // nobody else's
  const host = custom_domain
    .replace(/^https?:\/\//i, '')
    .replace(/\/$/, '')
    .toLowerCase();
  if (host === site.host || host === site.host.replace(/:\d+$/, '')) return undefined;
  if (!tenant.hosts.includes(host)) return null;
  const port = /:\d+$/.exec(site.host)?.[0] ?? '';
  const query = new URLSearchParams(parametersOf(sent));
  return `${site.scheme}://${host}${port}/sso/jwt/login?${query}`;
}
