/** `/livez`: the process answers. `/readyz`: it can also serve: it has a configuration, reaches its store, and is not on its way out. No IdP matters. */
import type { Clock } from '../kernel/clock.ts';
import type { Store } from '../storage/store.ts';

/** Balancers ask often; the store is asked at most this often. */
const KEPT_MS = 500;

export type Health = {
  readonly ready: () => Promise<{ readonly ready: boolean; readonly reason?: string }>;
  /** There is a configuration: before that nobody could sign in here. */
  readonly configured: () => void;
  readonly drain: () => void;
};

export function createHealth(store: Store, clock: Clock): Health {
  let draining = false;
  let isConfigured = false;
  let checkedAtMs = Number.NEGATIVE_INFINITY;
  let reachable: Promise<boolean> = Promise.resolve(false);

  return {
    async ready() {
      if (draining) return { ready: false, reason: 'draining' };
      if (!isConfigured) return { ready: false, reason: 'no_configuration' };
      if (clock.nowMs() - checkedAtMs >= KEPT_MS) {
        checkedAtMs = clock.nowMs();
        reachable = store.ping().then(
          () => true,
          () => false,
        );
      }
      return (await reachable) ? { ready: true } : { ready: false, reason: 'store_unavailable' };
    },
    configured() {
      isConfigured = true;
    },
    drain() {
      draining = true;
    },
  };
}
