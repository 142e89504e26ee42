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

export type Told = {
  /** `X-Auth-Request-*`; empty for nobody */
  readonly identity: Readonly<Record<string, string>>;
  readonly forwarded: Readonly<Record<string, string>>;
  /** the public one, with port */
  readonly host: string;
};

/** Of a Cookie or Set-Cookie header's value. */
export function isOwnCookie(cookie: string): boolean {
  return OWN_COOKIE.test(cookie);
}

/** @param raw as Node gives them: name, value, name, value … @returns the same form */
export function toUpstream(raw: readonly string[], { identity, forwarded, host }: Told): string[] {
  const nominated = nominatedBy(valuesOf(raw, 'connection'));
  const headers = ['host', host];
  for (const [name, value] of pairs(raw)) {
    const plain = name.toLowerCase().replaceAll('_', '-');
    if (HOP_BY_HOP.has(plain) || nominated.has(plain) || OURS.test(plain)) continue;
    const kept = plain === 'cookie' ? withoutOwnCookies(value) : value;
    if (kept !== '') headers.push(name, kept);
  }
  for (const [name, value] of Object.entries({ ...forwarded, ...identity })) headers.push(name, value);
  return headers;
}

/** @returns a new object without what ends here */
export function toBrowser(headers: IncomingHttpHeaders): Record<string, string | string[]> {
  const nominated = nominatedBy([headers.connection ?? '']);
  const kept: Record<string, string | string[]> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined || HOP_BY_HOP.has(name) || nominated.has(name)) continue;
    if (name !== 'set-cookie') kept[name] = value;
    else kept[name] = [value].flat().filter((cookie) => !OWN_COOKIE.test(cookie));
  }
  return kept;
}

function withoutOwnCookies(header: string): string {
  return header
    .split(';')
    .map((cookie) => cookie.trim())
    .filter((cookie) => cookie !== '' && !OWN_COOKIE.test(cookie))
    .join('; ');
}

/** Header names that a Connection header declares to be of this connection only. */
function nominatedBy(values: readonly string[]): ReadonlySet<string> {
  return new Set(
    values.flatMap((value) => value.split(',')).map((name) => name.trim().toLowerCase().replaceAll('_', '-')),
  );
}

function valuesOf(raw: readonly string[], wanted: string): string[] {
  return [...pairs(raw)].flatMap(([name, value]) => (name.toLowerCase() === wanted ? [value] : []));
}

function* pairs(raw: readonly string[]): Iterable<readonly [string, string]> {
  for (let at = 0; at + 1 < raw.length; at += 2) yield [raw[at] ?? '', raw[at + 1] ?? ''];
}
