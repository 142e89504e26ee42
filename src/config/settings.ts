/**
 * The environment, parsed once at start: contract section 2. Everything that is wrong is said at once, naming the
 * variable and never its value. Nothing else in the gateway reads `process.env`.
 */
import { randomBytes } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { z } from 'zod';
import { Secret } from '../kernel/secret.ts';
import { isLoopbackHost, type NetworkList, parseNetworks } from './networks.ts';
import { parseRedisUrl, type RedisAddress } from './redis-url.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

export type Settings = {
  /** what browsers and IdPs see; an origin, nothing behind it */
  readonly publicUrl: URL;
  readonly host: string;
  readonly port: number;
  readonly opsHost: string;
  readonly opsPort: number;
  readonly configDir: string;
  /** undefined: the embedded store */
  readonly redis: RedisAddress | undefined;
  /** at least one; the first signs and seals, all verify and open */
  readonly cookieKeys: readonly Secret[];
  readonly trustedProxies: NetworkList;
  /** processes that share the port */
  readonly workers: number;
  /** how long it goes on serving after SIGTERM, not ready any more */
  readonly drainDelayMs: number;
  readonly logLevel: string;
  readonly production: boolean;
};

export type SettingsProblem = { readonly variable: string; readonly message: string };

const COOKIE_KEY_MIN_BYTES = 32;

const port = (fallback: number) =>
  z
    .string()
    .regex(/^\d{1,5}$/, 'must be a port number')
    .transform(Number)
    .refine((value) => value <= 65_535, 'must be a port number')
    .default(fallback);

const publicUrl = z.string().transform((text, context) => {
  const url = URL.parse(text);
  const problem = url === null ? 'must be a URL' : originProblem(url);
  if (url !== null && problem === undefined) return url;
  context.addIssue({ code: 'custom', message: problem ?? 'must be a URL' });
  return z.NEVER;
});

function originProblem(url: URL): string | undefined {
  if (url.protocol !== 'https:' && url.protocol !== 'http:') return 'must be an https URL';
  if (url.pathname !== '/' || url.search || url.hash || url.username || url.password)
    return 'must be an origin: scheme, host and port, nothing else';
  if (url.protocol === 'http:' && !isLoopbackHost(url.hostname))
    return 'must be https, since its host is not a loopback one: sign-in cookies and answers would travel in the clear';
  return undefined;
}

const cookieKeys = z.string().transform((text, context) => {
  const keys = text.split(',').map((key) => key.trim());
  if (keys.every((key) => Buffer.byteLength(key) >= COOKIE_KEY_MIN_BYTES)) return keys.map((key) => new Secret(key));
  context.addIssue({ code: 'custom', message: `each key must have at least ${COOKIE_KEY_MIN_BYTES} bytes` });
  return z.NEVER;
});

const trustedProxies = z.string().transform((text, context) => {
  const parsed = parseNetworks(text === '' ? [] : text.split(',').map((entry) => entry.trim()));
  if ('list' in parsed) return parsed.list;
  context.addIssue({ code: 'custom', message: 'must be IP addresses or CIDRs, separated by commas' });
  return z.NEVER;
});

const redisUrl = z.string().transform((text, context) => {
  const address = parseRedisUrl(text);
  if (address !== undefined) return address;
  const message = 'must be a redis:// or rediss:// URL, redis+sentinel://h1,h2/NAME or redis+cluster://h1,h2';
  context.addIssue({ code: 'custom', message });
  return z.NEVER;
});

const schema = z.object({
  PUBLIC_URL: publicUrl.optional(),
  HOST: z.string().min(1).optional(),
  PORT: port(3000),
  OPS_HOST: z.string().min(1).default('127.0.0.1'),
  OPS_PORT: port(9090),
  CONFIG_DIR: z.string().min(1).default('config'),
  REDIS_URL: redisUrl.optional(),
  COOKIE_KEYS: cookieKeys.optional(),
  TRUSTED_PROXIES: trustedProxies.default({ has: () => false }),
  WORKERS: z
    .string()
    .regex(/^(?:auto|[1-9]\d?)$/, 'must be a number from 1 to 99, or auto')
    .default('1')
    .transform((text) => (text === 'auto' ? availableParallelism() : Number(text))),
  DRAIN_DELAY: z
    .string()
    .regex(/^(?:1?\d|20)s$/, 'must be 0s to 20s, with its unit')
    .transform((text) => Number(text.slice(0, -1)) * 1000)
    .optional(),
  LOG_LEVEL: z
    .enum(
      ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'],
      'must be fatal, error, warn, info, debug, trace or silent',
    )
    .default('info'),
  NODE_ENV: z.string().optional(),
});

/** A variable that is set to nothing counts as not set: compose files and unit files write it so. */
export function parseSettings(environment: Environment): Settings | { problems: SettingsProblem[] } {
  const given = Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== ''));
  const parsed = schema.safeParse(given);
  const production = given.NODE_ENV === 'production';
  const problems = (parsed.error?.issues ?? []).map((issue) => ({
    variable: String(issue.path[0]),
    message: issue.message,
  }));
  if (production && given.COOKIE_KEYS === undefined)
    problems.push({ variable: 'COOKIE_KEYS', message: 'is required in production' });
  if (given.PORT !== '0' && parsed.data?.PORT === parsed.data?.OPS_PORT && parsed.success)
    problems.push({ variable: 'OPS_PORT', message: 'must not be PORT' });
  if (parsed.success && given.WORKERS !== undefined && given.WORKERS !== '1' && given.REDIS_URL === undefined)
    problems.push({ variable: 'WORKERS', message: 'needs REDIS_URL: the embedded store is of one process' });
  if (!parsed.success || problems.length > 0) return { problems };
  const values = parsed.data;
  return {
    publicUrl: values.PUBLIC_URL ?? new URL(`http://127.0.0.1:${values.PORT}`),
    host: values.HOST ?? (production ? '0.0.0.0' : '127.0.0.1'),
    port: values.PORT,
    opsHost: values.OPS_HOST,
    opsPort: values.OPS_PORT,
    configDir: values.CONFIG_DIR,
    redis: values.REDIS_URL,
    cookieKeys: values.COOKIE_KEYS ?? [new Secret(randomBytes(COOKIE_KEY_MIN_BYTES).toString('base64url'))],
    trustedProxies: values.TRUSTED_PROXIES,
    workers: values.WORKERS,
    drainDelayMs: values.DRAIN_DELAY ?? (production ? 5_000 : 0),
    logLevel: values.LOG_LEVEL,
    production,
  };
}
