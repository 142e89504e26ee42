/** A whole gateway in this process, on ports of its own, with a configuration folder of its own and its log in memory. */
import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { parseSettings } from '../../src/config/settings.ts';
import { EVENTS, type EventName, shapeOf } from '../../src/kernel/events.ts';
import { type Gateway, serve } from '../../src/serve.ts';
import { createFakeClock, type FakeClock } from './fake-clock.ts';

export type LogLine = Record<string, unknown> & { event?: string };
export type TenantYaml = Record<string, unknown>;

export type TestGateway = {
  readonly url: string;
  readonly opsUrl: string;
  readonly configDir: string;
  readonly clock: FakeClock;
  readonly log: readonly LogLine[];
  /** everything that was logged, as text */
  readonly logText: () => string;
  readonly events: (name: string) => LogLine[];
  /** resolves with the first such line that comes, or has come since `from` */
  readonly waitFor: (name: string, from?: number) => Promise<LogLine>;
  readonly writeTenant: (tenant: TenantYaml) => Promise<void>;
  readonly removeTenant: (id: string) => Promise<void>;
  readonly close: () => Promise<void>;
};

/** For `gatehouse.yaml`, where one address is everybody. */
export const NO_LIMITS = {
  sign_in: { per_address: 0, per_tenant: 0 },
  callback: { per_address: 0 },
  link: { per_address: 0 },
  logout: { per_address: 0 },
};

export type TestGatewayOptions = {
  readonly tenants: readonly TenantYaml[];
  readonly environment?: Record<string, string>;
  readonly gatewayYaml?: TenantYaml;
};

export async function openGateway(options: TestGatewayOptions): Promise<TestGateway> {
  const configDir = await mkdtemp(join(tmpdir(), 'gatehouse-test-'));
  await mkdir(join(configDir, 'tenants'));
  const writeTenant = async (tenant: TenantYaml): Promise<void> => {
    // by a rename, so that no scan sees half a file
    const path = join(configDir, 'tenants', `${tenant.id}.yaml`);
    await writeFile(`${path}.part`, stringify(tenant));
    await rename(`${path}.part`, path);
  };
  for (const tenant of options.tenants) await writeTenant(tenant);
  if (options.gatewayYaml) await writeFile(join(configDir, 'gatehouse.yaml'), stringify(options.gatewayYaml));
  const clock = createFakeClock();
  const log: LogLine[] = [];
  let text = '';
  const shapeless: string[] = [];
  const waiters: { name: string; resolve: (line: LogLine) => void }[] = [];
  const logTo = {
    write(line: string) {
      text += line;
      const parsed: LogLine = JSON.parse(line);
      log.push(parsed);
      shapeless.push(...faultsOf(parsed));
      for (const waiter of waiters.filter(({ name }) => name === parsed.event)) {
        waiters.splice(waiters.indexOf(waiter), 1);
        waiter.resolve(parsed);
      }
    },
  };
  const { gateway, url } = await start({ ...options.environment, CONFIG_DIR: configDir }, clock, logTo);
  return {
    url,
    opsUrl: gateway.opsUrl,
    configDir,
    clock,
    log,
    logText: () => text,
    events: (name) => log.filter(({ event }) => event === name),
    waitFor: (name, from = log.length) => {
      const already = log.slice(from).find(({ event }) => event === name);
      return already ? Promise.resolve(already) : new Promise((resolve) => waiters.push({ name, resolve }));
    },
    writeTenant,
    removeTenant: (id) => rm(join(configDir, 'tenants', `${id}.yaml`)),
    async close() {
      await gateway.drain();
      await rm(configDir, { recursive: true });
      if (shapeless.length > 0) throw new Error(`events that are not as documented: ${shapeless.join('; ')}`);
    },
  };
}

/** PUBLIC_URL must be known before the port is open, so a free one is looked for; another process may take it first. */
async function start(
  environment: Record<string, string>,
  clock: FakeClock,
  logTo: { write(line: string): void },
): Promise<{ gateway: Gateway; url: string }> {
  for (let attempt = 0; ; attempt++) {
    const port = await freePort();
    const settings = parseSettings({ LOG_LEVEL: 'debug', PORT: String(port), OPS_PORT: '0', ...environment });
    if ('problems' in settings) throw new Error(JSON.stringify(settings.problems));
    try {
      const gateway = await serve({ settings, environment, clock, logTo });
      return { gateway, url: gateway.url };
    } catch (error) {
      if (attempt === 5 || !String(error).includes('EADDRINUSE')) throw error;
    }
  }
}

/** Below the ports that the kernel gives to outgoing connections, which would take a free one away at any moment. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = 10_000 + Math.floor(Math.random() * 20_000);
    const isFree = await new Promise<boolean>((resolve) => {
      const server = createServer();
      server.once('error', () => resolve(false));
      server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
    });
    if (isFree) return port;
  }
}

const OF_EVERY_LINE = ['level', 'time', 'service', 'msg', 'event', 'tenant', 'request_id', 'client'];
/** What happens by itself; everything else happens for somebody. */
const OF_NO_REQUEST = /^(?:tenant|idp)\./;

/** In every test: an event has the fields that kernel/events.ts promises, and no others. */
function faultsOf(line: LogLine): string[] {
  const { event } = line;
  const name = Object.keys(EVENTS).find((known): known is EventName => known === event);
  if (name === undefined) return [];
  const { fields, may = [], evidence, level } = shapeOf(name);
  const known = new Set([...OF_EVERY_LINE, ...fields, ...may]);
  const required = OF_NO_REQUEST.test(name) ? fields : [...fields, 'request_id', 'client'];
  return [
    ...required.filter((field) => line[field] === undefined).map((field) => `${name} without ${field}`),
    ...Object.keys(line)
      .filter((field) => !known.has(field) && evidence !== true)
      .map((field) => `${name} with ${field}`),
    ...(line.level === level ? [] : [`${name} as ${line.level}`]),
  ];
}
