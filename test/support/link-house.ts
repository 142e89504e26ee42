/** Two tenants with signed links: Acme beside its OpenID Connect provider, Initech by nothing else. */
import type { TenantYaml } from './gateway.ts';
import { type House, openHouse } from './house.ts';

export const ACME_KEY = 'acme-key-of-at-least-thirty-two-bytes';
export const INITECH_KEY = 'initech-key-of-at-least-thirty-two-by';
export const LOGIN_URL = 'https://acme.example/login';
export const LOGOUT_URL = 'https://acme.example/bye';
export const DIALECTS = ['invoiced', 'chargely', 'frill', 'issuely'] as const;
export type DialectName = (typeof DIALECTS)[number];

export function linksYaml(key: string, company: string, more: TenantYaml = {}): TenantYaml[] {
  return [
    { dialect: 'invoiced', key, ...more },
    { dialect: 'chargely', key, public_key: 'pk_123', ...more },
    { dialect: 'frill', key, ...more },
    { dialect: 'issuely', key, company_id: company, ...more },
  ];
}

export function initechYaml(more: TenantYaml = {}): TenantYaml {
  return {
    id: 'initech',
    links: linksYaml(INITECH_KEY, 'company-initech', { login_url: 'https://initech.example/login' }),
    no_groups: 'allow',
    ...more,
  };
}

export async function openLinkHouse(
  environment: Record<string, string> = {},
  acme: TenantYaml = {},
  links: TenantYaml = {},
): Promise<House> {
  const house = await openHouse({
    environment,
    acme: {
      links: linksYaml(ACME_KEY, 'company-acme', links),
      groups: [{ id: 'members' }, { id: 'agents', roles: ['AGENT'] }, { id: 'admins', roles: ['Admin'] }],
      default_groups: ['members'],
      ...acme,
    },
  });
  await house.gateway.writeTenant(initechYaml());
  await house.gateway.waitFor('tenant.changed');
  return house;
}

let made = 0;

/** What each dialect must say, and where it is sent; `n` makes another link of it. */
export function validLink(
  dialect: DialectName,
  nowMs: number,
  n = ++made,
  company = 'company-acme',
): Record<string, unknown> {
  const iat = Math.floor(nowMs / 1000);
  switch (dialect) {
    case 'invoiced':
      return { sub: 1234, iss: 'Ruby Backend', exp: iat + 3600 + n };
    case 'chargely':
      return {
        jti: `${dialect}-${nowMs}-${n}-${Math.random()}`,
        iat,
        auth: { cust_email: 'ada@acme.example', cust_ref: 'ref-7' },
      };
    case 'frill':
      return { id: 42, email: 'ada@acme.example', name: 'Ada Admin', avatar: `https://acme.example/${n}.png`, iat };
    case 'issuely':
      return {
        companyId: company,
        email: 'ada@acme.example',
        name: 'Ada Admin',
        role: 'CUSTOMER',
        iat,
        exp: iat + 300 + n,
      };
  }
}

export function linkPath(dialect: DialectName, token: string, slug = 'AcmeCorp'): string {
  switch (dialect) {
    case 'invoiced':
      return `/${slug}/login/${token}`;
    case 'chargely':
      return `/${slug}/sso/jwt/login?public_key=pk_123&token=${token}`;
    case 'frill':
      return `/${slug}?ssoToken=${token}`;
    case 'issuely':
      return `/api/auth/sso?token=${token}`;
  }
}

/** Who a valid link is. */
export const SUBJECTS = { invoiced: '1234', chargely: 'ref-7', frill: '42', issuely: 'ada@acme.example' } as const;
