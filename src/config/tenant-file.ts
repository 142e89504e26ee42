/**
 * The shape of `config/tenants/<id>.yaml`: contract section 2, field by field, as one strict zod schema. Unknown keys are
 * errors. What needs the environment (`${…}`) or other tenants (unique slugs) is checked in `load.ts` and `folder.ts`.
 */
import { z } from 'zod';
import { links } from './links.ts';
import { isLoopbackHost } from './networks.ts';
import { oidc } from './oidc.ts';

/** First path segments that are the gateway's own: nobody's slug, whatever the case. */
export const RESERVED_SLUGS: ReadonlySet<string> = new Set([
  'sso',
  'api',
  'livez',
  'readyz',
  'metrics',
  'favicon.ico',
  'robots.txt',
  '.well-known',
]);

export const TENANT_ID = /^[a-z0-9][a-z0-9-]{0,62}$/;
const SLUG = /^[A-Za-z0-9][A-Za-z0-9._~-]{0,62}$/;
const HOST = /^(?=.{1,253}$)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*$/;
/** Group ids travel comma-separated in a header, so they hold neither commas nor anything unprintable. */
const GROUP_ID = /^(?! )[\x20-\x2b\x2d-\x7e]{1,256}(?<! )$/;
const SECONDS_PER_UNIT: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 };

const A_DURATION = 'must be a duration such as 90s, 30m, 12h or 7d';
/** `30m` -> milliseconds */
const duration = z
  .string(A_DURATION)
  .regex(/^\d{1,6}[smhd]$/, A_DURATION)
  .transform((text) => Number(text.slice(0, -1)) * (SECONDS_PER_UNIT[text.slice(-1)] ?? 0) * 1000)
  .refine((ms) => ms > 0, 'must be longer than nothing');

const webUrl = z.url({ protocol: /^https?$/, error: 'must be an http or https URL' });

/** Role values: exact, or everything with one prefix. */
const rolePattern = z
  .string()
  .min(1)
  .max(256)
  .refine((text) => !text.slice(0, -1).includes('*'), 'may hold one * only, at its end');

const group = z.strictObject({
  id: z.string().regex(GROUP_ID, 'must be 1 to 256 printable ASCII characters without a comma'),
  name: z.string().min(1).max(256).optional(),
  roles: z.array(rolePattern).min(1).optional(),
});

const session = z
  .strictObject({
    idle: duration.default(30 * 60_000),
    absolute: duration.default(12 * 3_600_000),
    renew: duration.default(15 * 60_000),
    on_renewal_failure: z.enum(['keep', 'end']).default('keep'),
  })
  .prefault({});

