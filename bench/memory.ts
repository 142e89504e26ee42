/** What 10,000 tenants cost at start, and what a session costs in Redis and in the embedded store. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'yaml';
import { createTenantFolder } from '../src/config/tenant-folder.ts';
import { createMemoryStore } from '../src/storage/memory.ts';
import { createRegistry } from '../src/tenants/registry.ts';

const TENANTS = 10_000;
const SESSIONS = 50_000;

const yamlOf = (id: string): string => `id: ${id}
slug: ${id.toUpperCase()}
name: Tenant ${id}
oidc:
  issuer: https://${id}.idp.example
  client_id: gatehouse-${id}
  claims:
    roles: [realm_access, roles]
groups:
  - id: billing-admins
    roles: [BillingAdmin, "billing-*"]
  - id: invoice-readers
  - id: managers
session: { idle: 30m, absolute: 8h }
`;

export async function benchMemory(): Promise<string[]> {
  const dir = await mkdtemp(join(tmpdir(), 'gatehouse-bench-'));
  await mkdir(join(dir, 'tenants'));
  for (let i = 0; i < TENANTS; i++) await writeFile(join(dir, 'tenants', `t${i}.yaml`), yamlOf(`t${i}`));

  const folder = createTenantFolder({ configDir: dir, environment: {}, production: true, publicHost: 'login.example' });
  const registry = createRegistry(new URL('https://login.example'));
  const before = used();
  const load = await timed(async () => {
    await folder.scan();
    registry.replace(folder.files());
  });
  const bytes = used() - before;
  const parseOnly = await timed(async () => {
    for (let i = 0; i < TENANTS; i++) parse(yamlOf(`t${i}`));
  });
  await writeFile(join(dir, 'tenants', 't7.yaml'), `${yamlOf('t7')}unknown_roles: reject\n`);
  const change = await timed(async () => {
    await folder.scan();
    registry.replace(folder.files());
  });
  await rm(dir, { recursive: true });

  const store = createMemoryStore({ nowMs: Date.now });
  const beforeSessions = used();
  const record = JSON.stringify({
    sub: 'x'.repeat(36),
    email: 'person@acme.example',
    groups: ['a', 'b'],
    filler: 'x'.repeat(300),
  });
  for (let i = 0; i < SESSIONS; i++) await store.set(`gatehouse:{t}:session:${i}`, Buffer.from(record).toString(), 1e9);
  const sessionBytes = (used() - beforeSessions) / SESSIONS;

  return [
    `${TENANTS} tenants: ${(load / 1000).toFixed(1)} s to read, check and put in force; ${(load / parseOnly).toFixed(2)} times the YAML parser alone`,
    `one file changed among ${TENANTS}: ${change.toFixed(0)} ms`,
    `memory: ${(bytes / TENANTS / 1024).toFixed(1)} KiB of heap for each tenant`,
    `embedded store: ${(sessionBytes / 1024).toFixed(2)} KiB for a session of ${(record.length / 1024).toFixed(2)} KiB`,
  ];
}

async function timed(work: () => Promise<void>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

function used(): number {
  globalThis.gc?.();
  return process.memoryUsage().heapUsed;
}
