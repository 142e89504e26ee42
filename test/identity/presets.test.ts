import { describe, expect, it } from 'vitest';
import { PRESET_NAMES, type PresetName } from '../../src/config/presets.ts';
import { tenantFileSchema } from '../../src/config/tenant-file.ts';
import { readPerson } from '../../src/identity/identity.ts';

/** Claims as each provider writes them, made by hand from what its documentation says; what a preset makes of them. */
const ZITADEL = 'urn:zitadel:iam:org:project:roles';
const PERSON = { sub: 'ada', email: 'ada@acme.example', name: 'Ada' };

function oidcOf(oidc: Record<string, unknown>) {
  const parsed = tenantFileSchema.parse({
    id: 'acme',
    oidc: { issuer: 'https://idp.example', client_id: 'x', ...oidc },
  });
  if (parsed.oidc === undefined) throw new Error('it is there');
  return parsed.oidc;
}

function rolesOf(
  preset: PresetName | undefined,
  claims: Record<string, unknown>,
  more: Record<string, unknown> = {},
): unknown {
  const person = readPerson({ ...PERSON, ...claims }, oidcOf(preset === undefined ? more : { preset, ...more }));
  return person.ok ? person.value.roles : person.refusal.map(({ reason }) => reason);
}

describe('a preset knows where the roles are', () => {
  it.each<[PresetName, Record<string, unknown>, unknown]>([
    ['entra', { roles: ['Admin', 'Reader'] }, ['Admin', 'Reader']],
    ['okta', { groups: ['Everyone'] }, ['Everyone']],
    ['auth0', { roles: ['a'] }, ['a']],
    ['keycloak', { realm_access: { roles: ['a', 'b'] }, roles: ['no'] }, ['a', 'b']],
    ['adfs', { roles: 'one' }, ['one']],
    ['adfs', { roles: ['one', 'two'] }, ['one', 'two']],
    ['google', { hd: 'acme.example' }, ['acme.example']],
    ['ping', { groups: 'one' }, ['one']],
    ['zitadel', { [ZITADEL]: { admin: { 1: 'a.example' }, user: { 2: 'b.example' } } }, ['admin', 'user']],
    ['zitadel', { [ZITADEL]: [{ admin: { 1: 'a.example' } }, { user: {} }] }, ['admin', 'user']],
    ['authentik', { groups: ['authentik Admins'] }, ['authentik Admins']],
    ['cognito', { 'cognito:groups': ['a'] }, ['a']],
    ['gitlab', { groups_direct: ['a/b'] }, ['a/b']],
    ['gitlab', {}, []], // left out when empty
  ])('%s: %j', (preset, claims, roles) => {
    expect(rolesOf(preset, claims)).toEqual(roles);
  });

  it.each<[PresetName, Record<string, unknown>]>([
    ['keycloak', { roles: ['a'] }],
    ['keycloak', { realm_access: 'a' }],
    ['okta', { roles: ['a'] }],
    ['google', { email: 'mallory@gmail.com' }], // no Workspace account
    ['zitadel', { [ZITADEL]: null }],
  ])('%s without them is a refusal: %j', (preset, claims) => {
    expect(rolesOf(preset, claims)).toEqual(['claim_missing']);
  });

  it.each<[PresetName, Record<string, unknown>]>([
    ['zitadel', { [ZITADEL]: [1] }],
    ['zitadel', { [ZITADEL]: 7 }],
    ['entra', { roles: { admin: {} } }], // keys are roles where a preset says so, and nowhere else
  ])('%s with another shape is a refusal: %j', (preset, claims) => {
    expect(rolesOf(preset, claims)).toEqual(['claim_malformed']);
  });

  it.each([
    [{ preset: 'entra', claims: { roles: 'groups' } }, { _claim_names: { groups: 'src1' } }],
    [{ preset: 'entra', claims: { roles: 'groups' } }, { hasgroups: true }],
    [{ preset: 'entra' }, { _claim_names: { roles: 'src1' } }],
  ])('more groups than fit are told as that: %j, %j', (oidc, claims) => {
    expect(rolesOf(undefined, claims, oidc)).toEqual(['roles_overage']);
  });
});

describe('a tenant’s file', () => {
  it('wins over its preset, and quirks add up', () => {
    expect(oidcOf({ preset: 'keycloak', claims: { roles: ['resource_access', 'app', 'roles'] } }).claims).toEqual({
      roles: ['resource_access', 'app', 'roles'],
      email: ['email'],
    });
    expect(oidcOf({ preset: 'okta', scope: 'openid email' }).scope).toBe('openid email');
    expect(oidcOf({ preset: 'adfs', quirks: ['frontchannel_sid_only'] }).quirks).toEqual([
      'lenient_auth_time',
      'frontchannel_sid_only',
    ]);
    expect(oidcOf({ preset: 'google', optional_claims: ['email'] }).optional_claims).toEqual(['email']);
  });

  it.each(PRESET_NAMES)('with %s and nothing else is complete', (preset) => {
    const untouched = {
      token_algs: ['RS256'],
      clock_tolerance: 30,
      trusted_audiences: [],
      max_age: null,
      allow_insecure: false,
    };
    expect(oidcOf({ preset })).toMatchObject(untouched);
    expect(oidcOf({})).toMatchObject(untouched);
  });

  it('knows no other presets, and no shape of its own', () => {
    expect(() => oidcOf({ preset: 'saml' })).toThrow('preset');
    expect(() => oidcOf({ roles_shape: 'keys' })).toThrow('roles_shape');
  });
});
