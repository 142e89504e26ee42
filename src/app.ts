/**
 * The whole request path. The order of the middleware is the order of what a request must pass, each with the reason for
 * its place; then the route table of contract section 3.
 */

import type { IncomingMessage, RequestListener } from 'node:http';
import Router from '@koa/router';
import Koa from 'koa';
import { createFailures } from './edge/failures.ts';
import { type Context, checkTarget, createIntake, type RequestState } from './edge/request.ts';
import { createFastLane } from './gateway/fast-lane.ts';
import { sendHomePage } from './gateway/home.ts';
import { createHandleUpgrade, type HandleUpgrade, isUpgrade } from './gateway/upgrade.ts';
import { createHandlers, type Parts } from './handlers.ts';
import { GatewayFailure } from './kernel/failure.ts';
import { createAccessLog, createLogRequest, createUpgradeLog } from './ops/access-log.ts';
import type { Health } from './ops/health.ts';
import type { Metrics } from './ops/metrics.ts';
import { ISSUELY_PATH } from './sign-in/link-forms.ts';
import { hasOidc, isGatewaySegment, type OidcPlace, type Place } from './tenants/registry.ts';

type Handle = (ctx: Context, place: Place) => Promise<void>;
type Middleware = Koa.Middleware<RequestState>;

export type App = {
  readonly handle: RequestListener;
  readonly upgrade: { readonly handle: HandleUpgrade; readonly isUpgrade: typeof isUpgrade };
  /** Ends what a drain cannot wait for. */
  readonly endStreams: () => void;
  readonly openStreams: () => number;
  readonly sessionsAtHand: () => number;
  readonly close: () => Promise<void>;
};

export function createApp(parts: Parts): App {
  const { audit, registry } = parts;
  const app = new Koa<RequestState>();
  const handlers = createHandlers(app, parts);
  const { ownHeaders, withSession, guard, signIn, callback, signOut, forwardAuth, links } = handlers;
  const { renewal, admission, streams, proxy } = handlers;
  /** The tenant that the `:id` of a protocol URL names, or the same 404 as for everything that is not there. */
  const withTenant =
    (handle: Handle): Middleware =>
    async (ctx) => {
      const id: unknown = ctx.params.id;
      const place = registry.byId(typeof id === 'string' ? id : '', ctx.state.host);
      if (place === undefined) throw new GatewayFailure('tenant_not_found');
      ctx.state.place = place;
      await handle(ctx, place);
    };
  /** For what only an OpenID Connect connection has. */
  const withOidc =
    (handle: (ctx: Context, place: OidcPlace) => Promise<void>): Handle =>
    async (ctx, place) => {
      if (!hasOidc(place)) throw new GatewayFailure('tenant_not_found');
      await handle(ctx, place);
    };

  const router = new Router<RequestState>({ sensitive: true, strict: true });
  router.get('/SSO/OIDC/:id/SignIn', notByHead, withTenant(signIn));
  router.post('/SSO/OIDC/:id/SignIn', withTenant(signIn));
  router.get('/SSO/OIDC/:id/Callback', notByHead, withTenant(withSession(withOidc(callback))));
  router.post('/SSO/OIDC/:id/Callback', withTenant(withSession(withOidc(callback))));
  router.get('/SSO/OIDC/:id/SignOut', notByHead, withTenant(signOut));
  router.post('/SSO/OIDC/:id/SignOut', withTenant(signOut));
  router.get('/SSO/Link/:id', notByHead, withTenant(links.atLinkUrl));
  router.post('/SSO/Link/:id', withTenant(links.atLinkUrl));
  router.get(ISSUELY_PATH, notByHead, links.atIssuelyUrl);
  router.get('/SSO/Session/:id', withTenant(guard.sessionJson));
  router.get('/SSO/Account/:id', withTenant(guard.account));
  router.all('/SSO/Auth', forwardAuth.handle);
  router.get('/SSO/jwks.json', (ctx) => {
    ctx.body = parts.assertions.jwks;
  });
  addHealth(router, parts.health);

  const failed = new WeakMap<IncomingMessage, RequestState>();
  const logRequest = createLogRequest(parts.log, audit, parts.metrics.request);
  const { trustedProxies: trusted, requests, onUntrusted } = parts;
  app.use(createIntake({ trusted, requests, onUntrusted, seenBefore: (request) => failed.get(request) })); // first: the number by which everything else is found
  app.use(createAccessLog(logRequest)); // outside failures: it logs what the client got
  app.use(createFailures(ownHeaders)); // outside all that may refuse, so that no refusal loses its cookies
  app.use(async (ctx, next) => {
    if (ctx.state.failure !== undefined) throw ctx.state.failure; // it came by the fast lane
    await next();
  });
  app.use(checkTarget);
  app.use(async (ctx, next) => {
    // before the router, which it does not need: most requests are of people who are signed in
    const segment = ctx.path.split('/', 2)[1] ?? '';
    const place = isGatewaySegment(segment) ? undefined : registry.byPath(segment, ctx.state.host);
    if (place === undefined) return next();
    ctx.state.place = place;
    if (!(await links.atTenantUrl(ctx, place))) await guard.tenantUrl(ctx, place);
  });
  app.use(async (ctx, next) => {
    ownHeaders(ctx); // every answer of our own has them; pages widen them for themselves
    await next();
  });
  app.use(notAllowed);
  app.use(router.routes());
  app.use(router.allowedMethods());
  app.use(async (ctx) => {
    if (router.match(ctx.path, ctx.method).path.length > 0) return; // there, but not by this method
    if (ctx.path !== '/' || parts.gateway.home !== 'tenants') throw new GatewayFailure('tenant_not_found');
    await sendHomePage(ctx, registry.tenants(), parts.publicUrl, ownHeaders);
  });
  // what happens after the answer has begun (a client that went away) is nobody's failure
  app.on('error', (error: unknown) => parts.log.logger.debug({ err: error }, 'connection'));
  const log = createUpgradeLog(parts.log);
  const byTheHouse = app.callback();
  const fastLane = createFastLane({
    trusted: parts.trustedProxies,
    registry,
    renewal,
    admission,
    forwardAuth,
    proxy,
    log: logRequest,
    fail(request, response, seen) {
      failed.set(request, seen);
      byTheHouse(request, response);
    },
  });
  return {
    handle(request, response) {
      if (!fastLane(request, response)) byTheHouse(request, response);
    },
    upgrade: {
      handle: createHandleUpgrade({ trusted: parts.trustedProxies, registry, admission, streams, log }),
      isUpgrade,
    },
    endStreams: streams.closeAll,
    openStreams: streams.count,
    sessionsAtHand: handlers.sessionsAtHand,
    close: proxy.close,
  };
}

