/** `config/gatehouse.yaml`: what an operator sets for the gateway as a whole. The file may be absent. Read at start. */
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { parseNetworks } from './networks.ts';
import type { Environment } from './settings.ts';
import { type FileResult, readYamlFile } from './yaml-file.ts';

/** A minute, at each tenant; 0: as often as one likes. */
const times = (fallback: number) => z.int().min(0).max(1_000_000).default(fallback);
/** Offices share an address, so one address may be a thousand people. */
const ofAddress = z.strictObject({ per_address: times(3_000) }).prefault({});

export const gatewayFileSchema = z.strictObject({
  /** what `/` shows: nothing, or a list of the enabled tenants (which tells everybody who the customers are) */
  home: z.enum(['none', 'tenants']).default('none'),
  outbound: z
    .strictObject({
      /** private or otherwise special networks in which IdPs may live; public addresses are always allowed */
      allow: z
        .array(z.string())
        .default([])
        .transform((entries, context) => {
          const parsed = parseNetworks(entries);
          if ('list' in parsed) return parsed.list;
          context.addIssue({ code: 'custom', message: 'must be IP addresses or CIDRs' });
          return z.NEVER;
        }),
    })
    .prefault({}),
  /** how many events of each tenant are kept in Redis too (`gatehouse events`) */
  audit: z.strictObject({ keep: z.int().min(0).max(1_000_000).default(0) }).prefault({}),
  limits: z
    .strictObject({
      sign_in: z.strictObject({ per_address: times(3_000), per_tenant: times(30_000) }).prefault({}),
      callback: ofAddress,
      link: ofAddress,
      /** logout tokens that are wrong; no order of the IdP may be lost */
      logout: ofAddress,
      /** frames, which anybody can ask for */
      front_channel: ofAddress,
    })
    .prefault({}),
});

export type GatewayFile = z.output<typeof gatewayFileSchema>;

/** An absent file is one with nothing in it. */
export async function readGatewayFile(configDir: string, environment: Environment): Promise<FileResult<GatewayFile>> {
  const path = join(configDir, 'gatehouse.yaml');
  const exists = await access(path).then(
    () => true,
    () => false,
  );
  if (exists) return readYamlFile(path, gatewayFileSchema, environment);
  return { value: gatewayFileSchema.parse({}), problems: [], references: [] };
}
