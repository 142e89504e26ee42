/**
 * What of a request reaches the app, and what of the app's answer reaches the browser. Pure. Connection headers end here (RFC 9110
 * section 7.6.1); whatever a client says under the names by which we speak to the app, in any spelling, is dropped, because
 * servers behind us read `X_Auth_Request_User` as they read `X-Auth-Request-User` (CVE-2025-64484).
 */
import type { IncomingHttpHeaders } from 'node:http';

const HOP_BY_HOP = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authenticate',
  'proxy-authorization',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
  'expect', // Node has answered it
]);
/** Ours to say, or known to change the path that an app believes in. */
const OURS = /^(?:x-auth-request-.*|x-forwarded-.*|forwarded|x-real-ip|x-original-.*|x-rewrite-url|host)$/;
/** Cookies of the gateway's own: they are no business of an app, and no app may set them. */
const OWN_COOKIE = /^[\s=]*__host-gatehouse-/i;

/** Name, value, name, value … */
export type HeaderList = readonly string[];

export type Told = {
  /** `X-Auth-Request-*`; empty for nobody */
  readonly identity: HeaderList;
  readonly forwarded: HeaderList;
  /** the public one, with port */
  readonly host: string;
};

/** Of a Cookie or Set-Cookie header's value. */
export function isOwnCookie(cookie: string): boolean {
  return OWN_COOKIE.test(cookie);
}

/** @param raw as Node gives them */
export function toUpstream(raw: HeaderList, { identity, forwarded, host }: Told): string[] {
  const nominated = nominatedBy(valuesOf(raw, 'connection'));
  const headers = ['host', host];
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const [name = '', value = ''] = [raw[at], raw[at + 1]];
    const plain = plainName(name);
    if (plain === DROPPED || nominated?.has(plain)) continue;
    const kept = plain === 'cookie' ? withoutOwnCookies(value) : value;
    if (kept !== '') headers.push(name, kept);
  }
  for (const header of forwarded) headers.push(header);
  for (const header of identity) headers.push(header);
  return headers;
}

const DROPPED = '';
const plainNames = new Map<string, string>();
/** Clients write the names; nobody's list may grow without end. */
const PLAIN_NAMES_MAX = 500;
const PLAIN_NAME_MAX_CHARACTERS = 64;

/** As every server behind us reads the name; `DROPPED` for one that must not pass. Worked out once for each spelling. */
function plainName(name: string): string {
  const known = plainNames.get(name);
  if (known !== undefined) return known;
  const plain = name.toLowerCase().replaceAll('_', '-');
  const result = HOP_BY_HOP.has(plain) || OURS.test(plain) ? DROPPED : plain;
  if (plainNames.size < PLAIN_NAMES_MAX && name.length <= PLAIN_NAME_MAX_CHARACTERS) plainNames.set(name, result);
  return result;
}

/** @returns a new object without what ends here */
export function toBrowser(headers: IncomingHttpHeaders): Record<string, string | string[]> {
  const nominated = nominatedBy([headers.connection ?? '']);
  const kept: Record<string, string | string[]> = {};
  for (const name in headers) {
    const value = headers[name];
    if (value === undefined || HOP_BY_HOP.has(name) || nominated?.has(name)) continue;
    if (name !== 'set-cookie') kept[name] = value;
    else kept[name] = [value].flat().filter((cookie) => !OWN_COOKIE.test(cookie));
  }
  return kept;
}

function withoutOwnCookies(header: string): string {
  if (!/__host-gatehouse-/i.test(header)) return header;
  return header
    .split(';')
    .map((cookie) => cookie.trim())
    .filter((cookie) => cookie !== '' && !OWN_COOKIE.test(cookie))
    .join('; ');
}

/** Header names that a Connection header declares to be of this connection only; `undefined`: none that is not known anyway. */
function nominatedBy(values: readonly string[]): ReadonlySet<string> | undefined {
  if (values.every((value) => /^(?:keep-alive|close)?$/i.test(value))) return undefined;
  return new Set(
    values.flatMap((value) => value.split(',')).map((name) => name.trim().toLowerCase().replaceAll('_', '-')),
  );
}

/** @param wanted in lower case */
export function valuesOf(raw: HeaderList, wanted: string): string[] {
  const values: string[] = [];
  for (let at = 0; at + 1 < raw.length; at += 2)
    if (raw[at]?.length === wanted.length && raw[at]?.toLowerCase() === wanted) values.push(raw[at + 1] ?? '');
  return values;
}
