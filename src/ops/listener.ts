/** Opening and draining a listener: none accepted is lost, none idle holds the process. */
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { answerRaw } from '../edge/raw-answer.ts';

/** A URL may have 16 KiB and cookies come on top; Node's default would cut both off at 16 KiB together. */
const HEADERS_MAX_BYTES = 64 * 1024;
const HEADERS_TIMEOUT_MS = 15_000;
/** Uploads through us may take long; slow headers and our own forms have limits of their own. */
const REQUEST_TIMEOUT_MS = 0;
/** Longer than the idle time of common balancers (60 s), so that they and not we end a connection they may be using. */
const KEEP_ALIVE_MS = 75_000;

export type Listener = {
  readonly url: string;
  readonly port: number;
  /** Serves as before, and ends each connection with its next answer: who balances finds another one in peace. */
  readonly leave: () => void;
  /** Takes no new connection, finishes what runs, at most `limitMs` long. */
  readonly drain: (limitMs: number) => Promise<void>;
};

type Upgrade = {
  readonly handle: (request: IncomingMessage, socket: Duplex, head: Buffer) => void;
  /** what is none stays an ordinary request */
  readonly isUpgrade: (request: IncomingMessage) => boolean;
};

export async function openListener(
  handle: RequestListener,
  host: string,
  port: number,
  upgrade?: Upgrade,
): Promise<Listener> {
  let leaving = false;
  const server = createServer(
    {
      maxHeaderSize: HEADERS_MAX_BYTES,
      headersTimeout: HEADERS_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      keepAliveTimeout: KEEP_ALIVE_MS,
      shouldUpgradeCallback: upgrade?.isUpgrade ?? (() => false),
    },
    (request, response) => {
      if (leaving) response.shouldKeepAlive = false;
      handle(request, response);
    },
  );
  server.on('clientError', refuseMalformed);
  if (upgrade !== undefined) server.on('upgrade', upgrade.handle);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });
  const bound = addressOf(server);
  return {
    port: bound.port,
    url: `http://${host.includes(':') ? `[${host}]` : host}:${bound.port}`,
    leave() {
      leaving = true;
    },
    drain(limitMs) {
      leaving = true;
      return drain(server, limitMs);
    },
  };
}

/** What the parser cannot read never gets to the app: it is answered here, in the same form. */
function refuseMalformed(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  answerRaw(socket, error.code === 'HPE_HEADER_OVERFLOW' ? 'request_too_large' : 'request_invalid');
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
