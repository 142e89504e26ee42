/**
 * Every handler, wired: which part needs which. It holds no decision; the request path and the route table are in app.ts.
 */
import type Koa from 'koa';
import type { GatewayFile } from './config/gateway-file.ts';
import type { NetworkList } from './config/networks.ts';
import type { People } from './connections/links/people.ts';
import type { OidcConnection } from './connections/oidc/connection.ts';
import { createOwnHeaders } from './edge/headers.ts';
import { createLimits } from './edge/limits.ts';
import type { Context, RequestState, Requests } from './edge/request.ts';
import { createAdmission } from './gateway/admission.ts';
import { createForwardAuth } from './gateway/forward-auth.ts';
import { createGuard } from './gateway/guard.ts';
import { createProxy } from './gateway/proxy.ts';
import { createStreams } from './gateway/streams.ts';
import type { Assertions } from './identity/assertion.ts';
import type { Clock } from './kernel/clock.ts';
import type { Audit } from './kernel/events.ts';
import type { Sealer } from './kernel/seal.ts';
import type { Health } from './ops/health.ts';
import type { Log } from './ops/log.ts';
import type { Metrics } from './ops/metrics.ts';
import { createAccounts } from './sessions/accounts.ts';
import { createHints } from './sessions/hint.ts';
import { createKnownGroups } from './sessions/known-groups.ts';
import { createBrowserSession } from './sessions/koa-session.ts';
import { createSessionIndex } from './sessions/session-index.ts';
import { createSessions } from './sessions/sessions.ts';
import { createPersonSessions } from './sessions/sync.ts';
import { createAttempts } from './sign-in/attempt.ts';
import { createHandleCallback } from './sign-in/callback.ts';
import { createSignInByLink } from './sign-in/link.ts';
import { createPendingLinks } from './sign-in/link-pending.ts';
import { createLinkRoutes } from './sign-in/link-routes.ts';
import { createRecover } from './sign-in/recover.ts';
import { createRenewal } from './sign-in/renewal.ts';
import { createEndReplaced } from './sign-in/replaced.ts';
import { createHandleSignIn } from './sign-in/sign-in.ts';
import { createStartSignIn } from './sign-in/start.ts';
import { createBackChannel } from './sign-out/back-channel.ts';
import { createFrontChannel } from './sign-out/front-channel.ts';
import { createPersonSignOut } from './sign-out/person.ts';
import { createHandleSignOut } from './sign-out/sign-out.ts';
import type { Store } from './storage/store.ts';
import type { Place, Registry } from './tenants/registry.ts';

export type Parts = {
  readonly publicUrl: URL;
  readonly trustedProxies: NetworkList;
  readonly gateway: GatewayFile;
  readonly registry: Registry;
  readonly store: Store;
  readonly connection: OidcConnection;
  readonly attemptSealer: Sealer;
  readonly hintSealer: Sealer;
  readonly linkSealer: Sealer;
  readonly people: People;
  readonly assertions: Assertions;
  readonly health: Health;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly audit: Audit;
  readonly requests: Requests;
  readonly onUntrusted: (peer: string) => void;
  readonly clock: Clock;
};

type Handle = (ctx: Context, place: Place) => Promise<void>;

/** @param app koa-session wants to know it */
export function createHandlers(app: Koa<RequestState>, parts: Parts) {
  const { audit, clock, registry, store } = parts;
  const ownHeaders = createOwnHeaders(parts.publicUrl.protocol === 'https:');
  const index = createSessionIndex(store);
  const hints = createHints(store, parts.hintSealer);
  const sessions = createSessions({ store, index, hints, clock, audit });
  const personSessions = createPersonSessions(sessions, index, createKnownGroups(store), clock, audit);
  const browserSession = createBrowserSession(app, sessions);
  const attempts = createAttempts(parts.attemptSealer, store, clock);
  const { connection } = parts;
  const startSignIn = createStartSignIn({ attempts, connection, sessions, audit });
  const limits = createLimits(store, parts.gateway.limits, clock);
  const startLimited = limits.each('sign_in', startSignIn);
  const recover = createRecover({ sessions, startSignIn: startLimited, audit, clock });
  const endReplaced = createEndReplaced(store, sessions, clock);
  const renewal = createRenewal({
    connection,
    store,
    sessions,
    hints,
    personSessions,
    startSignIn,
    audit,
    clock,
  });
  const streams = createStreams(sessions);
  const proxy = createProxy(streams);
  const admission = createAdmission(sessions, registry, parts.assertions);
  const guard = createGuard({
    sessions,
    personSessions,
    renewal,
    admission,
    proxy,
    startSignIn: startLimited,
    ownHeaders,
  });
  const signIn = createHandleSignIn(sessions, renewal, startLimited);
  const forwardAuth = createForwardAuth({ registry, sessions, renewal, admission });
  const callback = limits.each(
    'callback',
    createHandleCallback({
      attempts,
      connection,
      browserSession,
      recover,
      renewal,
      personSessions,
      endReplaced,
      ownHeaders,
      audit,
      clock,
    }),
  );
  /** For handlers that sign somebody in or out. */
  const withSession =
    (handle: Handle): Handle =>
    (ctx, place) =>
      browserSession.middleware(ctx, () => handle(ctx, place), place.tenant);

  const signOut = createHandleSignOut(
    limits.wrong('logout', createBackChannel({ connection, personSessions, store, audit, clock })),
    limits.each('front_channel', createFrontChannel(personSessions, ownHeaders, audit)),
    createPersonSignOut({ browserSession, sessions, personSessions, hints, connection, ownHeaders, audit }),
    withSession,
  );

  const byLink = createSignInByLink({
    store,
    accounts: createAccounts(store),
    people: parts.people,
    pending: createPendingLinks(store, parts.linkSealer),
    browserSession,
    personSessions,
    ownHeaders,
    audit,
    clock,
  });
  const links = createLinkRoutes(
    { ...byLink, open: limits.each('link', byLink.open) },
    registry,
    ownHeaders,
    withSession,
  );

  return {
    ownHeaders,
    withSession,
    guard,
    signIn,
    callback,
    signOut,
    forwardAuth,
    links,
    renewal,
    admission,
    streams,
    proxy,
    sessionsAtHand: sessions.atHand,
  };
}
