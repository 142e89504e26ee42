/**
 * Asking for the identity again, so that roles that are gone at the IdP are gone here; once at a time for a session. By the refresh token
 * where there is one (Core 12). Otherwise silently by the browser (`prompt=none`, Core 3.1.2.1), only in a top-level navigation, and
 * never so that a person is stuck: who does not come back from the IdP goes on with the session as it was, until the next time or the
 * absolute limit.
 *
 * The session keeps its id and its end; only what the IdP says of the person changes. A sign-out that happens meanwhile wins,
 * because only a record that is still there can be changed.
 */
import type { OidcConnection } from '../connections/oidc/connection.ts';
import type { VerifiedClaims } from '../connections/verified-claims.ts';
import { isNavigation } from '../edge/negotiate.ts';
import { seeOther } from '../edge/redirect.ts';
import type { Context } from '../edge/request.ts';
import type { Clock } from '../kernel/clock.ts';
import type { Audit } from '../kernel/events.ts';
import { GatewayFailure } from '../kernel/failure.ts';
import type { Refusal } from '../kernel/refusal.ts';
import type { Result } from '../kernel/result.ts';
import type { Hints } from '../sessions/hint.ts';
import type { SessionRecord } from '../sessions/record.ts';
import type { EndReason, Session, Sessions } from '../sessions/sessions.ts';
import type { PersonSessions } from '../sessions/sync.ts';
import { keys } from '../storage/keys.ts';
import type { Store } from '../storage/store.ts';
import type { Place } from '../tenants/registry.ts';
import type { Tenant } from '../tenants/tenant.ts';
import type { Attempt } from './attempt.ts';
import { type Identified, identify } from './identify.ts';
import type { ReturnPath } from './return-path.ts';
import { type StartSignIn, signInFailure } from './start.ts';

/** Errors by which an IdP says that it cannot, not that it will not (Core 3.1.2.6, RFC 6749 section 4.1.2.1). */
const UNABLE = new Set<unknown>([
  'server_error',
  'temporarily_unavailable',
  // of us, not of the person: a secret that has expired must not sign everybody out
  'invalid_client',
  'unauthorized_client',
  'unauthorized',
]);

/** Which session is renewed, and since when: an end that comes in meanwhile wins. */
type Asked = { readonly idDigest: string; readonly startedAtMs: number };

/** Longer than everything that is asked of the IdP may take together; who failed tries again after it. */
const REFRESH_LEASE_MS = 30_000;

export type Renewal = {
  /**
   * By the refresh token, where there is one, for any request that may change something. `changed`: look at the session again; `unchanged`: go on with it as it
   * is; `not_ours`: it has none, and the browser has to go round.
   */
  readonly refresh: (ctx: Context, place: Place, session: Session) => Promise<'changed' | 'unchanged' | 'not_ours'>;
  readonly isDue: (tenant: Tenant, record: SessionRecord) => boolean;
  /** Whether `begin` would go by the IdP now; for proxies, which have to be told so beforehand. */
  readonly isWanted: (ctx: Context, place: Place, session: Session) => Promise<boolean>;
  /** @returns true when the answer is the way to the IdP; false: go on with the session as it is */
  readonly begin: (ctx: Context, place: Place, session: Session, returnPath: ReturnPath) => Promise<boolean>;
  /** The IdP's answer to a renewal. */
  readonly finish: (
    ctx: Context,
    place: Place,
    attempt: Attempt,
    verify: () => Promise<Result<VerifiedClaims>>,
  ) => Promise<void>;
};

type Dependencies = {
  readonly connection: Pick<OidcConnection, 'refresh'>;
  readonly store: Store;
  readonly sessions: Sessions;
  readonly hints: Hints;
  readonly personSessions: PersonSessions;
  readonly startSignIn: StartSignIn;
  readonly audit: Audit;
  readonly clock: Clock;
};

/** Somebody is looking, and nothing is lost by going round: a posted form would be, and a prefetch is nobody. */
function mayGo(ctx: Context): boolean {
  return ctx.method === 'GET' && isNavigation(ctx) && ctx.get('sec-purpose') === '';
}

