/** Opening and draining a listener: none accepted is lost, none idle holds the process. */
import { randomUUID } from 'node:crypto';
import { createServer, type RequestListener, type Server, STATUS_CODES } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { FAILURES, type FailureCode } from '../kernel/failure.ts';

/** A URL may have 16 KiB and cookies come on top; Node's default would cut both off at 16 KiB together. */
const HEADERS_MAX_BYTES = 64 * 1024;
const HEADERS_TIMEOUT_MS = 15_000;
const REQUEST_TIMEOUT_MS = 60_000;
/** Longer than the idle time of common balancers (60 s), so that they and not we end a connection they may be using. */
const KEEP_ALIVE_MS = 75_000;

export type Listener = {
  readonly url: string;
  readonly port: number;
  /** Takes no new connection, finishes what runs, at most `limitMs` long. */
  readonly drain: (limitMs: number) => Promise<void>;
};

export async function openListener(handle: RequestListener, host: string, port: number): Promise<Listener> {
  const server = createServer(
    {
      maxHeaderSize: HEADERS_MAX_BYTES,
      headersTimeout: HEADERS_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      keepAliveTimeout: KEEP_ALIVE_MS,
    },
    handle,
  );
  server.on('clientError', refuseMalformed);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });
  const bound = addressOf(server);
  return {
    port: bound.port,
    url: `http://${host.includes(':') ? `[${host}]` : host}:${bound.port}`,
    drain: (limitMs) => drain(server, limitMs),
  };
}

/** What the parser cannot read never gets to the app: it is answered here, in the same form. */
function refuseMalformed(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const code: FailureCode = error.code === 'HPE_HEADER_OVERFLOW' ? 'request_too_large' : 'request_invalid';
  const { status, text } = FAILURES[code];
  const body = JSON.stringify({ error: code, error_description: text, request_id: randomUUID() });
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    'Content-Type: application/json; charset=utf-8',
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Cache-Control: no-store',
    'Referrer-Policy: no-referrer',
    'X-Content-Type-Options: nosniff',
    "Content-Security-Policy: default-src 'none'",
    'Connection: close',
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`);
}

function addressOf(server: Server): AddressInfo {
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the listener has no port');
  return address;
}

async function drain(server: Server, limitMs: number): Promise<void> {
  // a connection that was busy when this began becomes idle later
  const sweep = setInterval(() => server.closeIdleConnections(), 50);
  const limit = setTimeout(() => server.closeAllConnections(), limitMs);
  await new Promise<void>((resolve) => {
    server.close(() => resolve());
    server.closeIdleConnections();
  });
  clearInterval(sweep);
  clearTimeout(limit);
}
