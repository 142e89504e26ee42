/**
 * One JSON line per request and per event, by pino. What may be written is chosen field by field where it is written;
 * redaction is the second net, for fields that must never appear.
 */
import { type DestinationStream, type Logger, pino } from 'pino';
import type { Audit } from '../kernel/events.ts';

export type { Logger };

const NEVER = ['cookie', 'authorization', 'id_token', 'state', 'nonce', 'token', 'logout_token', 'secret'];

export function createLogger(level: string, destination?: DestinationStream): Logger {
  const options = {
    level,
    base: { service: 'gatehouse' },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    redact: { paths: [...NEVER, ...NEVER.map((name) => `*.${name}`)], censor: '[secret]' },
  };
  return destination === undefined ? pino(options) : pino(options, destination);
}

/** Refusals and what needs an eye are warnings, so that `LOG_LEVEL=warn` still shows them. */
const WARNINGS: ReadonlySet<string> = new Set([
  'sign_in.refused',
  'sign_out.refused',
  'renewal.failed',
  'tenant.refused',
  'idp.keys_stale',
  'claims.dropped',
]);

export function createAudit(logger: Logger): Audit {
  return (event, fields) => logger[WARNINGS.has(event) ? 'warn' : 'info']({ event, ...fields }, event);
}
