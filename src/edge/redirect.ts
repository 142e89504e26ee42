/** Redirects of our own. */
import type { Context } from './request.ts';

/** 303 and never 307: a body must not travel on (RFC 9700 section 4.12). The URL is ours, an IdP's, or the operator's. */
export function seeOther(ctx: Context, url: string): void {
  ctx.body = null;
  ctx.status = 303; // a null body makes it 204 first
  ctx.set('Location', url);
}