/** Paths whose GET changes something. */
const CHANGING = /\/(?:SignIn|Callback|SignOut|sso)$|\/SSO\/Link\//;

/** HEAD never changes anything: where a GET would, it is refused. */
const notByHead: Middleware = async (ctx, next) => {
  if (ctx.method === 'HEAD') throw new GatewayFailure('method_not_allowed', { headers: { Allow: 'GET, POST' } });
  await next();
};

/** Turns the router's 405 and 501 into our own, which say so in a body. */
const notAllowed: Middleware = async (ctx, next) => {
  await next();
  const allowed = ctx.res.getHeader('Allow');
  if (typeof allowed === 'string' && CHANGING.test(ctx.path)) ctx.set('Allow', allowed.replace('HEAD, ', ''));
  if (ctx.status === 405 || ctx.status === 501) throw new GatewayFailure('method_not_allowed');
};

/** The private listener: what only operators should see. */
export function createOpsApp(health: Health, metrics: Pick<Metrics, 'text' | 'contentType'>): Koa {
  const app = new Koa();
  const router = new Router();
  addHealth(router, health);
  router.get('/metrics', async (ctx) => {
    ctx.set('Cache-Control', 'no-store');
    ctx.type = metrics.contentType;
    ctx.body = await metrics.text();
  });
  app.use(router.routes());
  app.use(router.allowedMethods());
  return app;
}

function addHealth<State>(router: Router<State>, health: Health): void {
  router.get('/livez', async (ctx) => {
    ctx.set('Cache-Control', 'no-store');
    ctx.body = { status: 'alive' };
  });
  router.get('/readyz', async (ctx) => {
    const { ready, reason } = await health.ready();
    ctx.set('Cache-Control', 'no-store');
    ctx.status = ready ? 200 : 503;
    ctx.body = { status: ready ? 'ready' : 'not ready', ...(reason === undefined ? {} : { reason }) };
  });
}