export function createRenewal(dependencies: Dependencies): Renewal {
  const { connection, store, sessions, hints, personSessions, startSignIn, audit, clock } = dependencies;

  function isDue(tenant: Tenant, record: SessionRecord): boolean {
    return record.connection === 'oidc' && clock.nowMs() - record.renewed_at_ms >= tenant.session.renew;
  }

  function failed(reason: string, ended: boolean): void {
    audit('renewal.failed', { reason, session_ended: ended });
  }

  async function end(place: Place, idDigest: string, cause: string, reason: EndReason): Promise<void> {
    await sessions.end(place.tenant, idDigest, reason);
    failed(cause, true);
  }

  /** The IdP could not say anything: the tenant's file says what that means. */
  async function unanswered(place: Place, idDigest: string, cause: string): Promise<void> {
    if (place.tenant.session.on_renewal_failure === 'end') return end(place, idDigest, cause, 'renewal_failed');
    failed(cause, false);
  }

  async function apply(place: Place, asked: Asked, verified: VerifiedClaims, person: Identified): Promise<boolean> {
    const { tenant } = place;
    const { idDigest } = asked;
    const renewed = (record: SessionRecord): SessionRecord => ({
      ...record,
      ...person.identity,
      groups: [...person.groups],
      sid: person.sid ?? record.sid,
      token_iat: verified.issuedAtSeconds,
      groups_iat: verified.issuedAtSeconds,
      renewed_at_ms: clock.nowMs(),
    });
    const proof = { idToken: verified.idToken, begunAtMs: asked.startedAtMs };
    const changed = await sessions.renew(tenant, idDigest, proof, renewed);
    if (changed === undefined) {
      await hints.forget(tenant, idDigest); // it ended meanwhile: what came for it is nobody's
      return false;
    }
    await hints.keepRefresh(tenant, idDigest, verified.refresh, changed.after.expires_at_ms - clock.nowMs());
    await personSessions.applyGroups(tenant, changed.after, changed.before.groups);
    return true;
  }

  /** @returns the refusal that the person should see, if there is one */
  async function judge(place: Place, asked: Asked, verified: VerifiedClaims): Promise<Refusal | undefined> {
    const { tenant } = place;
    const { idDigest } = asked;
    const person = identify(verified, tenant);
    const before = await sessions.peek(tenant, idDigest);
    if (before === undefined) {
      await hints.forget(tenant, idDigest); // signed out meanwhile, which wins: what came for it is nobody's
      return undefined;
    }
    const sub = person.ok ? person.value.identity.sub : person.refusal.identity?.sub;
    if (sub !== undefined && (sub !== before.record.sub || verified.issuer !== before.record.issuer)) {
      await end(place, idDigest, 'another_person', 'renewal_failed');
      return undefined;
    }
    if (person.ok) {
      for (const claim of person.value.dropped) audit('claims.dropped', { claim });
      if (await apply(place, asked, verified, person.value)) audit('renewal.succeeded', { sub: before.record.sub });
      return undefined;
    }
    await end(place, idDigest, person.refusal.refusal.reason, 'renewal_failed');
    if (sub !== undefined)
      await personSessions.endAll(tenant, { issuer: verified.issuer, sub }, 'no_groups', {
        byTokensUntil: verified.issuedAtSeconds,
      });
    return person.refusal.refusal;
  }

  /** The IdP will not, or cannot. */
  async function refused(place: Place, idDigest: string, { reason, evidence }: Refusal): Promise<void> {
    const cause = typeof evidence?.idp_error === 'string' ? evidence.idp_error : reason;
    // a person who should have signed in anew long ago is asked to: no refresh makes `auth_time` younger (Core 12.2)
    const isOver = reason === 'auth_time_too_old' || (reason === 'idp_error' && !UNABLE.has(evidence?.idp_error));
    if (isOver) await end(place, idDigest, cause, 'renewal_failed');
    else await unanswered(place, idDigest, cause);
  }

  return {
    isDue,

    async refresh(ctx, place, { idDigest, record }) {
      const { tenant } = place;
      if (tenant.oidc?.flow !== 'code' || !isDue(tenant, record)) return 'not_ours';
      const grant = await hints.readRefresh(tenant, idDigest);
      if (grant === undefined) return 'not_ours';
      if (ctx.method === 'HEAD' || ctx.method === 'OPTIONS') return 'unchanged'; // they never change anything
      // one at a time, on all replicas; the others go on with the session as it is
      if (!(await store.add(keys.renewal(tenant.id, idDigest), '1', REFRESH_LEASE_MS))) return 'unchanged';
      const startedAtMs = clock.nowMs();
      audit('renewal.started', {});
      try {
        const verified = await connection.refresh(tenant.oidc, grant, record, (fresh) =>
          hints.keepRefresh(tenant, idDigest, fresh, record.expires_at_ms - startedAtMs),
        );
        if (verified.ok) {
          await judge(place, { idDigest, startedAtMs }, verified.value);
        } else await refused(place, idDigest, verified.refusal);
      } catch (error) {
        if (!(error instanceof GatewayFailure) || error.code !== 'idp_unavailable') throw error;
        await unanswered(place, idDigest, error.options.reason ?? error.code);
      }
      return 'changed';
    },

    async isWanted(ctx, { tenant }, { idDigest, record }) {
      if (!isDue(tenant, record) || !mayGo(ctx)) return false;
      return (await store.get(keys.renewal(tenant.id, idDigest))) === undefined;
    },

    async begin(ctx, place, { idDigest, record }, returnPath) {
      const { tenant } = place;
      if (!mayGo(ctx) || record.connection !== 'oidc') return false; // no IdP knows the people of signed links
      // one at a time, on all replicas; who never comes back is not sent again before the time is over once more
      if (!(await store.add(keys.renewal(tenant.id, idDigest), '1', tenant.session.renew))) return false;
      const idTokenHint = await hints.read(tenant, idDigest);
      try {
        await startSignIn(ctx, place, { returnPath, renewal: { idDigest, idTokenHint } });
        return true;
      } catch (error) {
        if (!(error instanceof GatewayFailure) || !/^idp_/.test(error.code)) throw error;
        await unanswered(place, idDigest, error.options.reason ?? error.code);
        if (tenant.session.on_renewal_failure === 'end') throw error;
        return false;
      }
    },

    async finish(ctx, place, attempt, verify) {
      const idDigest = attempt.previous ?? '';
      const refusal = await verify().then(
        async (verified) => {
          const asked = { idDigest, startedAtMs: attempt.startedAtMs };
          if (verified.ok) return judge(place, asked, verified.value);
          await refused(place, idDigest, verified.refusal);
          return undefined;
        },
        async (error: unknown) => {
          if (!(error instanceof GatewayFailure) || error.code !== 'idp_unavailable') throw error;
          await unanswered(place, idDigest, error.options.reason ?? error.code);
          return undefined;
        },
      );
      if (refusal !== undefined) throw signInFailure(refusal, place, attempt);
      seeOther(ctx, `${place.site.origin}${attempt.returnPath}`);
    },
  };
}
