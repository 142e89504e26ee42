/**
 * The one way from the gateway to identity providers, and to the apps that know the people of signed links. Bounded in time and
 * size, follows no redirect (ASVS 15.3.2), so that what is sent reaches nobody else, and connects only to public addresses and
 * to the networks that the operator listed: a discovery document must not be able to point us at the inside (RFC 8725 section
 * 3.10, ASVS 1.3.6). A loopback address is reached only where the URL itself names one.
 */
import { lookup } from 'node:dns';
import { BlockList, isIP, type LookupFunction } from 'node:net';
import { Agent, request } from 'undici';
import { isLoopbackAddress, isLoopbackHost, type NetworkList } from '../config/networks.ts';
import { isJsonObject, type JsonObject } from '../kernel/json.ts';

const TIMEOUT_MS = 5_000; // for the whole exchange; people wait for it
const CONNECT_TIMEOUT_MS = 3_000;
const BODY_MAX_BYTES = 1024 * 1024; // discovery and key documents of real providers stay below 100 KB

/** For each IdP. Discovery and keys are cached, so few are plenty; codes are redeemed one by one. */
const CONNECTIONS_FOR_DOCUMENTS = 8;
const CONNECTIONS_FOR_EXCHANGES = 256;

export type Outbound = {
  /** GETs a JSON object. Throws an `OutboundError` for anything but 200 with one. */
  readonly getJson: (url: string, headers?: Readonly<Record<string, string>>) => Promise<JsonObject>;
  /** For what libraries ask in our name: any method, any status; the same bounds. */
  readonly fetch: (
    url: string,
    options: { readonly method: string; readonly headers: Record<string, string>; readonly body?: unknown },
  ) => Promise<Response>;
  readonly close: () => Promise<void>;
};

/** What went wrong on the way to an IdP; `detail` is for the log. */
export class OutboundError extends Error {
  override readonly name = 'OutboundError';
  /** of the answer, where there was one */
  readonly status: number | undefined;

  constructor(message: string, options: { readonly cause?: unknown; readonly status?: number } = {}) {
    super(message, options);
    this.status = options.status;
  }
}

/** Addresses that no public IdP has: IANA's special-purpose registries for IPv4 and IPv6. */
const SPECIAL = new BlockList();
for (const [address, prefix] of [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 3],
] as const)
  SPECIAL.addSubnet(address, prefix, 'ipv4');
for (const [address, prefix] of [
  ['::', 127],
  ['64:ff9b::', 96],
  ['64:ff9b:1::', 48],
  ['100::', 64],
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['fc00::', 7],
  ['fe80::', 10],
  ['ff00::', 8],
] as const)
  SPECIAL.addSubnet(address, prefix, 'ipv6');

/** Whether a connection that was asked for by `hostname` may go to `address`. */
export function mayConnect(hostname: string, address: string, allowed: NetworkList): boolean {
  const version = isIP(address);
  if (version === 0) return false;
  if (allowed.has(address)) return true;
  if (isLoopbackAddress(address)) return isLoopbackHost(version === 6 && hostname === address ? '[::1]' : hostname);
  return !SPECIAL.check(address, version === 4 ? 'ipv4' : 'ipv6');
}

export function createOutbound(allowed: NetworkList): Outbound {
  const open = (connections: number): Agent =>
    new Agent({
      connect: { lookup: filteredLookup(allowed), timeout: CONNECT_TIMEOUT_MS },
      headersTimeout: TIMEOUT_MS,
      bodyTimeout: TIMEOUT_MS,
      maxResponseSize: BODY_MAX_BYTES,
      connections,
      keepAliveTimeout: 10_000,
    });
  // what is kept for all must not wait behind what each sign-in asks for itself
  const documents = open(CONNECTIONS_FOR_DOCUMENTS);
  const exchanges = open(CONNECTIONS_FOR_EXCHANGES);

  return {
    async getJson(url, headers = {}) {
      refuseLiteral(url, allowed);
      let body: unknown;
      try {
        // `request` follows no redirect and unpacks nothing: a small packed answer cannot become a large one
        const response = await request(url, {
          dispatcher: documents,
          headers: { accept: 'application/json', 'accept-encoding': 'identity', 'user-agent': 'gatehouse', ...headers },
          signal: AbortSignal.timeout(TIMEOUT_MS),
        });
        if (response.statusCode !== 200) {
          await response.body.dump();
          throw new OutboundError(`answered ${response.statusCode}`, { status: response.statusCode });
        }
        body = await response.body.json();
      } catch (error) {
        throw error instanceof OutboundError ? error : new OutboundError(describe(error), { cause: error });
      }
      if (!isJsonObject(body)) throw new OutboundError('answered JSON that is not an object');
      return body;
    },
    async fetch(url, { method, headers, body }) {
      refuseLiteral(url, allowed);
      try {
        const response = await request(url, {
          dispatcher: exchanges,
          method: method === 'POST' ? 'POST' : 'GET',
          headers: { ...headers, 'accept-encoding': 'identity', 'user-agent': 'gatehouse' },
          body: body === undefined || body === null ? null : String(body),
          signal: AbortSignal.timeout(TIMEOUT_MS),
        });
        const type = response.headers['content-type'];
        const challenge = response.headers['www-authenticate'];
        const received = new Headers();
        if (typeof type === 'string') received.set('content-type', type);
        if (typeof challenge === 'string') received.set('www-authenticate', challenge);
        const text = await response.body.text();
        return new Response(text === '' ? null : text, { status: response.statusCode, headers: received });
      } catch (error) {
        throw new OutboundError(describe(error), { cause: error });
      }
    },
    async close() {
      await Promise.all([documents.destroy(), exchanges.destroy()]);
    },
  };
}

/** An address written into the URL is connected to without any look-up, so it is judged here. */
function refuseLiteral(url: string, allowed: NetworkList): void {
  const hostname = new URL(url).hostname.replace(/^\[|\]$/g, '');
  if (isIP(hostname) !== 0 && !mayConnect(hostname, hostname, allowed))
    throw new OutboundError('is at an address that is not allowed (see outbound.allow)');
}

function filteredLookup(allowed: NetworkList): LookupFunction {
  return (hostname, options, callback) => {
    // resolvers need not know the names below localhost (RFC 6761 6.3); Debian's does not
    const name = isLoopbackHost(hostname) ? 'localhost' : hostname;
    lookup(name, { ...options, all: true }, (error, addresses) => {
      if (error) return callback(error, '', 0);
      const usable = addresses.filter(({ address }) => mayConnect(hostname, address, allowed));
      const [first] = usable;
      if (first === undefined) return callback(new OutboundError('resolves to an address that is not allowed'), '', 0);
      if (options.all) callback(null, usable);
      else callback(null, first.address, first.family);
    });
  };
}

/** The innermost reason, without anything of the body. */
function describe(error: unknown): string {
  if (error instanceof SyntaxError) return 'answered something that is not JSON';
  if (error instanceof Error && error.cause instanceof Error) return describe(error.cause);
  if (error instanceof AggregateError && error.errors[0] instanceof Error) return describe(error.errors[0]);
  if (error instanceof Error) return 'code' in error && typeof error.code === 'string' ? error.code : error.message;
  return 'failed';
}
