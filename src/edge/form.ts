/** Bodies of our own forms and of IdPs: url-encoded, bounded in size and time before anything is parsed. */
import rawBody from 'raw-body';
import { GatewayFailure } from '../kernel/failure.ts';
import type { Context } from './request.ts';

const BODY_MAX_BYTES = 1024 * 1024;
const BODY_TIMEOUT_MS = 10_000;

/** Throws `unsupported_media_type`, `request_too_large` or `request_invalid`. */
export async function readForm(ctx: Context): Promise<URLSearchParams> {
  const type = ctx.get('content-type').split(';')[0]?.trim().toLowerCase();
  if (type !== 'application/x-www-form-urlencoded')
    throw new GatewayFailure('unsupported_media_type', { reason: 'content_type' });
  const length = ctx.get('content-length');
  // the rest of a body that nobody reads must not become the next request of this connection
  const headers = { Connection: 'close' };
  if (Number(length) > BODY_MAX_BYTES)
    throw new GatewayFailure('request_too_large', { reason: 'body_too_large', headers });
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('the body did not come in time')), BODY_TIMEOUT_MS);
  });
  try {
    const body = rawBody(ctx.req, { limit: BODY_MAX_BYTES, encoding: 'utf-8' });
    return new URLSearchParams(await Promise.race([body, late]));
  } catch (error) {
    const tooLarge = error instanceof Error && 'type' in error && error.type === 'entity.too.large';
    throw new GatewayFailure(tooLarge ? 'request_too_large' : 'request_invalid', {
      reason: tooLarge ? 'body_too_large' : 'body_unreadable',
      headers,
    });
  } finally {
    clearTimeout(timer);
  }
}
