/** Time as an argument: tests move it, nothing else reads the wall clock. */
export type Clock = {
  /** milliseconds since 1970-01-01T00:00:00Z */
  readonly nowMs: () => number;
};

export const systemClock: Clock = { nowMs: () => Date.now() };
