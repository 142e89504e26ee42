/**
 * Who asks for what at a tenant, and whether they may: the one judgement for requests and for upgrades, made on the one form of the
 * path in which it is passed on. The same in two speeds: `…Now` answers at once where nothing has to be waited for, or not at all.
 */
import { type CanonicalPath, canonicalPath, pathWithin } from '../edge/path.ts';
import type { RequestState } from '../edge/request.ts';
import { type AccessDecision, decideAccess } from '../identity/access.ts';
import type { Assertions } from '../identity/assertion.ts';
import { identityHeaders } from '../identity/headers.ts';
import { GatewayFailure } from '../kernel/failure.ts';
import { failureOf } from '../kernel/refusal.ts';
import { type SessionRecord, sessionJson } from '../sessions/record.ts';
import type { RequestSeen, Session, Sessions } from '../sessions/sessions.ts';
import type { Place, Registry } from '../tenants/registry.ts';
import type { HeaderList, Told } from './upstream-headers.ts';

type Where = {
  readonly path: CanonicalPath;
  /** relative to the tenant URL */
  readonly within: string;
};

export type Judgement = Where & { readonly session: Session | undefined; readonly decision: AccessDecision };
type Seen = Pick<RequestState, 'forwardedFor'>;

export type Admission = {
  /** Throws `request_invalid` for an ambiguous path, `store_unavailable`. */
  readonly judge: (place: Place, rawPath: string, request: RequestSeen) => Promise<Judgement>;
  /** For somebody whose session is known here; `undefined`: for nobody, or for a path that is refused. */
  readonly judgeNow: (place: Place, rawPath: string, request: RequestSeen) => Judgement | undefined;
  /** Whether a path is in the form of another site than the one that it came to. */
  readonly isForeignForm: (path: CanonicalPath, place: Place) => boolean;
  /** What is said to whoever stands behind: the identity, if there is one, as headers and as an assertion. */
  readonly identityOf: (place: Place, session: Session | undefined) => Promise<HeaderList>;
  readonly identityNow: (session: Session) => HeaderList | undefined;
  readonly tell: (place: Place, session: Session | undefined, seen: Seen) => Promise<Told>;
  readonly tellNow: (place: Place, session: Session, seen: Seen) => Told | undefined;
};

/** What of a record is said the same way each time. */
type Prepared = { readonly headers: HeaderList; readonly assertionId: string };

const NOBODY: HeaderList = [];

export function createAdmission(sessions: Sessions, registry: Registry, assertions: Assertions): Admission {
  const prepared = new WeakMap<SessionRecord, Prepared>();

  function prepare({ idDigest, record }: Session): Prepared {
    const before = prepared.get(record);
    if (before !== undefined) return before;
    const headers = Object.entries(identityHeaders(record)).flat();
    // what an assertion says changes with these, and with nothing else: two tokens of one second may give other groups
    const changing = [record.renewed_at_ms, record.expires_at_ms, ...record.groups];
    const assertionId = JSON.stringify([record.tenant, idDigest, ...changing]);
    const made = { headers, assertionId };
    prepared.set(record, made);
    return made;
  }

  async function identityOf({ tenant }: Place, session: Session | undefined): Promise<HeaderList> {
    if (session === undefined) return NOBODY;
    const { record } = session;
    const { headers, assertionId } = prepare(session);
    const claimsOf = () => ({ ...sessionJson(record, tenant), tenant: tenant.id, sub: record.sub });
    return [...headers, 'X-Auth-Request-Assertion', await assertions.of(assertionId, claimsOf)];
  }

  function identityNow(session: Session): HeaderList | undefined {
    const { headers, assertionId } = prepare(session);
    const assertion = assertions.atHand(assertionId);
    return assertion === undefined ? undefined : [...headers, 'X-Auth-Request-Assertion', assertion];
  }

  /**
   * On a host of a tenant's own its slug is no part of the address. To an app that also serves the form with slugs, a path that begins
   * with one would mean something else than what the rules are judged on.
   */
  function isForeignForm(path: CanonicalPath, { tenant, site }: Place): boolean {
    const seesSlugs = site.prefix === '' && tenant.upstream?.strip_prefix !== true;
    return seesSlugs && registry.isSlug(path.split('/', 2)[1] ?? '');
  }

  function decide({ tenant }: Place, where: Where, session: Session | undefined): Judgement {
    return { ...where, session, decision: decideAccess(tenant.access, where.within, session?.record.groups) };
  }

  function whereIs(path: CanonicalPath, { site }: Place): Where {
    return { path, within: pathWithin(path, site.prefix === '' ? 0 : 1) };
  }

  return {
    identityOf,
    identityNow,
    isForeignForm,
    async judge(place, rawPath, request) {
      const path = canonicalPath(rawPath);
      if (!path.ok) throw failureOf(path.refusal);
      if (isForeignForm(path.value, place)) throw new GatewayFailure('tenant_not_found');
      return decide(place, whereIs(path.value, place), await sessions.find(place.tenant, request));
    },
    judgeNow(place, rawPath, request) {
      const session = sessions.known(place.tenant, request);
      const path = session && canonicalPath(rawPath);
      if (!path?.ok || isForeignForm(path.value, place)) return undefined;
      return decide(place, whereIs(path.value, place), session);
    },
    async tell(place, session, seen) {
      return told(place, await identityOf(place, session), seen);
    },
    tellNow(place, session, seen) {
      const identity = identityNow(session);
      return identity && told(place, identity, seen);
    },
  };
}

function told({ tenant, site }: Place, identity: HeaderList, { forwardedFor }: Seen): Told {
  const forwarded = [
    'X-Forwarded-For',
    forwardedFor,
    'X-Forwarded-Host',
    site.host,
    'X-Forwarded-Proto',
    site.scheme,
    ...(site.prefix !== '' && tenant.upstream?.strip_prefix ? ['X-Forwarded-Prefix', site.prefix] : []),
  ];
  return { identity, forwarded, host: site.host };
}
