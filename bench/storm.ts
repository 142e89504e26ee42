/** What a storm of sign-ins at one tenant does to another tenant's, without limits and with them; beside the same in calm, in one run. */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { stringify } from 'yaml';
import { openAdversary } from '../test/support/adversary.ts';
import { freePort, NO_LIMITS } from '../test/support/gateway.ts';
import { acmeYaml, askedOf, GLOBEX_CALLBACK, globexYaml, validClaims } from '../test/support/house.ts';
import { run } from '../test/support/process.ts';
import { openRedis } from '../test/support/redis.ts';
import { untilReady } from '../test/support/replicas.ts';
import { Visitor } from '../test/support/visitor.ts';

const SECONDS = 6;
const ATTACKER = 'X-Forwarded-For: 203.0.113.66';
/** Everybody else is the bench itself. */
const OTHERS = { sign_in: { per_tenant: 1_000_000 }, callback: { per_address: 1_000_000 } };

type Figure = { readonly signIns: number; readonly p50: number; readonly p99: number; readonly storm: number };

export async function benchStorm(): Promise<string[]> {
  const [redis, idp] = [await openRedis(), await openAdversary()];
  const without = await measure(redis.url, idp, NO_LIMITS);
  const limited = await measure(redis.url, idp, OTHERS);
  await Promise.all([redis.stop(), idp.stop()]);
  const say = (what: string, { signIns, p50, p99, storm }: Figure, calm: Figure): string =>
    `${what.padEnd(28)} ${signIns.toFixed(0).padStart(5)} sign-ins/s at the other tenant (${(signIns / calm.signIns).toFixed(2)} of calm), p50 ${p50.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms; the storm: ${storm.toFixed(0)}/s`;
  return [
    say('calm', without.calm, without.calm),
    say('storm, no limits', without.storm, without.calm),
    say('calm, with limits', limited.calm, without.calm),
    say('storm, with limits', limited.storm, without.calm),
  ];
}

type Idp = Awaited<ReturnType<typeof openAdversary>>;

async function measure(redisUrl: string, idp: Idp, limits: object): Promise<{ calm: Figure; storm: Figure }> {
  const dir = await mkdtemp(join(tmpdir(), 'gatehouse-storm-'));
  await mkdir(join(dir, 'tenants'));
  await writeFile(join(dir, 'tenants', 'acme.yaml'), stringify(acmeYaml(idp)));
  await writeFile(join(dir, 'tenants', 'globex.yaml'), stringify(globexYaml(idp)));
  await writeFile(join(dir, 'gatehouse.yaml'), stringify({ limits }));
  const [port, opsPort] = [await freePort(), await freePort()];
  const gateway = run(['src/main.ts'], {
    PORT: String(port),
    OPS_PORT: String(opsPort),
    CONFIG_DIR: dir,
    REDIS_URL: redisUrl,
    TRUSTED_PROXIES: '127.0.0.1',
    LOG_LEVEL: 'error',
  });
  const url = `http://127.0.0.1:${port}`;
  await untilReady({ url });
  await signInFor(url, idp, 1_000); // warm
  const calm = { ...(await signInFor(url, idp, SECONDS * 1000)), storm: 0 };
  const wrk = promisify(execFile)('wrk', [
    '-t1',
    '-c64',
    `-d${SECONDS + 2}s`,
    '-H',
    ATTACKER,
    `${url}/SSO/OIDC/acme/SignIn`,
  ]);
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  const figures = await signInFor(url, idp, SECONDS * 1000);
  const { stdout } = await wrk;
  const storm = Number(/Requests\/sec:\s+([\d.]+)/.exec(stdout)?.[1] ?? 0);
  gateway.child.kill('SIGTERM');
  await gateway.exited;
  await rm(dir, { recursive: true });
  return { calm, storm: { ...figures, storm } };
}

/** One person after the other: start, answer. */
async function signInFor(url: string, idp: Idp, ms: number): Promise<Omit<Figure, 'storm'>> {
  const took: number[] = [];
  const beganAt = performance.now();
  while (performance.now() - beganAt < ms) {
    const visitor = new Visitor(url);
    const startedAt = performance.now();
    const asked = askedOf(
      await visitor.go('/globex', { headers: { 'x-forwarded-for': `198.51.100.${took.length % 250}` } }),
    );
    const id_token = await idp.sign(validClaims(idp, asked, { nowMs: () => Date.now() }));
    const form = { id_token, state: asked.state, response_mode: 'fragment' };
    const reply = await visitor.post(GLOBEX_CALLBACK, form, { 'sec-fetch-site': 'same-origin' });
    if (reply.status !== 303) throw new Error(`a sign-in failed: ${reply.status}`);
    took.push(performance.now() - startedAt);
  }
  took.sort((a, b) => a - b);
  const at = (part: number): number => took[Math.floor(took.length * part)] ?? 0;
  return { signIns: (took.length / (performance.now() - beganAt)) * 1000, p50: at(0.5), p99: at(0.99) };
}
