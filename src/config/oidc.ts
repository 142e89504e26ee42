/**
 * The shape of a tenant's `oidc`: its OpenID Connect connection (contract section 2). What the file does not say, the preset says; what
 * neither says has a default.
 */
import { createPrivateKey } from 'node:crypto';
import { z } from 'zod';
import { parseJsonObject } from '../kernel/json.ts';
import { Secret } from '../kernel/secret.ts';
import { PRESET_NAMES, PRESETS } from './presets.ts';

const FORBIDDEN_SEGMENTS = new Set(['__proto__', 'prototype', 'constructor']);

const webUrl = z.url({ protocol: /^https?$/, error: 'must be an http or https URL' });

const claimSegment = z
  .string()
  .min(1)
  .max(256)
  .refine((name) => !FORBIDDEN_SEGMENTS.has(name), 'is not a claim name');
/** A string is one literal claim name, a list is a path of names. */
const claimPath = z
  .union([claimSegment, z.array(claimSegment).min(1).max(8)], 'must be a claim name or a list of names')
  .transform((path): readonly string[] => (typeof path === 'string' ? [path] : path));

const TOKEN_ALGORITHMS = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
] as const;

/** Compared as a string, exactly; Discovery 1.0 section 3 allows neither query nor fragment. */
const issuer = z
  .string()
  .refine((text) => URL.canParse(text) && /^https?:\/\//.test(text), 'must be an http or https URL')
  .refine((text) => !/[?#]/.test(text), 'must have neither query nor fragment')
  .refine((text) => !URL.parse(text)?.username, 'must not hold a user name');

/** Entra's directory in an issuer that stands for several (its v2.0 metadata writes it so). */
export const DIRECTORY = '{tenantid}';
const directoryId = z.string().regex(/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/, 'must be a tid in lower case');

/** A private key as a JWK (RFC 7517), for `private_key_jwt`; which algorithm it is for, the key says or its type does. */
const privateJwk = z
  .string()
  .refine((text) => isSigningKey(text), 'must be a private key as a JWK, in JSON: RSA, P-256, P-384, P-521 or Ed25519')
  .transform((text) => new Secret(text));

/** What the key is for where it does not say itself, by its curve or its type. */
export const ALGORITHM_OF_KEY: Readonly<Record<string, string>> = {
  RSA: 'RS256',
  'P-256': 'ES256',
  'P-384': 'ES384',
  'P-521': 'ES512',
  Ed25519: 'EdDSA',
};

function isSigningKey(text: string): boolean {
  const jwk = parseJsonObject(Buffer.from(text));
  if (jwk === undefined || ALGORITHM_OF_KEY[String(jwk.crv ?? jwk.kty)] === undefined) return false;
  const isSigning = jwk.alg === undefined || z.enum(TOKEN_ALGORITHMS).safeParse(jwk.alg).success;
  try {
    return isSigning && createPrivateKey({ key: { ...jwk }, format: 'jwk' }).type === 'private';
  } catch {
    return false; // not whole, not private, or symmetric
  }
}

const given = z
  .strictObject({
    preset: z.enum(PRESET_NAMES).optional(),
    issuer,
    allowed_tids: z.array(directoryId).min(1).max(100).optional(),
    client_id: z.string().min(1).max(1024),
    flow: z.enum(['implicit', 'code']).optional().meta({ default: 'implicit' }),
    client_secret: z
      .string()
      .min(1)
      .transform((text) => new Secret(text))
      .optional(),
    client_key: privateJwk.optional(),
    response_mode: z.enum(['form_post', 'query', 'fragment']).optional().meta({ default: 'form_post' }),
    scope: z
      .string()
      .refine((text) => text.split(' ').includes('openid'), 'must include openid')
      .optional()
      .meta({ default: 'openid profile email' }),
    token_algs: z
      .array(z.enum(TOKEN_ALGORITHMS))
      .min(1)
      .optional()
      .meta({ default: ['RS256'] }),
    clock_tolerance: z.int().min(0).max(120).optional().meta({ default: 30 }),
    trusted_audiences: z.array(z.string().min(1)).optional().meta({ default: [] }),
    max_age: z.int().min(0).nullable().optional().meta({ default: null }),
    acr_values: z.string().min(1).nullable().optional().meta({ default: null }),
    claims: z.strictObject({ roles: claimPath.optional(), email: claimPath.optional() }).optional(),
    roles_delimiter: z
      .string()
      .regex(/^[^\p{L}\p{N}\p{Cc}]{1,8}$/u, 'must be what no role is written with, such as ;')
      .nullable()
      .optional()
      .meta({ default: null }),
    roles_overage: z.enum(['reject', 'ignore']).optional().meta({ default: 'reject' }),
    optional_claims: z
      .array(z.enum(['email', 'roles', 'name']))
      .optional()
      .meta({ default: [] }),
    discovery_url: webUrl.nullable().optional().meta({ default: null }),
    quirks: z
      .array(z.enum(['logout_token_without_exp', 'frontchannel_sid_only', 'lenient_auth_time']))
      .optional()
      .meta({ default: [] }),
    allow_insecure: z.boolean().optional().meta({ default: false }),
  })
  .refine(
    ({ preset, flow, client_secret, client_key }) => {
      const isCode = (flow ?? (preset && PRESETS[preset].settings?.flow)) === 'code';
      return isCode || (client_secret === undefined && client_key === undefined);
    },
    { path: ['flow'], message: 'must be code: the implicit flow has no use for a secret' },
  )
  .refine(({ client_secret, client_key }) => client_secret === undefined || client_key === undefined, {
    path: ['client_key'],
    message: 'and client_secret cannot both be',
  });

/** Entra's directory of everybody's private accounts: whoever likes has one. */
const CONSUMERS = '9188040d-6c67-4c5b-b112-36a304b66dad';

const checked = given
  .refine(({ allowed_tids }) => allowed_tids?.includes(CONSUMERS) !== true, {
    path: ['allowed_tids'],
    message: `must not have ${CONSUMERS}: it is that of everybody's private accounts`,
  })
  .refine(({ issuer }) => !/[{}]|%7[bd]/i.test(issuer.replace(`/${DIRECTORY}/`, '/')), {
    path: ['issuer'],
    message: `may hold /${DIRECTORY}/ once, and no other braces`,
  })
  .refine(
    ({ issuer }) => !/^https:\/\/login\.microsoftonline\.com\/(?:common|organizations|consumers)\//.test(issuer),
    {
      path: ['issuer'],
      message: `is nobody's issuer: write ${DIRECTORY} and allowed_tids, or the directory's own`,
    },
  )
  .refine(
    ({ preset, flow }) => flow !== 'implicit' || (preset !== undefined && PRESETS[preset].settings?.flow) !== 'code',
    {
      path: ['flow'],
      message: 'must be code: this provider has no other',
    },
  )
  .refine(({ issuer, allowed_tids }) => issuer.includes(DIRECTORY) === (allowed_tids !== undefined), {
    path: ['allowed_tids'],
    message: `and ${DIRECTORY} in the issuer go together: either would let in everybody, or nobody`,
  });

export const oidc = checked.transform((file) => {
  const preset = file.preset === undefined ? undefined : PRESETS[file.preset];
  const { roles = preset?.claims?.roles, email } = file.claims ?? {};
  return {
    flow: preset?.settings?.flow ?? ('implicit' as const),
    response_mode: preset?.settings?.response_mode ?? ('form_post' as const),
    scope: preset?.settings?.scope ?? 'openid profile email',
    token_algs: ['RS256' as const],
    clock_tolerance: 30,
    trusted_audiences: [],
    max_age: null,
    acr_values: null,
    discovery_url: null,
    allow_insecure: false,
    roles_delimiter: null,
    roles_overage: 'reject' as const,
    /** how the role claim is written; no file says so, a preset may */
    roles_shape: preset?.rolesShape ?? ('values' as const),
    end_session: preset?.endSession ?? ('standard' as const),
    ...said(file),
    /** every value of `iss` that is this connection's, exactly */
    issuers: file.allowed_tids?.map((tid) => inDirectory(file.issuer, tid)) ?? [file.issuer],
    claims: { roles: roles ?? ['roles'], email: email ?? ['email'] },
    optional_claims: file.optional_claims ?? preset?.optionalClaims ?? [],
    quirks: [...new Set([...(preset?.quirks ?? []), ...(file.quirks ?? [])])],
  };
});

export type OidcConfig = z.output<typeof oidc>;

/** `…/{tenantid}/v2.0` -> `…/<tid>/v2.0`; an issuer without it is what it is. */
export function inDirectory(issuer: string, tid: string): string {
  return issuer.replace(DIRECTORY, () => tid); // and not what `$` would mean
}

/** Without what is not there: an absent key must not hide a default. */
function said<T extends object>(value: T): { [Name in keyof T]: Exclude<T[Name], undefined> };
function said(value: object): object {
  return Object.fromEntries(Object.entries(value).filter(([, one]) => one !== undefined));
}
