/** Failures on a bare socket: for requests that never become one (ops/listener.ts), and for upgrades (gateway/upgrade.ts). */
import { randomUUID } from 'node:crypto';
import { STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import { FAILURES, type FailureCode } from '../kernel/failure.ts';

const LINGER_MS = 1_000;

/** In the same form as every other failure, and the last thing that the socket says. */
export function answerRaw(socket: Duplex, code: FailureCode, requestId: string = randomUUID()): void {
  const { status, text } = FAILURES[code];
  const body = JSON.stringify({ error: code, error_description: text, request_id: requestId });
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    'Content-Type: application/json; charset=utf-8',
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Cache-Control: no-store',
    'Referrer-Policy: no-referrer',
    'X-Content-Type-Options: nosniff',
    "Content-Security-Policy: default-src 'none'",
    `X-Request-Id: ${requestId}`,
    'Connection: close',
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`);
  setTimeout(() => socket.destroy(), LINGER_MS).unref(); // who does not close its side is not waited for
}
