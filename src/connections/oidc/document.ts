/**
 * A document of an IdP that is kept for a while: one fetch however many ask (single flight), used until its lifetime ends,
 * and beyond that while the IdP cannot be reached, since an outage there should not end sign-ins that need nothing new.
 */
import type { Clock } from '../../kernel/clock.ts';

/** How long a document is used without asking again. */
const FRESH_MS = 10 * 60_000;
/** How long it may stand in while the IdP is down. A withdrawn key must not live for ever. */
const STALE_MS = 24 * 3_600_000;
/** Who has an old one to use waits no longer than this for the new one. */
const PATIENCE_MS = 1_000;
/** After a failure the old one is used at once for so long: nobody waits for an IdP that is known to hang. */
const REST_MS = 15_000;

export type KeptDocument<T> = {
  /** The document. Throws what the fetch threw when there is none that may be used. */
  readonly get: () => Promise<T>;
  /** Asks the IdP now, whatever is kept; at most one fetch at a time. Throws what the fetch threw. */
  readonly refresh: () => Promise<T>;
};

/** @param onStale told when an old document stands in for one that could not be fetched */
export function keepDocument<T>(
  fetch: () => Promise<T>,
  clock: Clock,
  onStale: (error: unknown) => void,
): KeptDocument<T> {
  let kept: { readonly value: T; readonly fetchedAtMs: number } | undefined;
  let flight: Promise<T> | undefined;
  let failedAtMs = Number.NEGATIVE_INFINITY;

  function refresh(): Promise<T> {
    flight ??= fetch()
      .then((value) => {
        kept = { value, fetchedAtMs: clock.nowMs() };
        return value;
      })
      .finally(() => {
        flight = undefined;
      });
    return flight;
  }

  return {
    refresh,
    async get() {
      const nowMs = clock.nowMs();
      const ageMs = kept === undefined ? Number.POSITIVE_INFINITY : nowMs - kept.fetchedAtMs;
      if (kept !== undefined && ageMs < FRESH_MS) return kept.value;
      const usable = kept !== undefined && ageMs < STALE_MS ? kept : undefined;
      if (usable !== undefined && nowMs - failedAtMs < REST_MS) return usable.value;
      try {
        return await (usable === undefined ? refresh() : within(PATIENCE_MS, refresh()));
      } catch (error) {
        failedAtMs = nowMs;
        if (usable === undefined) throw error;
        onStale(error);
        return usable.value;
      }
    },
  };
}

/** The answer, if it comes in time; it is not given up on, others may still want it. */
async function within<T>(limitMs: number, answer: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('did not answer in time')), limitMs);
  });
  answer.catch(() => {}); // who lost the race is heard by nobody
  return Promise.race([answer, late]).finally(() => clearTimeout(timer));
}
