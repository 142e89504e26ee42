/**
 * OpenID Connect Back-Channel Logout 1.0: the IdP posts a logout token. 200 when it was obeyed, also where there was nothing
 * left to end (section 2.7); 400 with JSON otherwise (2.8; past `limits` 429), an outage of ours included, so that the IdP does not believe that
 * it is done. No cookie is needed or looked at.
 */
import type { OidcConnection } from '../connections/oidc/connection.ts';
import type { LogoutOrder } from '../connections/oidc/logout-token.ts';
import type { Context } from '../edge/request.ts';
import type { Clock } from '../kernel/clock.ts';
import type { Audit } from '../kernel/events.ts';
import { FAILURES, type FailureCode, GatewayFailure } from '../kernel/failure.ts';
import { digest } from '../kernel/random.ts';
import { REASONS, type Refusal } from '../kernel/refusal.ts';
import type { PersonSessions } from '../sessions/sync.ts';
import { keys } from '../storage/keys.ts';
import type { Store } from '../storage/store.ts';
import type { OidcPlace } from '../tenants/registry.ts';

/** A token that says it lives for years is remembered for a day; replayed later, it ends only what began before it. */
const REMEMBERED_MAX_MS = 24 * 3_600_000;

/** A token that was asked for before the logout comes in within an attempt's ten minutes; clocks get the rest. */
const MARKED_MS = 15 * 60_000;

/** @returns whether the order was wrong, which our own outage is not */
export type BackChannel = (ctx: Context, place: OidcPlace, form: URLSearchParams) => Promise<boolean>;

type Dependencies = {
  readonly connection: OidcConnection;
  readonly personSessions: PersonSessions;
  readonly store: Store;
  readonly audit: Audit;
  readonly clock: Clock;
};

export function createBackChannel(dependencies: Dependencies): BackChannel {
  const { connection, personSessions, store, audit, clock } = dependencies;

  /** Obeys first and remembers then: when obeying fails, the IdP may send the same token again. */
  async function obey({ tenant }: OidcPlace, order: LogoutOrder): Promise<number | Refusal> {
    const key = keys.logout(tenant.id, digest(order.jti));
    if ((await store.get(key)) !== undefined) return { reason: 'logout_token_used' };
    const { clock_tolerance: clockToleranceSeconds } = tenant.oidc;
    const ended = await personSessions.obey(tenant, { ...order, clockToleranceSeconds, markedMs: MARKED_MS });
    const livesMs = (order.expiresAtSeconds + tenant.oidc.clock_tolerance) * 1000 - clock.nowMs();
    await store.set(key, '1', Math.min(Math.max(livesMs, 1), REMEMBERED_MAX_MS));
    return ended === 'mismatch' ? { reason: 'logout_subject_mismatch' } : ended;
  }

  function reject(ctx: Context, code: FailureCode, details: Readonly<Record<string, unknown>>): boolean {
    audit('sign_out.refused', { error: code, ...details });
    ctx.status = 400;
    ctx.body = { error: code, error_description: FAILURES[code].text, request_id: ctx.state.requestId };
    return FAILURES[code].status < 500;
  }

  return async (ctx, place, form) => {
    const { tenant } = place;
    const [token = '', ...more] = form.getAll('logout_token');
    if (more.length > 0) return reject(ctx, 'response_invalid', { reason: 'parameter_doubled' });
    try {
      const order = await connection.verifyLogout(tenant.oidc, token);
      const outcome = order.ok ? await obey(place, order.value) : order.refusal;
      if (typeof outcome !== 'number')
        return reject(ctx, REASONS[outcome.reason], { reason: outcome.reason, ...outcome.evidence });
      audit('sign_out.ordered', {
        by: 'back_channel',
        ended: outcome,
      });
      ctx.body = { ended: outcome };
      return false;
    } catch (error) {
      if (!(error instanceof GatewayFailure)) throw error;
      return reject(ctx, error.code, { reason: error.options.reason ?? error.code });
    }
  };
}
