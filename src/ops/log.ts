/**
 * One JSON line per request and per event, by pino. What may be written is chosen field by field where it is written;
 * redaction is the second net, for fields that must never appear. Lines of requests are gathered for a moment, because a write for
 * each costs more than many a request; whatever else is said takes them along at once.
 */
import { type DestinationStream, type Logger, pino } from 'pino';
import { type Audit, shapeOf } from '../kernel/events.ts';

export type { Logger };

const NEVER = ['cookie', 'authorization', 'id_token', 'state', 'nonce', 'token', 'logout_token', 'secret'];
const GATHERED_MS = 100;
const GATHERED_BYTES = 8 * 1024;
/** What cannot be written now is kept up to this, then dropped. */
const KEPT_MAX_BYTES = 1024 * 1024;

export type Log = {
  readonly logger: Logger;
  /** for lines of requests: their fields are fixed, so nothing has to be looked for in them */
  readonly requests: Logger;
};

/** @param destination where tests want it; otherwise standard output */
export function createLog(level: string, destination?: DestinationStream): Log {
  const options = {
    level,
    base: { service: 'gatehouse' },
    timestamp: createTimestamp(),
    formatters: { level: (label: string) => ({ level: label }) },
  };
  const output = destination === undefined ? openOutput() : { gather: destination, tell: destination };
  const redact = { paths: [...NEVER, ...NEVER.map((name) => `*.${name}`)], censor: '[secret]' };
  return { logger: pino({ ...options, redact }, output.tell), requests: pino(options, output.gather) };
}

/** Never `flushSync`: on a pipe that nobody reads any more, or a full disk, it tries for ever and nothing else happens. */
function openOutput(): { gather: DestinationStream; tell: DestinationStream } {
  const output = pino.destination({
    fd: 1,
    sync: true,
    minLength: GATHERED_BYTES,
    periodicFlush: GATHERED_MS,
    maxLength: KEPT_MAX_BYTES,
  });
  output.on('error', () => {}); // who cannot log can still serve, and there is nobody to tell
  process.once('exit', () => output.flush());
  const tell = {
    write(line: string) {
      output.write(line);
      output.flush();
    },
  };
  return { gather: output, tell };
}

/** Written out once for each millisecond. */
function createTimestamp(): () => string {
  let atMs = 0;
  let text = '';
  return () => {
    const nowMs = Date.now();
    if (nowMs !== atMs) text = `,"time":"${new Date(nowMs).toISOString()}"`;
    atMs = nowMs;
    return text;
  };
}

export function createAudit(logger: Logger): Audit {
  return (event, fields) => logger[shapeOf(event).level]({ event, ...fields }, event);
}
