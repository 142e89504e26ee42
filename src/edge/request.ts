/**
 * What is known of a request before anything else looks at it: its number, who sent it, for which host. `X-Forwarded-*`
 * counts only where the peer is a trusted proxy (CVE-2026-40575, CVE-2023-36456); no URL is ever built from it.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type Koa from 'koa';
import type { NetworkList } from '../config/networks.ts';
import { GatewayFailure } from '../kernel/failure.ts';
import type { Place } from '../tenants/registry.ts';
import { parseAddress } from './address.ts';

/** Of this request only. */
export type RequestState = {
  requestId: string;
  /** the client's IP address, as far as trusted proxies tell it */
  client: string;
  /** whether the peer is a proxy of ours, whose `X-…` headers count */
  trusted: boolean;
  /** the way of the request so far, as it is told to whoever comes next */
  forwardedFor: string;
  /** lower case, without a port */
  host: string;
  place?: Place;
  failure?: GatewayFailure;
  /** what the log says instead of a path that holds a secret */
  shownPath?: string;
};

/** One line for each request. @param startedAt by `performance.now()` @param asked the path without its query */
export type LogRequest = (
  seen: RequestState,
  asked: { readonly method: string; readonly path: string },
  status: number,
  startedAt: number,
) => void;

/** Nothing was answered, because nobody was there any more; nginx's word for it. */
export const CLIENT_GONE = 499;

export type Context = Koa.ParameterizedContext<RequestState>;

export const URL_MAX_CHARACTERS = 16 * 1024;

type Intake = {
  readonly trusted: NetworkList;
  readonly requests: Requests;
  /** told the address of somebody who writes `X-Forwarded-For` and is not believed: an attacker, or a proxy that was forgotten */
  readonly onUntrusted: (peer: string) => void;
  /** what is known already of a request that began elsewhere */
  readonly seenBefore: (request: IncomingMessage) => RequestState | undefined;
};

export function createIntake({ trusted, requests, onUntrusted, seenBefore }: Intake): Koa.Middleware<RequestState> {
  return async (ctx, next) => {
    Object.assign(ctx.state, seenBefore(ctx.req) ?? seeRequest(ctx.req, trusted));
    if (!ctx.state.trusted && ctx.req.headers['x-forwarded-for'] !== undefined) onUntrusted(ctx.state.client);
    ctx.set('X-Request-Id', ctx.state.requestId);
    await requests.within(ctx.state, next);
  };
}

export function seeRequest(request: IncomingMessage, trusted: NetworkList): RequestState {
  const { remoteAddress = '' } = request.socket;
  const peer = parseAddress(remoteAddress) ?? remoteAddress;
  const believed = trusted.has(peer);
  const forwardedFor = believed ? header(request, 'x-forwarded-for') : undefined;
  return {
    requestId: randomUUID(),
    trusted: believed,
    client: clientAddress(forwardedFor, peer, trusted),
    forwardedFor: forwardedFor === undefined ? peer : `${forwardedFor}, ${peer}`,
    host: hostName((believed && header(request, 'x-forwarded-host')) || request.headers.host || ''),
  };
}

/** Refuses targets that nothing behind this should have to think about. */
export const checkTarget: Koa.Middleware<RequestState> = async (ctx, next) => {
  const target = ctx.req.url ?? '';
  if (target.length > URL_MAX_CHARACTERS) throw new GatewayFailure('request_too_large', { reason: 'url_too_long' });
  if (!target.startsWith('/')) throw new GatewayFailure('request_invalid', { reason: 'target_not_a_path' });
  await next();
};

/** The right-most address that is not one of our proxies: what stands left of it anybody may have written. */
function clientAddress(forwardedFor: string | undefined, peer: string, trusted: NetworkList): string {
  let client = peer;
  for (const entry of (forwardedFor ?? '').split(',').reverse()) {
    const address = parseAddress(entry.trim());
    if (address === undefined) break;
    client = address;
    if (!trusted.has(address)) break;
  }
  return client;
}

function hostName(host: string): string {
  return host.replace(/:\d*$/, '').toLowerCase().slice(0, 255);
}

function header(request: IncomingMessage, name: string): string | undefined {
  const value = request.headers[name];
  return Array.isArray(value) ? value.join(',') : value;
}

/** Which request the code that runs belongs to, however deep: for lines of the log, and for nothing that decides. */
export type Requests = {
  readonly within: <T>(state: RequestState, work: () => T) => T;
  readonly who: () => { tenant: string | undefined; request_id: string; client: string } | undefined;
};

export function createRequests(): Requests {
  const current = new AsyncLocalStorage<RequestState>();
  return {
    within: (state, work) => current.run(state, work),
    who() {
      const state = current.getStore();
      return state && { tenant: state.place?.tenant.id, request_id: state.requestId, client: state.client };
    },
  };
}
