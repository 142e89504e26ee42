/** Two gateways over one Redis, each by a connection that can be cut, serving the same two tenants. */
import { type Adversary, openAdversary } from './adversary.ts';
import { type CutProxy, openCutProxy } from './cut-proxy.ts';
import { openGateway, type TenantYaml, type TestGateway } from './gateway.ts';
import { acmeYaml, globexYaml, type House } from './house.ts';
import { openRedis, type RedisServer, until } from './redis.ts';
import { Visitor } from './visitor.ts';

export type Replica = { readonly house: House; readonly line: CutProxy };
export type Replicas = {
  readonly one: Replica;
  readonly two: Replica;
  readonly redis: RedisServer;
  readonly acme: Adversary;
  /** the same browser at the other replica, as a balancer would send it */
  readonly at: (replica: Replica, visitor: Visitor) => Visitor;
  readonly close: () => Promise<void>;
};

const KEYS = 'a-key-that-both-replicas-know-of-32-bytes';

export async function openReplicas(
  acmeMore: TenantYaml = {},
  acmeOidc: TenantYaml = {},
  gatewayYaml: TenantYaml = {},
): Promise<Replicas> {
  const [redis, acme, globex] = await Promise.all([openRedis(), openAdversary(), openAdversary()]);
  const tenants = [acmeYaml(acme, acmeMore, acmeOidc), globexYaml(globex)];
  const open = async (publicUrl?: string): Promise<Replica & { gateway: TestGateway }> => {
    const line = await openCutProxy(redis.port);
    const environment = {
      REDIS_URL: line.url,
      COOKIE_KEYS: KEYS,
      TRUSTED_PROXIES: '127.0.0.1',
      ...(publicUrl ? { PUBLIC_URL: publicUrl } : {}),
    };
    const gateway = await openGateway({ tenants, environment, gatewayYaml });
    const house: House = {
      gateway,
      acme,
      globex,
      visitor: () => new Visitor(gateway.url),
      close: () => gateway.close(),
    };
    await untilReady(gateway);
    return { house, line, gateway };
  };
  const one = await open();
  const two = await open(one.gateway.url);
  return {
    one,
    two,
    redis,
    acme,
    at(replica, visitor) {
      const there = replica.house.visitor();
      for (const [name, value] of visitor.cookies) there.cookies.set(name, value);
      return there;
    },
    async close() {
      await Promise.all([one.gateway.close(), two.gateway.close()]);
      await Promise.all([one.line.close(), two.line.close(), acme.stop(), globex.stop()]);
      await redis.stop();
    },
  };
}

/** Until somebody who asks for `/readyz` there is told that it is. */
export function untilReady({ url }: Pick<TestGateway, 'url'>): Promise<void> {
  return until(`${url} is ready`, async () => (await new Visitor(url).send('/readyz')).status === 200);
}
