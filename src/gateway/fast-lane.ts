/**
 * Who is signed in, by a session that this replica knows, and may open what they ask for, gets through without the rest of the
 * house: no middleware, no router, no round trip. Whatever else it is, whoever else it is, is not judged here but handed on: this can
 * only say yes, by the same functions that say it elsewhere.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { NetworkList } from '../config/networks.ts';
import { CLIENT_GONE, type LogRequest, type RequestState, seeRequest, URL_MAX_CHARACTERS } from '../edge/request.ts';
import { GatewayFailure } from '../kernel/failure.ts';
import { formOf } from '../sign-in/link-forms.ts';
import type { Renewal } from '../sign-in/renewal.ts';
import { isGatewaySegment, type Registry } from '../tenants/registry.ts';
import type { Admission } from './admission.ts';
import { type ForwardAuth, sendAllowed } from './forward-auth.ts';
import type { AppProxy } from './proxy.ts';

/** @returns whether it is answered, now or in time; `false`: nothing has been done */
export type FastLane = (request: IncomingMessage, response: ServerResponse) => boolean;

type Dependencies = {
  readonly trusted: NetworkList;
  readonly registry: Registry;
  readonly renewal: Pick<Renewal, 'isDue'>;
  readonly admission: Admission;
  readonly forwardAuth: Pick<ForwardAuth, 'allowNow'>;
  readonly proxy: AppProxy;
  readonly log: LogRequest;
  /** answers what the app did not */
  readonly fail: (request: IncomingMessage, response: ServerResponse, seen: RequestState) => void;
};

export function createFastLane(dependencies: Dependencies): FastLane {
  const { trusted, registry, renewal, admission, forwardAuth, proxy, log, fail } = dependencies;

  function allow(request: IncomingMessage, response: ServerResponse, query: string): boolean {
    const startedAt = performance.now();
    const { method = '' } = request;
    if (method !== 'GET' && method !== 'HEAD') return false;
    const seen = seeRequest(request, trusted);
    const allowed = forwardAuth.allowNow(request, seen, query);
    if (allowed === undefined) return false;
    seen.place = allowed.place;
    sendAllowed(response, seen.requestId, allowed.identity);
    log(seen, { method, path: '/SSO/Auth' }, 200, startedAt);
    return true;
  }

  function pass(request: IncomingMessage, response: ServerResponse, path: string, query: string): boolean {
    const startedAt = performance.now();
    const { method = '' } = request;
    const segment = firstSegment(path);
    if (isGatewaySegment(segment)) return false;
    const seen = seeRequest(request, trusted);
    const place = registry.byPath(segment, seen.host);
    const upstream = place?.tenant.upstream;
    if (place === undefined || upstream === undefined || formOf(place, path, query) !== undefined) return false;
    const judged = admission.judgeNow(place, path, { method, headers: request.headers });
    const session = judged?.session;
    if (session === undefined || judged?.decision !== 'allow' || renewal.isDue(place.tenant, session.record))
      return false;
    const told = admission.tellNow(place, session, seen);
    if (told === undefined) return false;
    seen.place = place;
    const asSeen = upstream.strip_prefix ? judged.within : judged.path;
    proxy.pass(request, response, { place, upstream, path: asSeen, session, told, requestId: seen.requestId }).then(
      () => log(seen, { method, path }, response.headersSent ? response.statusCode : CLIENT_GONE, startedAt),
      (error: unknown) => {
        seen.failure = error instanceof GatewayFailure ? error : new GatewayFailure('internal_error', { cause: error });
        fail(request, response, seen);
      },
    );
    return true;
  }

  function drive(request: IncomingMessage, response: ServerResponse): boolean {
    const { url = '', headers } = request;
    if (headers.cookie === undefined || url.length > URL_MAX_CHARACTERS) return false;
    if (!url.startsWith('/') || url.includes('#')) return false;
    const queryAt = url.indexOf('?');
    const path = queryAt === -1 ? url : url.slice(0, queryAt);
    const query = queryAt === -1 ? '' : url.slice(queryAt + 1);
    return path === '/SSO/Auth' ? allow(request, response, query) : pass(request, response, path, query);
  }

  return (request, response) => {
    try {
      return drive(request, response);
    } catch {
      return response.headersSent; // a bug of ours is a bug in the house too, which answers and logs it
    }
  };
}

function firstSegment(path: string): string {
  const end = path.indexOf('/', 1);
  return end === -1 ? path.slice(1) : path.slice(1, end);
}
