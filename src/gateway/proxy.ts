/**
 * Passes a request on to the app: streamed both ways with back-pressure, on undici's dispatch. The path that was judged is the path
 * that is sent. Nothing is tried twice.
 */
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import { Agent, type Dispatcher, errors } from 'undici';
import type { CanonicalPath } from '../edge/path.ts';
import { GatewayFailure } from '../kernel/failure.ts';
import type { Session } from '../sessions/sessions.ts';
import type { Place } from '../tenants/registry.ts';
import type { Streams } from './streams.ts';
import { type Told, toBrowser, toUpstream } from './upstream-headers.ts';

/** Event streams hold one each; far above what one app server takes. */
const CONNECTIONS_PER_UPSTREAM = 8_192;
const CONNECT_TIMEOUT_MS = 5_000;
/** Shorter than what common app servers allow, so that we and not they end an idle connection that is about to be used. */
const KEEP_ALIVE_MS = 4_000;

export type Upstream = { readonly url: string; readonly timeout: number };

export type Passage = {
  readonly place: Place;
  readonly upstream: Upstream;
  /** as the app is to see it */
  readonly path: CanonicalPath | string;
  readonly session: Session | undefined;
  readonly told: Told;
  /** ours, so that the log can be searched for what a person saw */
  readonly requestId: string;
};

export type AppProxy = {
  /** Resolves when the answer is over. Throws `upstream_unavailable` when there is none. */
  readonly pass: (request: IncomingMessage, response: ServerResponse, passage: Passage) => Promise<void>;
  readonly close: () => Promise<void>;
};

export function createProxy(streams: Streams): AppProxy {
  const agent = new Agent({
    connections: CONNECTIONS_PER_UPSTREAM,
    pipelining: 1,
    keepAliveTimeout: KEEP_ALIVE_MS,
    connect: { timeout: CONNECT_TIMEOUT_MS },
  });
  return {
    pass: (request, response, passage) =>
      new Promise((resolve, reject) => {
        const { url = '', method = '' } = request;
        const queryAt = url.indexOf('?');
        const query = queryAt === -1 ? '' : url.slice(queryAt);
        const options: Dispatcher.DispatchOptions = {
          origin: passage.upstream.url,
          path: `${passage.path}${query}`,
          method,
          headers: toUpstream(request.rawHeaders, passage.told),
          body: hasBody(request.headers) ? request : null,
          headersTimeout: passage.upstream.timeout,
          bodyTimeout: 0, // an event stream may be silent for as long as it likes
          idempotent: false,
        };
        if (options.body !== null) limitIdleUpload(request, passage.upstream.timeout);
        agent.dispatch(options, relayTo(request, response, passage, streams, resolve, reject));
      }),
    close: () => agent.destroy(),
  };
}

/** RFC 9112 section 6.3: a request has a body when it says how long, or that it comes in chunks. */
function hasBody(headers: IncomingHttpHeaders): boolean {
  return headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0';
}

/** A body that stops coming holds a connection to the app: nobody's for longer than the app itself may take. */
function limitIdleUpload(request: IncomingMessage, limitMs: number): void {
  const { socket } = request;
  const giveUp = (): void => void request.destroy();
  socket.setTimeout(limitMs, giveUp);
  request.once('close', () => {
    socket.off('timeout', giveUp);
    socket.setTimeout(0);
  });
}

function relayTo(
  request: IncomingMessage,
  res: ServerResponse,
  { place, session, requestId }: Passage,
  streams: Streams,
  resolve: () => void,
  reject: (failure: GatewayFailure) => void,
): Dispatcher.DispatchHandler {
  let controller: Dispatcher.DispatchController | undefined;
  let bodyBegun = false;
  let unwatch = (): void => {};
  const abandon = (): void => controller?.abort(new Error('the client went away'));
  res.once('close', abandon);

  function over(): void {
    unwatch();
    res.off('close', abandon);
    resolve();
  }

  return {
    onRequestStart(started) {
      controller = started;
      if (res.destroyed) abandon(); // it went while it waited for a connection
    },
    onResponseStart(started, status, headers, message) {
      if (status < 200) return; // interim answers are of this connection
      for (const name of res.getHeaderNames()) res.removeHeader(name);
      try {
        // a reason phrase is for nobody; one that cannot be sent must not spoil the answer
        const kept = toBrowser(headers);
        kept['x-request-id'] = requestId;
        // an app that answers before it has read the body leaves a connection on which nothing can follow
        if (!request.complete) res.shouldKeepAlive = false;
        res.writeHead(status, /^[\x20-\x7e]*$/.test(message ?? '') ? message : '', kept);
      } catch (error) {
        return started.abort(error instanceof Error ? error : new Error('the answer cannot be sent'));
      }
      // with the body, if that is here already, in one piece; at once, if it is not
      process.nextTick(() => {
        if (!bodyBegun && !res.destroyed) res.flushHeaders();
      });
      if (/^text\/event-stream/i.test(String(headers['content-type'] ?? '')))
        unwatch = streams.watch(place.tenant, session, () => res.destroy());
    },
    onResponseData(started, chunk) {
      bodyBegun = true;
      if (res.write(chunk)) return;
      started.pause();
      res.once('drain', () => started.resume());
    },
    onResponseEnd(_started, trailers) {
      bodyBegun = true;
      const kept = toBrowser(trailers);
      if (Object.keys(kept).length > 0) res.addTrailers(kept);
      res.end();
      over();
    },
    onResponseError(_started, error) {
      if (res.headersSent || res.destroyed) {
        res.destroy(); // an answer that is cut off must look cut off
        return over();
      }
      res.off('close', abandon);
      reject(unavailable(error));
    },
  };
}

function unavailable(error: Error): GatewayFailure {
  const late = error instanceof errors.HeadersTimeoutError || error instanceof errors.ConnectTimeoutError;
  return new GatewayFailure('upstream_unavailable', {
    reason: late ? 'upstream_timeout' : 'upstream_unreachable',
    cause: error,
    ...(late ? { status: 504 } : {}),
  });
}
