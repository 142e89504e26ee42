/**
 * Passes a request on to the app: streamed both ways with back-pressure, on undici's dispatch. The path that was judged is the path
 * that is sent. Nothing is tried twice.
 */
import type { IncomingHttpHeaders } from 'node:http';
import { Agent, type Dispatcher, errors } from 'undici';
import type { CanonicalPath } from '../edge/path.ts';
import type { Context } from '../edge/request.ts';
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
};

export type AppProxy = {
  /** Resolves when the answer is over. Throws `upstream_unavailable` when there is none. */
  readonly pass: (ctx: Context, passage: Passage) => Promise<void>;
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
    pass: (ctx, passage) =>
      new Promise((resolve, reject) => {
        const query = ctx.querystring === '' ? '' : `?${ctx.querystring}`;
        const options: Dispatcher.DispatchOptions = {
          origin: passage.upstream.url,
          path: `${passage.path}${query}`,
          method: ctx.method,
          headers: toUpstream(ctx.req.rawHeaders, passage.told),
          body: hasBody(ctx.req.headers) ? ctx.req : null,
          headersTimeout: passage.upstream.timeout,
          bodyTimeout: 0, // an event stream may be silent for as long as it likes
          idempotent: false,
        };
        if (options.body !== null) limitIdleUpload(ctx, passage.upstream.timeout);
        agent.dispatch(options, relayTo(ctx, passage, streams, resolve, reject));
      }),
    close: () => agent.destroy(),
  };
}

/** RFC 9112 section 6.3: a request has a body when it says how long, or that it comes in chunks. */
function hasBody(headers: IncomingHttpHeaders): boolean {
  return headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0';
}

/** A body that stops coming holds a connection to the app: nobody's for longer than the app itself may take. */
function limitIdleUpload({ req }: Context, limitMs: number): void {
  const { socket } = req;
  const giveUp = (): void => void req.destroy();
  socket.setTimeout(limitMs, giveUp);
  req.once('close', () => {
    socket.off('timeout', giveUp);
    socket.setTimeout(0);
  });
}

function relayTo(
  ctx: Context,
  { place, session }: Passage,
  streams: Streams,
  resolve: () => void,
  reject: (failure: GatewayFailure) => void,
): Dispatcher.DispatchHandler {
  const { res } = ctx;
  let controller: Dispatcher.DispatchController | undefined;
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
      for (const name of res.getHeaderNames()) if (name !== 'x-request-id') res.removeHeader(name);
      try {
        // a reason phrase is for nobody; one that cannot be sent must not spoil the answer
        res.writeHead(status, /^[\x20-\x7e]*$/.test(message ?? '') ? message : '', toBrowser(headers));
      } catch (error) {
        return started.abort(error instanceof Error ? error : new Error('the answer cannot be sent'));
      }
      ctx.respond = false;
      res.flushHeaders();
      res.on('drain', () => started.resume());
      if (/^text\/event-stream/i.test(String(headers['content-type'] ?? '')))
        unwatch = streams.watch(place.tenant, session, () => res.destroy());
    },
    onResponseData(started, chunk) {
      if (!res.write(chunk)) started.pause();
    },
    onResponseEnd(_started, trailers) {
      const kept = toBrowser(trailers);
      if (Object.keys(kept).length > 0) res.addTrailers(kept);
      res.end();
      over();
    },
    onResponseError(_started, error) {
      if (res.headersSent || res.destroyed) {
        res.destroy(); // an answer that is cut off must look cut off
        ctx.respond = false;
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
