/**
 * How often one address, and all addresses together, may start sign-ins, bring answers and links, and give orders to sign out, at one tenant:
 * a storm at one tenant is that one's. What is refused by an address's own limit does not count against its tenant.
 */
import { isIPv6 } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { GatewayFile } from '../config/gateway-file.ts';
import type { Clock } from '../kernel/clock.ts';
import { GatewayFailure } from '../kernel/failure.ts';
import { keys } from '../storage/keys.ts';
import type { Limiter } from '../storage/limiter.ts';
import type { Store } from '../storage/store.ts';
import type { Place } from '../tenants/registry.ts';
import type { Context } from './request.ts';

export type Limited = keyof GatewayFile['limits'];

type Handle<P extends Place, Args extends readonly unknown[]> = (
  ctx: Context,
  place: P,
  ...args: Args
) => Promise<void>;
type Wrap = <P extends Place, Args extends readonly unknown[]>(
  what: Limited,
  handle: Handle<P, Args>,
) => Handle<P, Args>;

export type Limits = {
  /** The same handler, for as often as it may be used. Past that `rate_limited`. */
  readonly each: Wrap;
  /** The same, but only what it answers with an error counts: good ones may come as often as they like. */
  readonly refused: Wrap;
};

const WINDOW_SECONDS = 60;
/** So many refusals a second are told at once; more of them are a storm, which has to wait, so that the others need not. */
const AT_ONCE_MAX = 50;
const STORM_DELAY_MS = 1_000;
/** Past that many that wait, waiting costs more than answering. */
const WAITING_MAX = 2_000;

type Counters = { readonly ofAddress: Limiter | undefined; readonly ofTenant: Limiter | undefined };

export function createLimits(store: Pick<Store, 'limiter'>, limits: GatewayFile['limits'], clock: Clock): Limits {
  const calm = createCalm(clock);
  const limiter = (times: number): Limiter | undefined =>
    times === 0 ? undefined : store.limiter({ times, seconds: WINDOW_SECONDS });
  const counters = (what: Limited): Counters => {
    const { per_address, per_tenant } = limits[what];
    return { ofAddress: limiter(per_address), ofTenant: limiter(per_tenant) };
  };
  const counted: Readonly<Record<Limited, Counters>> = {
    sign_in: counters('sign_in'),
    callback: counters('callback'),
    link: counters('link'),
    logout: counters('logout'),
  };

  async function refuse(seconds: number, what: Limited, which: 'per_address' | 'per_tenant'): Promise<never> {
    await calm();
    throw new GatewayFailure('rate_limited', {
      reason: 'rate_limited',
      evidence: { limit: `${what}.${which}` },
      headers: { 'Retry-After': String(seconds) },
      event: what === 'logout' ? 'sign_out.refused' : 'sign_in.refused',
    });
  }

  async function spend(what: Limited, ctx: Context, { tenant }: Place): Promise<void> {
    const { ofAddress, ofTenant } = counted[what];
    const mine = await ofAddress?.count(keys.limit(tenant.id, what, networkOf(ctx.state.client)));
    if (mine !== undefined) return refuse(mine, what, 'per_address');
    const all = await ofTenant?.count(keys.limit(tenant.id, what, '*'));
    if (all !== undefined) return refuse(all, what, 'per_tenant');
  }

  return {
    each:
      (what, handle) =>
      async (ctx, place, ...args) => {
        await spend(what, ctx, place);
        await handle(ctx, place, ...args);
      },
    refused:
      (what, handle) =>
      async (ctx, place, ...args) => {
        const key = keys.limit(place.tenant.id, what, networkOf(ctx.state.client));
        const seconds = await counted[what].ofAddress?.look(key);
        if (seconds !== undefined) return refuse(seconds, what, 'per_address');
        await handle(ctx, place, ...args);
        if (ctx.status >= 400) await counted[what].ofAddress?.count(key);
      },
  };
}

/** Waits where there is a storm. One connection asks again when it was answered, so a storm is as fast as its answers. */
function createCalm(clock: Clock): () => Promise<void> {
  let second = 0;
  let refused = 0;
  let waiting = 0;
  return async () => {
    const now = Math.floor(clock.nowMs() / 1000);
    if (now !== second) [second, refused] = [now, 0];
    refused += 1;
    if (refused <= AT_ONCE_MAX || waiting >= WAITING_MAX) return;
    waiting += 1;
    await sleep(STORM_DELAY_MS);
    waiting -= 1;
  };
}

/** Who has an IPv6 address has 2^64 of them: its network counts as one. */
export function networkOf(address: string): string {
  if (!isIPv6(address) || address.includes('.')) return address;
  const [head = '', tail] = address.toLowerCase().split('::');
  const groups = (part: string): string[] => (part === '' ? [] : part.split(':'));
  const [first, last] = [groups(head), groups(tail ?? '')];
  const zeros = tail === undefined ? 0 : 8 - first.length - last.length;
  const whole = [...first, ...Array.from({ length: zeros }, () => '0'), ...last];
  return `${whole
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(':')}::/64`;
}
