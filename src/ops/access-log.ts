/**
 * One line per request: who, where, what came of it, how long it took. The path without its query, since a query may hold
 * a token. What failed is told here or, where it has an event of its own, in that event's line: once either way.
 */
import type { IncomingMessage } from 'node:http';
import type Koa from 'koa';
import type { RequestState } from '../edge/request.ts';
import type { Audit } from '../kernel/events.ts';
import type { GatewayFailure } from '../kernel/failure.ts';
import type { Logger } from './log.ts';

const PATH_MAX_CHARACTERS = 512;

export function createAccessLog(logger: Logger, audit: Audit): Koa.Middleware<RequestState> {
  return async (ctx, next) => {
    const startedAt = performance.now();
    await next();
    const { requestId, client, place, failure } = ctx.state;
    const tenant = place?.tenant.id;
    const who = { tenant, request_id: requestId, client };
    if (failure?.options.event !== undefined) audit(failure.options.event, { ...who, ...describe(failure) });
    if (failure?.code === 'internal_error') logger.error({ ...who, err: failure.cause }, 'bug');
    if (!logger.isLevelEnabled('info')) return; // the line costs more than many a request
    const line = {
      event: 'request',
      ...who,
      method: ctx.method,
      path: ctx.path.slice(0, PATH_MAX_CHARACTERS),
      status: ctx.status,
      ms: Math.round((performance.now() - startedAt) * 10) / 10,
    };
    logger.info(failure === undefined ? line : { ...line, ...describe(failure) }, 'request');
  };
}

/** The same line for an upgrade, which no middleware sees. */
export function createUpgradeLog(logger: Logger) {
  return ({ requestId, client, place }: RequestState, { url = '' }: IncomingMessage, outcome: string): void => {
    const who = { tenant: place?.tenant.id, request_id: requestId, client };
    const path = url.split('?', 1)[0]?.slice(0, PATH_MAX_CHARACTERS);
    logger.info({ event: 'request', ...who, method: 'GET', path, upgrade: outcome }, 'request');
  };
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
