/**
 * One form of a path, in which it is judged and passed on (CVE-2026-33494, CVE-2026-41059 and their kin are all about two forms).
 * Decoded once: what need not be encoded is not, what must be is, in capitals. What two servers may read differently is refused:
 * dot segments, empty segments, parameters after `;`, encoded slashes and backslashes, what is encoded twice, control characters.
 */
import { ok, type Result, refuse } from '../kernel/result.ts';

declare const canonical: unique symbol;
/** without query; begins with `/` */
export type CanonicalPath = string & { readonly [canonical]: true };

const MAX_CHARACTERS = 8_192;
/** Encoded twice: one server more, and it is a dot segment, a separator, or another such. */
const TWICE = /%25(?:2e|2f|5c|3b|25|00)/i;
/** Nothing encoded, nothing that may be, no segment that begins with a dot: most paths, and they are what they are. */
const PLAIN = /^(?:\/[\w~-][\w.~-]*)+\/?$|^\/$/;

/** @param raw the path as it was sent, without query */
export function canonicalPath(raw: string): Result<CanonicalPath> {
  if (!raw.startsWith('/') || raw.length > MAX_CHARACTERS) return refuse('path_ambiguous', { length: raw.length });
  if (PLAIN.test(raw)) return ok(brand(raw));
  if (!/^[\x21-\x7e]*$/.test(raw) || /[\\#;?]/.test(raw)) return refuse('path_ambiguous');
  if (/%(?![0-9a-f]{2})|%(?:[01][0-9a-f]|7f|2f|5c|3b)/i.test(raw)) return refuse('path_ambiguous');
  const decoded = decode(raw);
  if (decoded === undefined || decoded.includes('//')) return refuse('path_ambiguous');
  if (decoded.split('/').some((segment) => segment === '.' || segment === '..')) return refuse('path_ambiguous');
  const encoded = decoded.split('/').map(encode).join('/');
  // what was encoded twice may have been encoded in part: it shows only now
  return TWICE.test(encoded) ? refuse('path_ambiguous') : ok(brand(encoded));
}

/** Where the path lies within a tenant: what access rules are about. */
export function pathWithin(path: CanonicalPath, prefixSegments: 0 | 1): string {
  if (prefixSegments === 0) return path;
  const end = path.indexOf('/', 1);
  return end === -1 ? '/' : path.slice(end);
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined; // not UTF-8
  }
}

/** RFC 3986 section 3.3: all that a segment may hold as it is, stays; `%` itself never does. */
function encode(segment: string): string {
  return encodeURIComponent(segment).replace(/%(?:21|24|26|27|28|29|2A|2B|2C|3A|3D|40)/g, decodeURIComponent);
}

function brand(path: string): CanonicalPath {
  return path as CanonicalPath;
}
