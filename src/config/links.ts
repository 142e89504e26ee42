/** The shape of a tenant's `links`: its signed-link connections (contract sections 2 and 7). */
import { z } from 'zod';
import { Secret } from '../kernel/secret.ts';

export const DIALECTS = ['invoiced', 'chargely', 'frill', 'issuely'] as const;

/** Shorter ones can be guessed from a single link (RFC 7518 section 3.2 asks for 32; the systems that we stand in for gave out less). */
const KEY_MIN_BYTES = 16;

const key = z
  .string()
  .refine((text) => Buffer.byteLength(text) >= KEY_MIN_BYTES, `must have ${KEY_MIN_BYTES} bytes or more`)
  .transform((text) => new Secret(text));
const keys = z.union([key.transform((one) => [one]), z.array(key).min(1).max(8)], {
  error: `must be a secret of ${KEY_MIN_BYTES} bytes or more, or a list of such`,
});

const pageUrl = z
  .url({ protocol: /^https?$/, error: 'must be an http or https URL' })
  .refine((text) => !URL.parse(text)?.username, 'must not hold a user name');

/** Where a person is looked up by what the link calls them. */
const people = z.union(
  [
    z.strictObject({ file: z.string().min(1) }),
    z.strictObject({
      url: z
        .url({ protocol: /^https?$/ })
        .refine((text) => text.includes('{id}'), 'must hold {id}, where the identifier goes'),
      header: z
        .string()
        .regex(/^[!#$%&'*+.^_`|~\w-]+: [\x20-\x7e]+$/)
        .transform((text) => new Secret(text))
        .optional(),
    }),
  ],
  'must be { file: … } or { url: …{id}…, header: "Name: value" }',
);

const common = {
  key: keys,
  login_url: pageUrl.optional(),
  logout_url: pageUrl.optional(),
  people: people.optional(),
};

const link = z.discriminatedUnion('dialect', [
  z.strictObject({ dialect: z.literal('invoiced'), ...common }),
  z.strictObject({ dialect: z.literal('chargely'), ...common, public_key: z.string().min(1).max(256).optional() }),
  z.strictObject({ dialect: z.literal('frill'), ...common, undated: z.enum(['reject', 'allow']).default('reject') }),
  z.strictObject({ dialect: z.literal('issuely'), ...common, company_id: z.string().min(1).max(256) }),
]);

export const links = z.array(link).max(16).default([]);

export type LinkConfig = z.output<typeof link>;
export type DialectName = LinkConfig['dialect'];
export type PeopleConfig = z.output<typeof people>;
