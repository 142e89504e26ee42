/**
 * Who asks for what at a tenant, and whether they may: the one judgement for requests and for upgrades, made on the one form of the
 * path in which it is passed on.
 */
import { type CanonicalPath, canonicalPath, pathWithin } from '../edge/path.ts';
import type { RequestState } from '../edge/request.ts';
import { type AccessDecision, decideAccess } from '../identity/access.ts';
import type { Assertions } from '../identity/assertion.ts';
import { identityHeaders } from '../identity/headers.ts';
import { GatewayFailure } from '../kernel/failure.ts';
import { failureOf } from '../kernel/refusal.ts';
import { sessionJson } from '../sessions/record.ts';
import type { RequestSeen, Session, Sessions } from '../sessions/sessions.ts';
import type { Place, Registry } from '../tenants/registry.ts';
import type { Told } from './upstream-headers.ts';

export type Judgement = {
  readonly path: CanonicalPath;
  /** relative to the tenant URL */
  readonly within: string;
  readonly session: Session | undefined;
  readonly decision: AccessDecision;
};

export type Admission = {
  /** Throws `request_invalid` for an ambiguous path, `store_unavailable`. */
  readonly judge: (place: Place, rawPath: string, request: RequestSeen) => Promise<Judgement>;
  /** Whether a path is in the form of another site than the one that it came to. */
  readonly isForeignForm: (path: CanonicalPath, place: Place) => boolean;
  /** What is said to whoever stands behind: the identity, if there is one, as headers and as an assertion. */
  readonly identityOf: (place: Place, session: Session | undefined) => Promise<Record<string, string>>;
  readonly tell: (
    place: Place,
    session: Session | undefined,
    seen: Pick<RequestState, 'forwardedFor'>,
  ) => Promise<Told>;
};

export function createAdmission(sessions: Sessions, registry: Registry, assertions: Assertions): Admission {
  async function identityOf({ tenant }: Place, session: Session | undefined): Promise<Record<string, string>> {
    if (session === undefined) return {};
    const { idDigest, record } = session;
    // what an assertion says changes with these, and with nothing else
    const id = `${idDigest} ${record.renewed_at_ms} ${record.groups_iat}`;
    const assertion = await assertions.of(id, () => ({ ...sessionJson(record), tenant: tenant.id, sub: record.sub }));
    return { ...identityHeaders(record), 'X-Auth-Request-Assertion': assertion };
  }

  /**
   * On a host of a tenant's own its slug is no part of the address. To an app that also serves the form with slugs, a path that begins
   * with one would mean something else than what the rules are judged on.
   */
  function isForeignForm(path: CanonicalPath, { tenant, site }: Place): boolean {
    const seesSlugs = site.prefix === '' && tenant.upstream?.strip_prefix !== true;
    return seesSlugs && registry.isSlug(path.split('/', 2)[1] ?? '');
  }

  return {
    identityOf,
    isForeignForm,
    async judge(place, rawPath, request) {
      const path = canonicalPath(rawPath);
      if (!path.ok) throw failureOf(path.refusal);
      if (isForeignForm(path.value, place)) throw new GatewayFailure('tenant_not_found');
      const session = await sessions.find(place.tenant, request);
      const within = pathWithin(path.value, place.site.prefix === '' ? 0 : 1);
      const decision = decideAccess(place.tenant.access, within, session?.record.groups);
      return { path: path.value, within, session, decision };
    },
    async tell(place, session, { forwardedFor }) {
      const { origin, prefix } = place.site;
      const { host, protocol } = new URL(origin);
      const forwarded = {
        'X-Forwarded-For': forwardedFor,
        'X-Forwarded-Host': host,
        'X-Forwarded-Proto': protocol.slice(0, -1),
        ...(prefix !== '' && place.tenant.upstream?.strip_prefix ? { 'X-Forwarded-Prefix': prefix } : {}),
      };
      return { identity: await identityOf(place, session), forwarded, host };
    },
  };
}
