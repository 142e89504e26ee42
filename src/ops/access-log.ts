/**
 * One line per request: who, where, what came of it, how long it took. The path without its query, since a query may hold
 * a token. What failed is told here or, where it has an event of its own, in that event's line: once either way.
 */
import type { IncomingMessage } from 'node:http';
import type Koa from 'koa';
import { CLIENT_GONE, type LogRequest, type RequestState } from '../edge/request.ts';
import type { Audit } from '../kernel/events.ts';
import type { GatewayFailure } from '../kernel/failure.ts';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';

const PATH_MAX_CHARACTERS = 512;

export function createLogRequest({ logger, requests }: Log, audit: Audit, count: Metrics['request']): LogRequest {
  return ({ requestId, client, place, failure, shownPath }, { method, path }, status, startedAt) => {
    const took = performance.now() - startedAt;
    count(status, took / 1000);
    if (failure === undefined && !logger.isLevelEnabled('info')) return; // the line costs more than many a request
    const who = { tenant: place?.tenant.id, request_id: requestId, client };
    if (failure?.options.event !== undefined) audit(failure.options.event, { ...who, ...describe(failure) });
    if (failure?.code === 'internal_error') logger.error({ ...who, err: failure.cause }, 'bug');
    const line = {
      event: 'request',
      ...who,
      method,
      path: shownPath ?? shown(path),
      status,
      ms: Math.round(took * 10) / 10,
    };
    if (failure === undefined) requests.info(line, 'request');
    else logger.info({ ...line, ...describe(failure) }, 'request');
  };
}

export function createAccessLog(log: LogRequest): Koa.Middleware<RequestState> {
  return async (ctx, next) => {
    const startedAt = performance.now();
    await next();
    const isGone = ctx.respond === false && !ctx.res.headersSent;
    log(ctx.state, ctx, isGone ? CLIENT_GONE : ctx.status, startedAt);
  };
}

/** The same line for an upgrade, which no middleware sees. */
export function createUpgradeLog({ requests }: Log) {
  return ({ requestId, client, place }: RequestState, { url = '' }: IncomingMessage, outcome: string): void => {
    const who = { tenant: place?.tenant.id, request_id: requestId, client };
    const path = shown(url.split('?', 1)[0] ?? '');
    requests.info({ event: 'request', ...who, method: 'GET', path, upgrade: outcome }, 'request');
  };
}

/** One form of signed link holds its token in the path, at whatever address it is tried. */
function shown(path: string): string {
  const cut = path.slice(0, PATH_MAX_CHARACTERS);
  return /(?:\/|%2f)(?:e|%65)/i.test(cut)
    ? cut.replace(/(?<=\/|%2f)(?:e|%65)(?:y|%79)[\w%-]{6,}(?:\.|%2e)[\w.%-]*/gi, '[token]')
    : cut;
}

function describe(failure: GatewayFailure): Record<string, unknown> {
  const { reason, evidence, cause } = failure.options;
  return {
    ...evidence,
    error: failure.code,
    reason: reason ?? failure.code,
    ...(cause instanceof Error && failure.code !== 'internal_error' ? { cause: cause.message } : {}),
  };
}
