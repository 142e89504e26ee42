/**
 * What identity providers do in their own way, as data: where the roles are, how they are written, and which quirks they have. Each row
 * says where the fact comes from. A tenant's file wins over its preset; quirks add up.
 */
export const PRESET_NAMES = [
  'entra',
  'okta',
  'auth0',
  'keycloak',
  'adfs',
  'google',
  'ping',
  'zitadel',
  'authentik',
  'cognito',
  'gitlab',
] as const;

export type PresetName = (typeof PRESET_NAMES)[number];
type Quirk = 'logout_token_without_exp' | 'frontchannel_sid_only' | 'lenient_auth_time';

export type Preset = {
  readonly claims?: { readonly roles: readonly string[] };
  /** `keys`: an object, or a list of such, whose names are the roles */
  readonly rolesShape?: 'values' | 'keys';
  /** `cognito`: an address of its own, with parameters of its own */
  readonly endSession?: 'standard' | 'cognito';
  readonly optionalClaims?: ('email' | 'roles' | 'name')[];
  readonly quirks?: readonly Quirk[];
  readonly settings?: {
    readonly scope?: string;
    readonly flow?: 'implicit' | 'code';
    readonly response_mode?: 'form_post' | 'query' | 'fragment';
  };
  /** where the facts come from */
  readonly source: string;
};

export const PRESETS: Readonly<Record<PresetName, Preset>> = {
  entra: {
    claims: { roles: ['roles'] },
    quirks: ['frontchannel_sid_only'],
    source:
      'Entra docs, ID token claims reference (overage, `tid`) and v2.0 protocols (issuer template); nginxinc/nginx-openid-connect#117',
  },
  okta: {
    claims: { roles: ['groups'] },
    settings: { scope: 'openid profile email groups' },
    source: 'Okta developer docs, customize tokens: groups claim',
  },
  auth0: {
    claims: { roles: ['roles'] },
    source: 'Auth0 docs, custom claims: name yours by a URL and write it into `claims.roles`',
  },
  keycloak: {
    claims: { roles: ['realm_access', 'roles'] },
    source: 'Keycloak OIDCLoginProtocolFactory; a mapper must put them into the ID token',
  },
  adfs: {
    claims: { roles: ['roles'] },
    quirks: ['lenient_auth_time'],
    source: 'MS-OIDCE; dexidp/dex#2639 (one role is a string), panva/jose#73 (times as text)',
  },
  google: {
    claims: { roles: ['hd'] },
    source:
      'Google OpenID Connect reference: there are no roles; `hd`, the Workspace domain, must be checked in the token',
  },
  ping: {
    claims: { roles: ['groups'] },
    source: 'PingFederate attribute contracts: the administrator names it; tchiotludo/akhq#840',
  },
  zitadel: {
    claims: { roles: ['urn:zitadel:iam:org:project:roles'] },
    rolesShape: 'keys',
    source: 'Zitadel claims reference; live tokens are an object, the documentation shows a list around it',
  },
  authentik: {
    claims: { roles: ['groups'] },
    quirks: ['logout_token_without_exp'],
    source: 'authentik docs, oauth2 provider; choose a signing key there, or its tokens are HS256 and refused',
  },
  cognito: {
    claims: { roles: ['cognito:groups'] },
    settings: { flow: 'code', response_mode: 'query' },
    endSession: 'cognito',
    source: 'Cognito user pools: authorization endpoint (`code` or `token`, by the query), logout endpoint, ID token',
  },
  gitlab: {
    claims: { roles: ['groups_direct'] },
    optionalClaims: ['roles'], // left out when empty: then there are none
    settings: { flow: 'code', response_mode: 'query' },
    source: 'GitLab as OpenID Connect provider: groups_direct in the ID token',
  },
};
