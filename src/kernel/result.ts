/**
 * The value that every check answers with: what it established, or why it refuses. A refusal is a value, never an
 * exception, so that the caller cannot forget it and a table test can list it.
 */
import type { Refusal } from './refusal.ts';

export type Result<T, R = Refusal> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly refusal: R };

export function ok<T>(value: T): { readonly ok: true; readonly value: T } {
  return { ok: true, value };
}

export function refuse(
  reason: Refusal['reason'],
  evidence?: Refusal['evidence'],
): { readonly ok: false; readonly refusal: Refusal } {
  return { ok: false, refusal: evidence === undefined ? { reason } : { reason, evidence } };
}
