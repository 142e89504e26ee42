/**
 * What most flows need: two tenants, each with an identity provider of its own, one gateway, and short words for the steps
 * of a sign-in.
 */
import { type Adversary, type Claims, openAdversary } from './adversary.ts';
import { openGateway, type TenantYaml, type TestGateway, type TestGatewayOptions } from './gateway.ts';
import { type Reply, Visitor } from './visitor.ts';

export type House = {
  readonly gateway: TestGateway;
  readonly acme: Adversary;
  readonly globex: Adversary;
  readonly visitor: () => Visitor;
  readonly close: () => Promise<void>;
};

/** Acme: slug AcmeCorp, form_post. Globex: fragment. */
export function acmeYaml(idp: Pick<Adversary, 'issuer'>, more: TenantYaml = {}, oidc: TenantYaml = {}): TenantYaml {
  return {
    id: 'acme',
    slug: 'AcmeCorp',
    name: 'Acme Corporation',
    oidc: { issuer: idp.issuer, client_id: 'gatehouse-acme', allow_insecure: true, ...oidc },
    groups: [{ id: 'billing-admins', roles: ['BillingAdmin', 'billing-*'] }, { id: 'invoice-readers' }],
    ...more,
  };
}

export function globexYaml(idp: Adversary, more: TenantYaml = {}, oidc: TenantYaml = {}): TenantYaml {
  return {
    id: 'globex',
    oidc: {
      issuer: idp.issuer,
      client_id: 'gatehouse-globex',
      allow_insecure: true,
      response_mode: 'fragment',
      ...oidc,
    },
    groups: [{ id: 'invoice-readers' }],
    ...more,
  };
}

type HouseOptions = Omit<TestGatewayOptions, 'tenants'> & {
  readonly acme?: TenantYaml;
  readonly acmeOidc?: TenantYaml | ((idp: Adversary) => TenantYaml);
  readonly globexOidc?: TenantYaml;
};

export async function openHouse(options: HouseOptions = {}): Promise<House> {
  const [acme, globex] = await Promise.all([openAdversary(), openAdversary()]);
  const acmeOidc = typeof options.acmeOidc === 'function' ? options.acmeOidc(acme) : options.acmeOidc;
  const gateway = await openGateway({
    ...options,
    tenants: [acmeYaml(acme, options.acme, acmeOidc), globexYaml(globex, {}, options.globexOidc)],
  });
  return {
    gateway,
    acme,
    globex,
    visitor: () => new Visitor(gateway.url),
    async close() {
      await gateway.close();
      await Promise.all([acme.stop(), globex.stop()]);
    },
  };
}

/** What the gateway asked the IdP for, out of the redirect. */
export type Asked = { readonly state: string; readonly nonce: string; readonly url: URL };

export function askedOf(reply: Reply): Asked {
  const url = new URL(reply.location);
  return { url, state: url.searchParams.get('state') ?? '', nonce: url.searchParams.get('nonce') ?? '' };
}

/** Claims that pass every check, for a sign-in that was asked for so. */
export function validClaims(idp: Adversary, asked: Asked, clock: { nowMs(): number }, more: Claims = {}): Claims {
  const now = Math.floor(clock.nowMs() / 1000);
  const claims: Claims = {
    iss: idp.issuer,
    aud: asked.url.searchParams.get('client_id'),
    sub: 'ada',
    nonce: asked.nonce,
    iat: now,
    exp: now + 300,
    email: 'ada@acme.example',
    name: 'Ada Admin',
    roles: ['BillingAdmin', 'invoice-readers'],
    ...more,
  };
  return Object.fromEntries(Object.entries(claims).filter(([, value]) => value !== undefined));
}

export async function start(visitor: Visitor, path = '/AcmeCorp'): Promise<Asked> {
  const reply = await visitor.go(path);
  if (reply.status !== 303) throw new Error(`expected the way to the IdP, got ${reply.status} ${reply.text}`);
  return askedOf(reply);
}

export const ACME_CALLBACK = '/SSO/OIDC/acme/Callback';
export const GLOBEX_CALLBACK = '/SSO/OIDC/globex/Callback';

/** A whole sign-in at Acme. @returns the last answer */
export async function signIn(
  house: House,
  visitor: Visitor,
  { path = '/AcmeCorp', claims = {} }: { path?: string; claims?: Claims } = {},
): Promise<Reply> {
  const asked = await start(visitor, path);
  const token = await house.acme.sign(validClaims(house.acme, asked, house.gateway.clock, claims));
  return visitor.post(ACME_CALLBACK, { id_token: token, state: asked.state });
}

/** A whole sign-in at Globex, whose answers come in a fragment that our page posts. */
export async function signInAtGlobex(house: House, visitor: Visitor, claims: Claims = {}): Promise<Reply> {
  const asked = await start(visitor, '/globex');
  const token = await house.globex.sign(validClaims(house.globex, asked, house.gateway.clock, claims));
  return visitor.post(
    GLOBEX_CALLBACK,
    { id_token: token, state: asked.state, response_mode: 'fragment' },
    { 'sec-fetch-site': 'same-origin' },
  );
}

export async function sessionOf(visitor: Visitor, tenant = 'acme'): Promise<Record<string, unknown> | undefined> {
  const reply = await visitor.send(`/SSO/Session/${tenant}`);
  return reply.status === 200 ? reply.json() : undefined;
}
