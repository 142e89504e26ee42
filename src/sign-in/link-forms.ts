/**
 * The addresses at which signed links come in (contract section 3), each as the system that it stands in for writes it. Pure: what was
 * sent, and to which of the tenant's connections it can belong. Only a tenant that has such a connection has such addresses;
 * everybody else's apps keep theirs.
 */
import type { DialectName, LinkConfig } from '../config/links.ts';
import { ok, type Result, refuse } from '../kernel/result.ts';
import type { Place } from '../tenants/registry.ts';

/** A link as it came in, nothing of it proven. */
export type LinkSent = {
  readonly token: string;
  /** undefined: any */
  readonly dialect: DialectName | undefined;
  readonly public_key?: string | undefined;
  readonly return_to?: string | undefined;
  readonly login_url?: string | undefined;
  readonly logout_url?: string | undefined;
  readonly custom_domain?: string | undefined;
};

export const ISSUELY_PATH = '/api/auth/sso';
const CHARGELY_PATH = '/sso/jwt/login';
const INVOICED_PATH = /^\/login\/[^/]+$/;
/** Addresses of pages; what is longer is for no browser. */
const PARAMETER_MAX_CHARACTERS = 2_048;
const NAMES = ['token', 'return_to', 'public_key', 'login_url', 'logout_url', 'custom_domain'] as const;

/** Which form a request to a tenant URL has, if any. @param path as it was sent, without query */
export function formOf({ tenant, site }: Place, path: string, query: string): DialectName | undefined {
  if (tenant.links.length === 0) return undefined;
  const has = (name: DialectName): boolean => tenant.links.some(({ dialect }) => dialect === name);
  const within = withinTenant(path, site.prefix);
  if (has('invoiced') && INVOICED_PATH.test(within)) return 'invoiced';
  if (has('chargely') && within === CHARGELY_PATH) return 'chargely';
  if (has('issuely') && site.prefix === '' && within === ISSUELY_PATH) return 'issuely';
  // a query is read as an app would: `sso%54oken` is that name too
  if (has('frill') && query !== '' && new URLSearchParams(query).has('ssoToken')) return 'frill';
  return undefined;
}

/** What such a request holds; for Frill the way back is the same address without the token. */
export function readSent(form: DialectName, place: Place, path: string, query: string): Result<LinkSent> {
  const parameters = new URLSearchParams(query);
  if (form === 'invoiced') {
    const token = withinTenant(path, place.site.prefix).slice('/login/'.length);
    return readParameters(parameters, form, token);
  }
  if (form !== 'frill') return readParameters(parameters, form);
  const tokens = parameters.getAll('ssoToken');
  if (tokens.length !== 1) return refuse('parameter_doubled', { name: 'ssoToken' });
  parameters.delete('ssoToken');
  const rest = parameters.toString();
  return ok({ token: tokens[0] ?? '', dialect: form, return_to: `${path}${rest === '' ? '' : `?${rest}`}` });
}

/** @param fixed the token, where it is not one of the parameters */
export function readParameters(
  parameters: URLSearchParams,
  dialect: DialectName | undefined,
  fixed?: string,
): Result<LinkSent> {
  for (const name of NAMES) {
    const [value = '', ...more] = parameters.getAll(name);
    if (more.length > 0) return refuse('parameter_doubled', { name });
    if (name !== 'token' && value.length > PARAMETER_MAX_CHARACTERS) return refuse('parameter_too_long', { name });
  }
  const of = (name: (typeof NAMES)[number]): string | undefined => parameters.get(name) || undefined;
  const token = fixed ?? of('token');
  if (token === undefined) return refuse('parameters_missing', { name: 'token' });
  return ok({
    token,
    dialect,
    public_key: of('public_key'),
    return_to: of('return_to'),
    login_url: of('login_url'),
    logout_url: of('logout_url'),
    custom_domain: of('custom_domain'),
  });
}

/** What `readParameters` reads, to be sent on or kept. */
export function parametersOf(sent: LinkSent): Record<string, string> {
  const there = NAMES.flatMap((name) => (sent[name] === undefined ? [] : [[name, sent[name]]]));
  return Object.fromEntries(there);
}

/** Those of a tenant's connections that a link may be signed by. */
export function candidates({ tenant }: Place, { dialect, public_key }: LinkSent): readonly LinkConfig[] {
  return tenant.links.filter((link) => {
    if (dialect !== undefined && link.dialect !== dialect) return false;
    return link.dialect !== 'chargely' || public_key === undefined || (link.public_key ?? public_key) === public_key;
  });
}

/** Where people of a tenant without an IdP are sent to sign in, if anywhere. */
export function loginUrlOf({ tenant }: Place, among: readonly LinkConfig[] = tenant.links): string | undefined {
  return among.find(({ login_url }) => login_url !== undefined)?.login_url;
}

/**
 * The path below the tenant URL as an app would read it: decoded, and without a slash at its end. Whatever comes near a link's address is
 * taken for one, so that no token passes on.
 */
function withinTenant(path: string, prefix: string): string {
  const end = prefix === '' ? 0 : path.indexOf('/', 1);
  const within = end === -1 ? '/' : path.slice(end);
  return (decode(within) ?? within).replace(/(?<=[^/])\/+$/, '');
}

function decode(text: string): string | undefined {
  try {
    return text.includes('%') ? decodeURIComponent(text) : text;
  } catch {
    return undefined; // not UTF-8: nobody's address
  }
}
