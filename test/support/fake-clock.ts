/** Time that moves only when a test says so. It begins now, since tokens of a real provider carry real times. */
import type { Clock } from '../../src/kernel/clock.ts';

export type FakeClock = Clock & { readonly advance: (ms: number) => void };

export function createFakeClock(startMs = Date.now()): FakeClock {
  let offset = 0;
  const realStart = Date.now();
  return {
    nowMs: () => startMs + (Date.now() - realStart) + offset,
    advance(ms) {
      offset += ms;
    },
  };
}

/** Time that stands still until moved: for tests that compare to the millisecond. */
export function createStillClock(startMs = 1_800_000_000_000): FakeClock {
  let now = startMs;
  return {
    nowMs: () => now,
    advance(ms) {
      now += ms;
    },
  };
}
