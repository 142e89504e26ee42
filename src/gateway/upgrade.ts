/**
 * WebSocket (RFC 6455): the session, the rules and the Origin are judged at the upgrade, since nothing that follows can be; then both
 * sides are tied together until one goes or the session ends.
 */
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { Duplex } from 'node:stream';
import type { NetworkList } from '../config/networks.ts';
import { answerRaw } from '../edge/raw-answer.ts';
import { type RequestState, seeRequest } from '../edge/request.ts';
import { type FailureCode, GatewayFailure } from '../kernel/failure.ts';
import type { Session } from '../sessions/sessions.ts';
import { formOf } from '../sign-in/link-forms.ts';
import { isGatewaySegment, type Place, type Registry } from '../tenants/registry.ts';
import type { Admission } from './admission.ts';
import type { Streams } from './streams.ts';
import { isOwnCookie, type Told, toUpstream } from './upstream-headers.ts';

export type HandleUpgrade = (request: IncomingMessage, socket: Duplex, head: Buffer) => void;

type Dependencies = {
  readonly trusted: NetworkList;
  readonly registry: Registry;
  readonly admission: Admission;
  readonly streams: Streams;
  /** one line for each upgrade, as for each request */
  readonly log: (seen: RequestState, request: IncomingMessage, outcome: FailureCode | 'upgraded') => void;
};

export function createHandleUpgrade({ trusted, registry, admission, streams, log }: Dependencies): HandleUpgrade {
  async function admit(
    request: IncomingMessage,
    seen: RequestState,
  ): Promise<{ place: Place; path: string; session: Session | undefined; told: Told }> {
    const [rawPath = '', query] = splitTarget(request.url ?? '');
    if (request.url?.includes('#')) throw new GatewayFailure('request_invalid', { reason: 'path_ambiguous' });
    const place = registry.byPath(rawPath.split('/', 2)[1] ?? '', seen.host);
    if (place?.tenant.upstream === undefined) throw new GatewayFailure('tenant_not_found');
    seen.place = place;
    if (formOf(place, rawPath, query ?? '') !== undefined)
      throw new GatewayFailure('request_invalid', { reason: 'link_by_upgrade' });
    // any page can open a socket with the person's cookies; only the browser says which one does
    if (request.headers.origin !== place.site.origin) throw new GatewayFailure('access_denied', { reason: 'origin' });
    const judged = await admission.judge(place, rawPath, { method: 'GET', headers: request.headers });
    if (judged.decision === 'sign_in') throw new GatewayFailure('sign_in_required');
    if (judged.decision === 'deny') throw new GatewayFailure('access_denied', { reason: 'access_rule' });
    const path = place.tenant.upstream.strip_prefix ? judged.within : judged.path;
    const told = await admission.tell(place, judged.session, seen);
    return { place, path: query === undefined ? path : `${path}?${query}`, session: judged.session, told };
  }

  return (request, socket, head) => {
    const seen = seeRequest(request, trusted);
    socket.on('error', () => socket.destroy());
    admit(request, seen).then(
      ({ place, path, session, told }) => {
        log(seen, request, 'upgraded');
        tie(request, socket, head, { place, path, session, told }, streams, seen.requestId);
      },
      (error: unknown) => {
        const code = error instanceof GatewayFailure ? error.code : 'internal_error';
        log(seen, request, code);
        answerRaw(socket, code, seen.requestId);
      },
    );
  };
}

const LINGER_MS = 2_000;

/**
 * Only what RFC 6455 section 4.1 asks for, without a body, and not at the gateway's own paths; anything else that names a protocol is an
 * ordinary request. Node asks this before it gives a connection away.
 */
export function isUpgrade({ method, url = '', headers }: IncomingMessage): boolean {
  const hasBody = headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0';
  const isOurs = isGatewaySegment(url.split(/[/?#]/, 2)[1] ?? '');
  return method === 'GET' && headers.upgrade?.toLowerCase() === 'websocket' && !hasBody && !isOurs;
}

function splitTarget(target: string): [string, string | undefined] {
  const at = target.indexOf('?');
  return at === -1 ? [target, undefined] : [target.slice(0, at), target.slice(at + 1)];
}

type Tied = {
  readonly place: Place;
  readonly path: string;
  readonly session: Session | undefined;
  readonly told: Told;
};

function tie(
  request: IncomingMessage,
  client: Duplex,
  head: Buffer,
  tied: Tied,
  streams: Streams,
  requestId: string,
): void {
  const { place, path, session, told } = tied;
  const upstream = new URL(place.tenant.upstream?.url ?? '');
  const send = upstream.protocol === 'https:' ? httpsRequest : httpRequest;
  const headers = [
    ...withoutLength(toUpstream(request.rawHeaders, told)),
    'Connection',
    'Upgrade',
    'Upgrade',
    request.headers.upgrade ?? '',
  ];
  const outgoing = send(upstream, {
    path,
    method: 'GET',
    headers,
    setDefaultHeaders: false,
    agent: false, // a connection of its own: what is left of a refused upgrade must be nobody's next request
    timeout: place.tenant.upstream?.timeout,
  });
  outgoing.on('timeout', () => outgoing.destroy());
  let answered = false;
  const fail = (): void => {
    if (answered) client.destroy();
    else answerRaw(client, 'upstream_unavailable', requestId);
    answered = true;
  };
  outgoing.on('error', fail);
  outgoing.on('response', (response) => {
    // the app does not want to: said by a plain answer, which is all that this connection will carry
    answered = true;
    client.write(headOf(response));
    response.on('error', fail).on('aborted', fail).pipe(client);
    client.on('finish', () => client.destroy());
  });
  outgoing.on('upgrade', (response, server, serverHead) => {
    answered = true;
    client.write(headOf(response));
    if (serverHead.length > 0) client.write(serverHead);
    if (head.length > 0) server.write(head);
    const unwatch = streams.watch(place.tenant, session, end);
    function end(): void {
      unwatch();
      client.destroy();
      server.destroy();
    }
    // a side that has said its last is not waited for long
    for (const side of [client, server])
      side
        .on('error', end)
        .on('close', end)
        .on('end', () => setTimeout(end, LINGER_MS).unref());
    client.pipe(server);
    server.pipe(client);
  });
  client.on('close', () => outgoing.destroy());
  outgoing.end();
}

/** There is no body, so nothing may announce one. */
function withoutLength(headers: readonly string[]): string[] {
  return headers.filter((_, at) => !/^content-length$/i.test(headers[at - (at % 2)] ?? ''));
}

/** As the app sent it: an upgrade's headers are for the two ends. */
function headOf(response: IncomingMessage): string {
  const lines = [`HTTP/1.1 ${response.statusCode} ${response.statusMessage}`];
  const upgraded = response.statusCode === 101;
  for (let at = 0; at + 1 < response.rawHeaders.length; at += 2) {
    const name = response.rawHeaders[at] ?? '';
    const value = response.rawHeaders[at + 1] ?? '';
    const isOurs = name.toLowerCase() === 'set-cookie' && isOwnCookie(value);
    const isOfConnection = /^(?:connection|keep-alive|transfer-encoding)$/i.test(name) && !upgraded;
    if (!isOurs && !isOfConnection) lines.push(`${name}: ${value}`);
  }
  if (!upgraded) lines.push('Connection: close');
  return `${lines.join('\r\n')}\r\n\r\n`;
}
