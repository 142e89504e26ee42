/**
 * koa-session on the pages that sign people in and out, over the same store and records as the hot path reads. It makes
 * ids, sets cookies, replaces and removes; when it does so is said here, in so many words (`autoCommit` is off), because
 * its habit of saving at the end of a request brings ended sessions back to life (docs/decisions/0002).
 */
import type Koa from 'koa';
import createKoaSession from 'koa-session';
import { digest, random256 } from '../kernel/random.ts';
import type { Result } from '../kernel/result.ts';
import type { Tenant } from '../tenants/tenant.ts';
import type { SessionRecord } from './record.ts';
import type { EndReason, FreshSession, Session, Sessions } from './sessions.ts';

declare module 'koa' {
  interface ExtendableContext {
    /** koa-session's; only this file touches it */
    session: { record?: SessionRecord; regenerate(): Promise<void>; manuallyCommit(): Promise<void> } | null;
    readonly sessionOptions: { key: string; maxAge: number | 'session' };
  }
}

export type BrowserSession = {
  /** Makes `ctx` know the tenant's session; routes that write one stand behind it. */
  readonly middleware: (ctx: Koa.Context, next: Koa.Next, tenant: Tenant) => Promise<void>;
  readonly current: (ctx: Koa.Context) => Session | undefined;
  /**
   * A new id, always; then what `endOthers` ends goes, then the session that the browser showed. When any of it fails or is
   * refused, the browser gets no cookie: nothing half-done is left in anybody's hands.
   */
  readonly establish: (
    ctx: Koa.Context,
    fresh: FreshSession,
    endOthers: (session: Session) => Promise<void>,
  ) => Promise<Result<Session>>;
  /** Ends the session that the browser showed, and its cookie. */
  readonly end: (ctx: Koa.Context) => Promise<void>;
};

/** What koa-session does not tell its store: whose request it is, and which ids are new. */
type Visit = {
  readonly tenant: Tenant;
  readonly fresh: Set<string>;
  readonly replaced: string[];
  found: Session | undefined;
  establishing: FreshSession | undefined;
  established: Result<Session> | undefined;
};

export function createBrowserSession(app: Koa, sessions: Sessions): BrowserSession {
  const visits = new WeakMap<Koa.Context, Visit>();

  function visitOf(ctx: Koa.Context): Visit {
    const visit = visits.get(ctx);
    if (visit === undefined) throw new Error('this route does not stand behind the session middleware');
    return visit;
  }

  const store = {
    async get(id: string, _maxAge: number, { ctx }: { ctx?: Koa.Context }) {
      const visit = visitOf(required(ctx));
      visit.found = await sessions.findById(visit.tenant, id);
      return visit.found === undefined ? undefined : { record: visit.found.record };
    },
    /** Writes under new ids only: an ended session cannot come back. */
    async set(id: string, value: { record?: SessionRecord }, _maxAge: number, { ctx }: { ctx?: Koa.Context }) {
      const visit = visitOf(required(ctx));
      const { establishing } = visit;
      if (!visit.fresh.has(id) || establishing === undefined || value.record !== establishing.record)
        throw new Error('sessions are written once, at sign-in');
      visit.established = await sessions.establish(visit.tenant, id, establishing);
    },
    /** The old one goes when the new one is there; an id that was never written has nothing to go. */
    async destroy(id: string, { ctx }: { ctx?: Koa.Context }) {
      const visit = visitOf(required(ctx));
      if (!visit.fresh.has(id)) visit.replaced.push(digest(id));
    },
  };

  const koaSession = createKoaSession(
    {
      store,
      genid: (ctx: Koa.Context) => {
        const id = random256();
        visitOf(ctx).fresh.add(id);
        return id;
      },
      autoCommit: false,
      signed: false, // 256 random bits need no signature; checking one costs more than all the rest
      secure: true,
      httpOnly: true,
      sameSite: 'lax', // not strict: the redirect back from the IdP is cross-site
    },
    app,
  );

  async function endReplaced(visit: Visit, reason: EndReason): Promise<void> {
    for (const idDigest of visit.replaced.splice(0)) await sessions.end(visit.tenant, idDigest, reason);
  }

  return {
    async middleware(ctx, next, tenant) {
      visits.set(ctx, {
        tenant,
        fresh: new Set(),
        replaced: [],
        found: undefined,
        establishing: undefined,
        established: undefined,
      });
      ctx.cookies.secure = true; // TLS ends in front of us; PUBLIC_URL was checked at start
      ctx.sessionOptions.key = tenant.sessionCookie; // each request has its own copy of the options
      ctx.sessionOptions.maxAge = tenant.session.absolute;
      await koaSession(ctx, next);
    },
    current: (ctx) => visitOf(ctx).found,
    async establish(ctx, fresh, endOthers) {
      const visit = visitOf(ctx);
      const cookiesBefore = ctx.res.getHeader('set-cookie') ?? [];
      if (ctx.session === null) throw new Error('the session was ended in this request');
      visit.establishing = fresh;
      try {
        ctx.session.record = fresh.record;
        await ctx.session.regenerate();
        const { established } = visit;
        if (established === undefined) throw new Error('koa-session wrote no session');
        if (!established.ok) ctx.res.setHeader('set-cookie', cookiesBefore);
        if (!established.ok) return established;
        await endOthers(established.value);
        await endReplaced(visit, 'replaced'); // last: until then the old session is as good as ever
        return established;
      } catch (error) {
        ctx.res.setHeader('set-cookie', cookiesBefore);
        throw error;
      }
    },
    async end(ctx) {
      const { session } = ctx;
      const cookiesBefore = ctx.res.getHeader('set-cookie') ?? [];
      ctx.session = null;
      try {
        await session?.manuallyCommit();
        await endReplaced(visitOf(ctx), 'signed_out');
      } catch (error) {
        ctx.res.setHeader('set-cookie', cookiesBefore); // the session is still there, so its cookie stays
        throw error;
      }
    },
  };
}

function required(ctx: Koa.Context | undefined): Koa.Context {
  if (ctx === undefined) throw new Error('koa-session calls its store with the context');
  return ctx;
}
