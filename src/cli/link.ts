/** `gatehouse link`: a signed link for trying a tenant out, made with its first key. It is as good as the customer's own. */
import { randomUUID } from 'node:crypto';
import { SignJWT } from 'jose';
import { DIALECTS, type DialectName, type LinkConfig } from '../config/links.ts';
import type { Environment } from '../config/settings.ts';
import { parseReturnPath } from '../sign-in/return-path.ts';
import { sitesOf } from '../tenants/tenant.ts';
import { EXIT, type Print, readSettings, readTenant } from './desk.ts';

export type LinkOptions = {
  readonly tenant: string;
  readonly dialect: string;
  readonly id?: string;
  readonly email?: string;
  readonly name?: string;
  readonly role?: string;
  readonly returnTo?: string;
  readonly json?: boolean;
};

const LIVES_SECONDS = 5 * 60;

/** @returns the exit code */
export async function makeLink(options: LinkOptions, environment: Environment, print: Print): Promise<number> {
  const dialect = DIALECTS.find((name) => name === options.dialect);
  if (dialect === undefined) return say(print, `--dialect is one of ${DIALECTS.join(', ')}.`, EXIT.usage);
  const needed = missing(dialect, options);
  if (needed !== undefined) return say(print, `A link of ${dialect} needs ${needed}.`, EXIT.usage);
  const settings = readSettings(environment, print);
  if (typeof settings === 'number') return settings;
  const tenant = await readTenant(options.tenant, settings, environment, print);
  if (typeof tenant === 'number') return tenant;
  const config = tenant.links.find((link) => link.dialect === dialect);
  if (config === undefined) return say(print, `${tenant.id} has no such connection.`, EXIT.failed);
  const token = await signFor(config, options);
  const [site] = sitesOf(tenant, settings.publicUrl);
  if (site === undefined) return EXIT.failed;
  const returnTo = options.returnTo === undefined ? undefined : parseReturnPath(options.returnTo, { tenant, site });
  const url = urlOf(config, site.origin, site.prefix, token, returnTo);
  return say(print, options.json ? JSON.stringify({ url, expires_in: LIVES_SECONDS }) : url, EXIT.done);
}

function say(print: Print, text: string, code: number): number {
  print(`${text}\n`);
  return code;
}

function missing(dialect: DialectName, { id, email, name }: LinkOptions): string | undefined {
  if (dialect === 'issuely') return email === undefined ? '--email' : undefined;
  if (dialect === 'chargely') return id === undefined && email === undefined ? '--id or --email' : undefined;
  if (id === undefined) return '--id';
  return dialect === 'frill' && (email === undefined || name === undefined) ? '--email and --name' : undefined;
}

async function signFor(config: LinkConfig, options: LinkOptions): Promise<string> {
  const key = new TextEncoder().encode(config.key[0]?.reveal());
  const jwt = new SignJWT(payloadOf(config, options)).setProtectedHeader({ alg: 'HS256', typ: 'JWT' }).setIssuedAt();
  return jwt.setJti(randomUUID()).setExpirationTime(`${LIVES_SECONDS}s`).sign(key);
}

function payloadOf(config: LinkConfig, { id, email, name, role }: LinkOptions): Record<string, unknown> {
  const roles = role === undefined ? {} : { roles: [role] };
  const named = name === undefined ? {} : { name };
  switch (config.dialect) {
    case 'invoiced':
      return { sub: id, iss: 'gatehouse link', ...(email === undefined ? {} : { email }), ...named, ...roles };
    case 'chargely':
      return { auth: { ...(id && { cust_ref: id }), ...(email && { cust_email: email }) }, ...named, ...roles };
    case 'frill':
      return { id, email, name, ...roles };
    case 'issuely':
      return { companyId: config.company_id, email, ...named, ...(role === undefined ? {} : { role }) };
  }
}

function urlOf(config: LinkConfig, origin: string, prefix: string, token: string, returnTo?: string): string {
  const back = returnTo === undefined ? '' : `&return_to=${encodeURIComponent(returnTo)}`;
  switch (config.dialect) {
    case 'invoiced':
      return `${origin}${prefix}/login/${token}${back.replace('&', '?')}`;
    case 'chargely':
      return `${origin}${prefix}/sso/jwt/login?${config.public_key === undefined ? '' : `public_key=${encodeURIComponent(config.public_key)}&`}token=${token}${back}`;
    case 'frill':
      return withToken(`${origin}${returnTo ?? prefix}`, token);
    case 'issuely':
      return `${origin}/api/auth/sso?token=${token}${back}`;
  }
}

function withToken(address: string, token: string): string {
  const url = new URL(address);
  url.searchParams.set('ssoToken', token);
  return url.href;
}
