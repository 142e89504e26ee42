/** Whole sign-ins (start, answer, session) per second over loopback HTTP, beside the one thing that cannot be left out: an RS256 verification. */
import { compactVerify, importJWK } from 'jose';
import { ACME_CALLBACK, openHouse, start, validClaims } from '../test/support/house.ts';
import { openRedis } from '../test/support/redis.ts';
import { Visitor } from '../test/support/visitor.ts';

const SIGN_INS = 2_000;
const PARALLEL = 16;
/** Counted, and never reached. */
const MANY = { per_address: 1_000_000 };

export async function benchSignIn(): Promise<string[]> {
  const redis = await openRedis();
  const house = await openHouse({
    environment: { REDIS_URL: redis.url, LOG_LEVEL: 'warn' },
    gatewayYaml: { limits: { sign_in: { ...MANY, per_tenant: 1_000_000 }, callback: MANY } },
  });
  const prepared = await inParallel(SIGN_INS, async () => {
    const visitor = new Visitor(house.gateway.url);
    const asked = await start(visitor);
    const token = await house.acme.sign(validClaims(house.acme, asked, house.gateway.clock));
    return { visitor, form: { id_token: token, state: asked.state } };
  });
  const callbacks = await timed(() =>
    inParallel(SIGN_INS, async (i) => {
      const one = prepared[i];
      if ((await one?.visitor.post(ACME_CALLBACK, one.form))?.status !== 303) throw new Error('a sign-in failed');
    }),
  );
  const notFound = await timed(() =>
    inParallel(SIGN_INS, (i) => prepared[i]?.visitor.post('/nobody', prepared[i]?.form ?? {})),
  );
  const key = await importJWK(house.acme.signer.jwk, 'RS256');
  const verify = await timed(() => inParallel(SIGN_INS, (i) => compactVerify(prepared[i]?.form.id_token ?? '', key)));
  await house.close();
  await redis.stop();
  const each = (ms: number): string => ((ms / SIGN_INS) * 1000).toFixed(0);
  return [
    `${((SIGN_INS / callbacks) * 1000).toFixed(0)} callbacks/s with Redis, client and server in one process: ${each(callbacks)} µs each`,
    `the same exchange for a 404 takes ${each(notFound)} µs; one RS256 verification ${each(verify)} µs`,
    `so a callback's own work is ${((callbacks - notFound) / verify).toFixed(1)} RS256 verifications`,
  ];
}

async function inParallel<T>(count: number, work: (i: number) => Promise<T> | T): Promise<T[]> {
  const results: T[] = [];
  let next = 0;
  await Promise.all(
    Array.from({ length: PARALLEL }, async () => {
      for (let i = next++; i < count; i = next++) results[i] = await work(i);
    }),
  );
  return results;
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}
