/**
 * Where a person is taken after signing in: a path within the tenant's own URL, whatever was asked for. Parsed by the same
 * parser that browsers use (WHATWG URL), compared after parsing, and written out as parsed: what is judged is what is sent
 * (CVE-2022-23527 and its kin are all about two parsers).
 */
import { RESERVED_SLUGS } from '../config/tenant-file.ts';
import type { Place } from '../tenants/registry.ts';

declare const returnPath: unique symbol;
/** path, query and fragment within one tenant's URL */
export type ReturnPath = string & { readonly [returnPath]: true };

/** It travels in `state`, and IdPs have limits: nothing much longer arrives anywhere. */
const MAX_CHARACTERS = 4_096;

/** @returns where to go; the tenant's own front page for everything that is not within the tenant */
export function parseReturnPath(asked: string | null | undefined, place: Place): ReturnPath {
  const home = brand(place.site.prefix || '/');
  if (!asked || /[\p{Cc}\p{Zs}\\]/u.test(asked)) return home; // browsers drop or turn these, each in its way
  const { origin } = place.site;
  const url = asked.startsWith('/') && !asked.startsWith('//') ? URL.parse(`${origin}${asked}`) : URL.parse(asked);
  if (url === null || url.origin !== origin || url.username !== '' || url.password !== '') return home;
  if (!isWithin(url.pathname, place)) return home;
  const whole = `${url.pathname}${url.search}${url.hash}`;
  if (whole.length <= MAX_CHARACTERS) return brand(whole);
  return url.pathname.length <= MAX_CHARACTERS ? brand(url.pathname) : home;
}

/** As the registry finds tenants: first segment, decoded once, whatever its case; a tenant's own host is all its own. */
function isWithin(pathname: string, { tenant, site }: Place): boolean {
  if (pathname.startsWith('//')) return false;
  const first = decodeSegment(pathname.split('/')[1] ?? '');
  if (first === undefined) return false;
  if (site.prefix === '') return !RESERVED_SLUGS.has(first.toLowerCase());
  return first.toLowerCase() === tenant.slug.toLowerCase();
}

/** @returns the decoded segment, or `undefined` for what is not percent-encoded UTF-8 */
export function decodeSegment(segment: string): string | undefined {
  try {
    return decodeURIComponent(segment);
  } catch {
    return undefined;
  }
}

function brand(path: string): ReturnPath {
  return path as ReturnPath;
}
