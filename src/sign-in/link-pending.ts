/**
 * A link that has to wait: for a request that shows the browser's session, or for the person's word. It stays in the store, sealed, for
 * five minutes; the browser gets a random name for it in a cookie. So no page and no address of ours holds the token.
 */
import { DIALECTS } from '../config/links.ts';
import { seeOther } from '../edge/redirect.ts';
import type { Context } from '../edge/request.ts';
import { readCookie } from '../kernel/cookie-header.ts';
import { digest, random256 } from '../kernel/random.ts';
import type { Sealer } from '../kernel/seal.ts';
import { keys } from '../storage/keys.ts';
import type { Store } from '../storage/store.ts';
import type { Place } from '../tenants/registry.ts';
import { urls } from '../tenants/tenant.ts';
import { type LinkSent, parametersOf, readParameters } from './link-forms.ts';
import { setOwnCookie } from './start.ts';

const KEPT_MS = 5 * 60_000;

export type PendingLinks = {
  /** Keeps it and answers with the way to `resume`. */
  readonly postpone: (ctx: Context, place: Place, sent: LinkSent) => Promise<void>;
  /** The one that this browser waits for. `question` tells it from every other, and is no secret. */
  readonly read: (
    ctx: Context,
    place: Place,
  ) => Promise<{ readonly sent: LinkSent; readonly question: string } | undefined>;
};

export function createPendingLinks(store: Store, sealer: Sealer): PendingLinks {
  async function keep(ctx: Context, place: Place, sent: LinkSent): Promise<void> {
    const name = random256();
    const query = new URLSearchParams(parametersOf(sent));
    const sealed = await sealer.seal([place.tenant.id, sent.dialect ?? null, String(query)]);
    await store.set(keys.pending(place.tenant.id, digest(name)), sealed, KEPT_MS);
    setOwnCookie(ctx, cookieOf(place), name, KEPT_MS, 'lax');
  }

  async function open(place: Place, sealed: string | undefined): Promise<LinkSent | undefined> {
    const opened = sealed === undefined ? undefined : await sealer.open(sealed);
    const [owner, dialect, query] = Array.isArray(opened) ? opened : [];
    if (owner !== place.tenant.id || typeof query !== 'string') return undefined;
    const sent = readParameters(
      new URLSearchParams(query),
      DIALECTS.find((name) => name === dialect),
    );
    return sent.ok ? sent.value : undefined;
  }

  return {
    async postpone(ctx, place, sent) {
      await keep(ctx, place, sent);
      seeOther(ctx, urls.link(place.tenant, place.site, { resume: '1' }));
    },
    async read(ctx, place) {
      const name = readCookie(ctx.req.headers.cookie, cookieOf(place));
      if (name === undefined || name === '') return undefined;
      const question = digest(name);
      const sent = await open(place, await store.get(keys.pending(place.tenant.id, question)));
      return sent && { sent, question };
    },
  };
}

function cookieOf({ tenant }: Place): string {
  return `__Host-gatehouse-link-${tenant.id}`;
}
