/**
 * Ten thousand tenants and a million sessions beside ten of each, in one run: how long a start takes, what it costs in memory, and what a
 * session check takes. The million is in a real Redis, written there as sign-ins write it. Needs 3 GB and some minutes.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { tenantFileSchema } from '../src/config/tenant-file.ts';
import { digest } from '../src/kernel/random.ts';
import { createRecord } from '../src/sessions/record.ts';
import { keys } from '../src/storage/keys.ts';
import { createTenant } from '../src/tenants/tenant.ts';
import { freePort } from '../test/support/gateway.ts';
import { run } from '../test/support/process.ts';
import { openRedis, tell } from '../test/support/redis.ts';
import { untilReady } from '../test/support/replicas.ts';
import { wrk } from './wrk.ts';

const SMALL = 10;
const TENANTS = 10_000;
const SESSIONS = 1_000_000;
const HOUR_MS = 3_600_000;

const fileOf = (index: number) => ({
  id: `t${index}`,
  name: `Tenant ${index}`,
  oidc: { issuer: `https://t${index}.idp.example`, client_id: 'gatehouse' },
  groups: [{ id: 'billing-admins', roles: ['BillingAdmin', 'billing-*'] }, { id: 'invoice-readers' }],
  session: { idle: '12h', absolute: '12h', renew: '12h' },
});
/** 43 characters, as every id has. */
const idOf = (index: number): string => `s${String(index).padStart(42, '0')}`;

type Figures = { readonly started: number; readonly memory: number; readonly line: string; readonly p99: number };

export async function benchScale(): Promise<string[]> {
  const redis = await openRedis();
  const small = await measure(redis.url, SMALL, SMALL, () => fill(redis.port, SMALL, SMALL));
  const before = await memoryOf(redis.port);
  const many = await measure(redis.url, SMALL, SESSIONS, () => fill(redis.port, SMALL, SESSIONS));
  const bytes = ((await memoryOf(redis.port)) - before) / SESSIONS;
  await tell(redis.port, 'FLUSHALL');
  const large = await measure(redis.url, TENANTS, SESSIONS, () => fill(redis.port, TENANTS, SESSIONS));
  await redis.stop();
  const say = (what: string, { started, memory, line, p99 }: Figures): string =>
    `${what.padEnd(40)} ready after ${started.toFixed(1)} s, ${memory.toFixed(0)} MiB; ${line}, p99 ${(p99 / small.p99).toFixed(2)} of the first`;
  return [
    say('10 tenants, 10 sessions', small),
    say('10 tenants, 1,000,000 sessions', many),
    say('10,000 tenants, 1,000,000 sessions', large),
    `Redis: ${bytes.toFixed(0)} bytes for a session and its place in the index`,
  ];
}

async function measure(
  redisUrl: string,
  tenants: number,
  sessions: number,
  prepare: () => Promise<void>,
): Promise<Figures> {
  const dir = await mkdtemp(join(tmpdir(), 'gatehouse-scale-'));
  await mkdir(join(dir, 'tenants'));
  for (let index = 0; index < tenants; index++)
    await writeFile(join(dir, 'tenants', `t${index}.yaml`), stringify(fileOf(index)));
  await prepare();
  const port = await freePort();
  const startedAt = performance.now();
  const gateway = run(['src/main.ts'], {
    PORT: String(port),
    OPS_PORT: String(await freePort()),
    CONFIG_DIR: dir,
    REDIS_URL: redisUrl,
    LOG_LEVEL: 'warn',
  });
  await untilReady({ url: `http://127.0.0.1:${port}` });
  const started = (performance.now() - startedAt) / 1000;
  const script = join(dir, 'any.lua');
  await writeFile(
    script,
    `request = function()
  local i = math.random(0, ${sessions - 1})
  local t = 't' .. (i % ${tenants})
  local id = string.format('s%042d', i)
  return wrk.format('GET', '/SSO/Session/' .. t, { cookie = '__Host-gatehouse-session-' .. t .. '=' .. id })
end
`,
  );
  const ask = () => wrk(['-s', script, `http://127.0.0.1:${port}/`]);
  await ask(); // warm
  const rounds = [await ask(), await ask(), await ask()].sort((a, b) => milliseconds(a.p99) - milliseconds(b.p99));
  const figure = rounds[1] ?? (await ask());
  const memory = Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${gateway.child.pid}/status`, 'utf8'))?.[1]) / 1024;
  gateway.child.kill('SIGTERM');
  await gateway.exited;
  await rm(dir, { recursive: true });
  return {
    started,
    memory,
    p99: milliseconds(figure.p99),
    line: `${figure.perSecond.toFixed(0)} checks/s, p50 ${figure.p50} p99 ${figure.p99}`,
  };
}

function milliseconds(text: string): number {
  return text.endsWith('us')
    ? Number.parseFloat(text) / 1000
    : Number.parseFloat(text) * (text.endsWith('ms') ? 1 : 1000);
}

/** Sessions as `sessions.establish` writes them, by redis-cli's pipe. */
async function fill(port: number, tenants: number, sessions: number): Promise<void> {
  const pipe = spawn('redis-cli', ['-p', String(port), '--pipe'], { stdio: ['pipe', 'ignore', 'inherit'] });
  const made = Array.from({ length: tenants }, (_, index) => createTenant(tenantFileSchema.parse(fileOf(index))));
  const nowMs = Date.now();
  const command = (...parts: string[]): string =>
    `*${parts.length}\r\n${parts.map((part) => `$${Buffer.byteLength(part)}\r\n${part}\r\n`).join('')}`;
  let batch = '';
  for (let index = 0; index < sessions; index++) {
    const tenant = made[index % tenants];
    if (tenant === undefined) continue;
    const sub = `person-${index}`;
    const issuer = tenant.oidc?.issuer ?? '';
    const record = createRecord(
      tenant,
      {
        identity: {
          sub,
          email: `${sub}@acme.example`,
          name: 'Ada Admin',
          preferred_username: 'ada',
          given_name: 'Ada',
          family_name: 'Admin',
          locale: 'en-GB',
          zoneinfo: 'Europe/London',
        },
        groups: ['billing-admins'],
        connection: 'oidc',
        issuer,
        sid: null,
        tokenIat: Math.floor(nowMs / 1000),
        userAgent: 'Mozilla/5.0 (X11; Linux x86_64)',
      },
      nowMs,
    );
    const idDigest = digest(idOf(index));
    const person = keys.index(tenant.id, 'person', digest(JSON.stringify([issuer, sub])));
    batch += command('SET', keys.session(tenant.id, idDigest), JSON.stringify(record), 'PX', String(12 * HOUR_MS));
    batch += command('ZADD', person, String(nowMs + 12 * HOUR_MS), idDigest);
    batch += command('PEXPIRE', person, String(12 * HOUR_MS));
    if (batch.length > 1_000_000 || index === sessions - 1) {
      if (!pipe.stdin.write(batch)) await once(pipe.stdin, 'drain');
      batch = '';
    }
  }
  pipe.stdin.end();
  await once(pipe, 'exit');
}

async function memoryOf(port: number): Promise<number> {
  return Number(/used_memory:(\d+)/.exec(await tell(port, 'INFO', 'memory'))?.[1]);
}
