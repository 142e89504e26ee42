/**
 * How often one address may start sign-ins, bring answers and links, show front-channel frames, and give orders to sign out that are wrong, at
 * one tenant; and how many sign-ins all together may start there. What is refused by an address's own limit does not count against its
 * tenant, and nothing that is done from another network stands in the way of a sign-in that has begun.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { GatewayFile } from '../config/gateway-file.ts';
import { isLoopbackAddress } from '../config/networks.ts';
import type { Clock } from '../kernel/clock.ts';
import type { EventName } from '../kernel/events.ts';
import { GatewayFailure } from '../kernel/failure.ts';
import { keys } from '../storage/keys.ts';
import type { Limiter } from '../storage/limiter.ts';
import type { Store } from '../storage/store.ts';
import type { Place } from '../tenants/registry.ts';
import { networksOf } from './address.ts';
import { isForeignSubrequest } from './negotiate.ts';
import type { Context } from './request.ts';

type Limited = keyof GatewayFile['limits'];
type Handle<P extends Place, Args extends readonly unknown[], Result> = (
  ctx: Context,
  place: P,
  ...args: Args
) => Promise<Result>;
type Wrap<Result> = <P extends Place, Args extends readonly unknown[]>(
  what: Limited,
  handle: Handle<P, Args, Result>,
) => Handle<P, Args, void>;

export type Limits = {
  /**
   * The same handler, for as often as it may be used; past that `rate_limited`. No page of another site uses up its visitors' by pictures
   * and scripts.
   */
  readonly each: Wrap<void>;
  /** The same handler, which says whether it was given something wrong: that alone counts; what is right is done however often it comes. */
  readonly wrong: Wrap<boolean>;
};

const WINDOW_SECONDS = 60;
/** A /48 of IPv6 may do so many times what one address may: it is a company, or one person with a tunnel. */
const WIDE_FACTOR = 4;
/** So many refusals a second are told at once; more of them are a storm, which has to wait, so that the others need not. */
const AT_ONCE_MAX = 50;
const STORM_DELAY_MS = 1_000;
/** Past that many that wait, waiting costs more than answering. */
const WAITING_MAX = 2_000;

type Kind = {
  /** as what it is told that somebody has to wait; a wrong logout token has been told already */
  readonly event?: EventName;
  /** people go there; the IdP's frames and messages are no navigation */
  readonly isNavigation: boolean;
};
const KINDS: Readonly<Record<Limited, Kind>> = {
  sign_in: { event: 'sign_in.refused', isNavigation: true },
  callback: { event: 'sign_in.refused', isNavigation: true },
  link: { event: 'sign_in.refused', isNavigation: true },
  front_channel: { event: 'sign_out.refused', isNavigation: false },
  logout: { isNavigation: false },
};

/** By address, by the wide network that it is in, and all together; absent: as often as one likes. */
type Counters = { readonly narrow?: Limiter; readonly wide?: Limiter; readonly all?: Limiter };

export function createLimits(store: Pick<Store, 'limiter'>, limits: GatewayFile['limits'], clock: Clock): Limits {
  const calm = createCalm(clock);
  const limiter = (times: number): Limiter => store.limiter({ times, seconds: WINDOW_SECONDS });
  const counters = (rule: GatewayFile['limits'][Limited]): Counters => {
    const { per_address: mine, per_tenant: all = 0 } = { per_tenant: 0, ...rule };
    const ofAddress = mine === 0 ? {} : { narrow: limiter(mine), wide: limiter(mine * WIDE_FACTOR) };
    return all === 0 ? ofAddress : { ...ofAddress, all: limiter(all) };
  };
  const counted: Readonly<Record<Limited, Counters>> = {
    sign_in: counters(limits.sign_in),
    callback: counters(limits.callback),
    link: counters(limits.link),
    logout: counters(limits.logout),
    front_channel: counters(limits.front_channel),
  };

  /** @returns how many seconds to wait, when that was one too many */
  async function countAddress(what: Limited, { state }: Context, { tenant }: Place): Promise<number | undefined> {
    // behind a proxy of this machine that is in no TRUSTED_PROXIES everybody would be one
    if (isLoopbackAddress(state.client)) return undefined;
    const [narrow = '', wide] = networksOf(state.client);
    const [mine, ours] = await Promise.all([
      counted[what].narrow?.count(keys.limit(tenant.id, what, narrow)),
      wide === undefined ? undefined : counted[what].wide?.count(keys.limit(tenant.id, what, wide)),
    ]);
    return mine ?? ours;
  }

  async function refuseWhen(
    seconds: number | undefined,
    what: Limited,
    which: 'per_address' | 'per_tenant',
  ): Promise<void> {
    if (seconds === undefined) return;
    await calm();
    const evidence = { limit: `${what}.${which}` };
    const headers = { 'Retry-After': String(seconds) };
    const failure = new GatewayFailure('rate_limited', { reason: 'rate_limited', evidence, headers });
    const { event } = KINDS[what];
    throw event === undefined ? failure : failure.with({ event });
  }

  return {
    each:
      (what, handle) =>
      async (ctx, place, ...args) => {
        if (KINDS[what].isNavigation && isForeignSubrequest(ctx.req.headers))
          throw new GatewayFailure('request_invalid', { reason: 'not_a_navigation' });
        await refuseWhen(await countAddress(what, ctx, place), what, 'per_address');
        await refuseWhen(await counted[what].all?.count(keys.limit(place.tenant.id, what, '*')), what, 'per_tenant');
        await handle(ctx, place, ...args);
      },
    wrong:
      (what, handle) =>
      async (ctx, place, ...args) => {
        const isWrong = await handle(ctx, place, ...args);
        // it has been told to the operator; past the limit its sender is told to wait
        if (isWrong) await refuseWhen(await countAddress(what, ctx, place), what, 'per_address');
      },
  };
}

/**
 * Waits where this process has a storm, at whatever tenant. One connection asks again when it was answered, so a storm is as fast as its
 * answers.
 */
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