/** Matched on decoded segments, so a pattern holds nothing encoded, and nothing that a canonical path cannot hold. */
const accessRule = z.strictObject({
  path: z
    .string()
    .max(1024)
    .regex(/^\/(?:[^/%\\;?#\p{Cc}]+(?:\/[^/%\\;?#\p{Cc}]+)*\/?)?$/u, 'must be a path such as /admin/** or /a/*/b')
    .refine((path) => !/\*\*.|[^/*]\*|\*[^/*]|\*\*\*/.test(path), 'may hold * as a whole segment, and /** at its end')
    .refine(
      (path) => !path.split('/').some((segment) => segment === '.' || segment === '..'),
      'must not hold dot segments',
    ),
  groups: z.array(z.string()).min(1).optional(),
  anonymous: z.boolean().optional(),
});

/** The app: an origin; paths are the browser's. */
const upstream = z.strictObject({
  url: webUrl
    .refine((text) => /^https?:\/\/[^/?#@]+\/?$/i.test(text), 'must be an origin: scheme, host and port, nothing else')
    .transform((text) => new URL(text).origin),
  strip_prefix: z.boolean().default(false),
  timeout: duration.default(30_000),
});

export const tenantFileSchema = z.strictObject({
  id: z.string().regex(TENANT_ID, 'must match [a-z0-9][a-z0-9-]{0,62}'),
  slug: z
    .string()
    .regex(SLUG, 'must match [A-Za-z0-9][A-Za-z0-9._~-]{0,62}')
    .refine((slug) => !RESERVED_SLUGS.has(slug.toLowerCase()), 'is a name that the gateway keeps for itself')
    .optional(),
  name: z.string().min(1).max(256).optional(),
  hosts: z.array(z.string().regex(HOST, 'must be a host name in lower case, without a port')).default([]),
  enabled: z.boolean().default(true),
  oidc: oidc.optional(),
  links,
  groups: z.array(group).default([]),
  unknown_roles: z.enum(['ignore', 'reject']).default('ignore'),
  no_groups: z.enum(['reject', 'allow']).default('reject'),
  default_groups: z.array(z.string()).default([]),
  session,
  sign_out: z.strictObject({ post_logout_redirect: webUrl.nullable().default(null) }).prefault({}),
  branding: z
    .strictObject({
      logo: z
        .string()
        .max(65_536)
        .regex(/^data:image\/(?:png|jpeg|webp|svg\+xml);base64,[A-Za-z0-9+/=]+$/, 'must be a data: URL of an image')
        .nullable()
        .default(null),
      color: z
        .string()
        .regex(/^#[0-9a-fA-F]{6}$/, 'must be a colour such as #0b57d0')
        .nullable()
        .default(null),
    })
    .prefault({}),
  upstream: upstream.optional(),
  access: z.array(accessRule).default([]),
});

export type TenantFile = z.output<typeof tenantFileSchema>;

type Located = { readonly path: readonly PropertyKey[]; readonly message: string };

/** As much of a file as is well-formed, so that what is wrong elsewhere hides nothing here. */
const readable = z
  .looseObject({
    id: z.unknown(),
    links: z.array(z.unknown()).default([]).catch([{}]),
    hosts: z.array(z.unknown()).catch([]),
    oidc: z
      .looseObject({ issuer: z.string().optional().catch(''), discovery_url: z.string().nullish().catch('') })
      .optional()
      .catch({ issuer: '', discovery_url: '' }),
    groups: z.array(z.looseObject({ id: z.unknown() }).catch({ id: undefined })).catch([]),
    default_groups: z.array(z.unknown()).catch([]),
    access: z.array(z.looseObject({ groups: z.array(z.unknown()).catch([]) }).catch({ groups: [] })).catch([]),
  })
  .catch({ id: undefined, links: [{}], hosts: [], oidc: {}, groups: [], default_groups: [], access: [] });

export type FilePlace = {
  /** the file's name without its ending */
  readonly name: string;
  readonly production: boolean;
  /** the host of PUBLIC_URL */
  readonly publicHost: string;
};

/** What is wrong between one field and another, or between a field and the place of the file. Run beside the schema. */
export function checkTenantFile(value: unknown, place: FilePlace): Located[] {
  const file = readable.parse(value);
  const ids = file.groups.map(({ id }) => id);
  return [
    ...(file.id === place.name || file.id === undefined
      ? []
      : [{ path: ['id'], message: `must be the file's name, ${place.name}` }]),
    ...(file.oidc === undefined && file.links.length === 0
      ? [{ path: ['oidc'], message: 'is required, or links: without either nobody could sign in' }]
      : []),
    ...ids.flatMap((id, index) =>
      id !== undefined && ids.indexOf(id) < index
        ? [{ path: ['groups', index, 'id'], message: 'is defined twice' }]
        : [],
    ),
    ...file.default_groups.flatMap((id, index) =>
      ids.includes(id) ? [] : [{ path: ['default_groups', index], message: 'is no group of this tenant' }],
    ),
    ...file.access.flatMap(({ groups }, rule) =>
      groups.flatMap((id, index) =>
        ids.includes(id) ? [] : [{ path: ['access', rule, 'groups', index], message: 'is no group of this tenant' }],
      ),
    ),
    ...file.access.flatMap((rule, index) =>
      rule.anonymous === true && rule.groups.length > 0
        ? [{ path: ['access', index, 'anonymous'], message: 'and groups cannot both be' }]
        : [],
    ),
    ...file.hosts.flatMap((host, index) =>
      host === place.publicHost ? [{ path: ['hosts', index], message: 'is the host of PUBLIC_URL' }] : [],
    ),
    ...plainHttpProblems(file.oidc, place.production),
  ];
}

/** Plain http to an IdP is a development switch, and in production it is for this machine only. */
function plainHttpProblems(oidc: z.output<typeof readable>['oidc'], production: boolean): Located[] {
  return (['issuer', 'discovery_url'] as const).flatMap((field) => {
    const url = URL.parse(oidc?.[field] ?? '');
    if (url?.protocol !== 'http:') return [];
    const path = ['oidc', field];
    if (oidc?.allow_insecure !== true) return [{ path, message: 'must be https (or set allow_insecure)' }];
    if (!production || isLoopbackHost(url.hostname)) return [];
    return [{ path, message: 'must be https: in production allow_insecure is for loopback hosts only' }];
  });
}
