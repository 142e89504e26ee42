/**
 * Where a person is taken after signing in: a path within the tenant's own URL, whatever was asked for. Parsed by the same
 * parser that browsers use (WHATWG URL), compared after parsing, and written out as parsed: what is judged is what is sent
 * (CVE-2022-23527 and its kin are all about two parsers).
 */
import { GATEWAY_SEGMENTS, type Place, slugOf } from '../tenants/registry.ts';

declare const returnPath: unique symbol;
/** path, query and fragment within one tenant's URL */
export type ReturnPath = string & { readonly [returnPath]: true };

/** It travels in `state`, which some IdPs cut off at a few thousand characters: better without a query than not at all. */
const MAX_CHARACTERS = 2_048;

const GATEWAY_SLUGS = new Set([...GATEWAY_SEGMENTS].map(slugOf));

/** @returns where to go; the tenant's own front page for everything that is not within the tenant */
export function parseReturnPath(asked: string | null | undefined, place: Place): ReturnPath {
  const home = brand(place.site.prefix || '/');
  if (!asked || /[\p{Cc}\p{Zs}\\]/u.test(asked)) return home; // browsers drop or turn these, each in its way
  const { origin } = place.site;
  const url = asked.startsWith('/') && !asked.startsWith('//') ? URL.parse(`${origin}${asked}`) : URL.parse(asked);
  if (
    url === null ||
    url.protocol !== `${place.site.scheme}:` ||
    url.origin !== origin ||
    url.username !== '' ||
    url.password !== ''
  )
    return home;
  if (!isWithin(url.pathname, place)) return home;
  const whole = `${url.pathname}${url.search}${url.hash}`;
  if (whole.length <= MAX_CHARACTERS) return brand(whole);
  return url.pathname.length <= MAX_CHARACTERS ? brand(url.pathname) : home;
}

/** As the registry finds tenants; on a host of its own all is the tenant's but what is the gateway's. */
function isWithin(pathname: string, { tenant, site }: Place): boolean {
  if (pathname.startsWith('//')) return false;
  const segment = pathname.split('/', 2)[1] ?? '';
  if (site.prefix === '') return !GATEWAY_SLUGS.has(slugOf(segment)) && !/%(?![0-9a-f]{2})/i.test(segment);
  return slugOf(segment) === tenant.slug.toLowerCase();
}

function brand(path: string): ReturnPath {
  return path as ReturnPath;
}
