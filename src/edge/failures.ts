/**
 * The one place that answers failures: a page for people, JSON for programs, both with the code and the request's number.
 * The reason is left for the log (ops/access-log.ts). What is not a `GatewayFailure` is a bug of ours, answered 500.
 */
import { html } from 'hono/html';
import type Koa from 'koa';
import { FAILURES, GatewayFailure } from '../kernel/failure.ts';
import type { OwnHeaders } from './headers.ts';
import { wantsPage } from './negotiate.ts';
import { sendPage } from './page.ts';
import type { Context, RequestState } from './request.ts';

export function createFailures(ownHeaders: OwnHeaders): Koa.Middleware<RequestState> {
  return async (ctx, next) => {
    try {
      await next();
    } catch (error) {
      const failure = error instanceof GatewayFailure ? error : new GatewayFailure('internal_error', { cause: error });
      ctx.state.failure = failure; // for the log
      await answer(ctx, failure, ownHeaders);
    }
  };
}

async function answer(ctx: Context, failure: GatewayFailure, ownHeaders: OwnHeaders): Promise<void> {
  const { title, text } = FAILURES[failure.code];
  const { requestId } = ctx.state;
  ctx.status = failure.status;
  ctx.set(failure.options.headers ?? {});
  if (wantsPage(ctx)) {
    const { retryUrl, switchUrl, detail } = failure.options;
    const buttons = [
      switchUrl === undefined ? '' : html`<a class="button" href="${switchUrl}">Use another account</a>`,
      retryUrl === undefined
        ? ''
        : html`<a class="button${switchUrl === undefined ? '' : ' quiet'}" href="${retryUrl}">Try again</a>`,
    ];
    const content = html`<p>${text}</p>
${detail === undefined ? '' : html`<p>${detail}</p>`}
<div class="actions">${buttons}</div>
<p class="reference">Error <code>${failure.code}</code>, request <code>${requestId}</code></p>`;
    await sendPage(ctx, { title, content, tenant: ctx.state.place?.tenant }, ownHeaders);
    return;
  }
  ownHeaders(ctx);
  ctx.body = { error: failure.code, error_description: text, request_id: requestId, ...failure.options.members };
}
