/**
 * The events of each tenant in the store too, where the operator wants them there: the last so many, for a month. The log is what counts;
 * what the store cannot take at the moment is in the log alone, and no request waits for it.
 */
import type { Audit } from '../kernel/events.ts';
import { keys } from '../storage/keys.ts';
import type { Store } from '../storage/store.ts';

const KEPT_MS = 30 * 24 * 3_600_000;

/** @param keep how many of each tenant; 0: none @returns the same audit, which tells the store too */
export function createAuditStream(store: Pick<Store, 'append'>, keep: number): (audit: Audit) => Audit {
  if (keep === 0) return (audit) => audit;
  return (audit) => (event, fields) => {
    audit(event, fields);
    // a storm must not push out what it is looked for among
    if (fields.tenant === undefined || fields.error === 'rate_limited') return;
    const entry = JSON.stringify({ time: new Date().toISOString(), event, ...fields });
    store.append(keys.audit(fields.tenant), entry, keep, KEPT_MS).catch(() => {});
  };
}
