/**
 * REDIS_URL: one server, the servers that Sentinels watch over, or a Cluster. Whoever connects gets an address of one of three kinds, with
 * whatever is secret wrapped.
 *
 *     redis://[user:password@]host[:6379][/db]                                   rediss:// by TLS
 *     redis+sentinel://[user:password@]host[:26379][,host…]/NAME[/db][?sentinel_user=…&sentinel_password=…]
 *     redis+cluster://[user:password@]host[:6379][,host…]                        rediss+sentinel://, rediss+cluster:// by TLS
 */
import { Secret } from '../kernel/secret.ts';

export type RedisNode = { readonly host: string; readonly port: number };

type Credentials = { readonly username: string | undefined; readonly password: Secret | undefined };

export type RedisAddress =
  | { readonly kind: 'single'; readonly url: Secret }
  | ({
      readonly kind: 'sentinel';
      readonly sentinels: readonly RedisNode[];
      /** of the master's group, as the Sentinels know it */
      readonly name: string;
      readonly db: number;
      readonly tls: boolean;
      /** of the Sentinels themselves, where they ask for any */
      readonly sentinel: Credentials;
    } & Credentials)
  | ({ readonly kind: 'cluster'; readonly nodes: readonly RedisNode[]; readonly tls: boolean } & Credentials);

const DEFAULT_PORTS = { sentinel: 26_379, cluster: 6_379 } as const;
/** A list of hosts is no URL, so the parts are taken apart here and each host is then a URL of its own. */
const SEVERAL = /^redis(s?)\+(sentinel|cluster):\/\/(?:([^@/?#]*)@)?([^@/?#]+)(?:\/([^?#]*))?(?:\?([^#]*))?$/;

/** @returns `undefined` for what is no such URL */
export function parseRedisUrl(text: string): RedisAddress | undefined {
  try {
    const several = SEVERAL.exec(text);
    return several === null ? parseSingle(text) : parseSeveral(several);
  } catch {
    return undefined; // a percent sign that encodes nothing
  }
}

function parseSingle(text: string): RedisAddress | undefined {
  const { username, password, pathname } = new URL(text);
  decodeURIComponent(`${username}${password}`);
  return /^rediss?:\/\/./.test(text) && /^(?:\/\d{0,4})?$/.test(pathname)
    ? { kind: 'single', url: new Secret(text) }
    : undefined;
}

function parseSeveral([, s, kind, user = '', hosts = '', path = '', query = '']: string[]): RedisAddress | undefined {
  const parameters = new URLSearchParams(query.replaceAll('+', '%2B')); // a plus is a plus, as it is before the host
  const [username = '', ...password] = user.split(':');
  const own = credentials(decodeURIComponent(username), decodeURIComponent(password.join(':')));
  const tls = s === 's';
  if (kind === 'cluster') {
    const nodes = parseNodes(hosts, DEFAULT_PORTS.cluster);
    return nodes === undefined || path !== '' || query !== '' ? undefined : { kind, nodes, tls, ...own };
  }
  const sentinels = parseNodes(hosts, DEFAULT_PORTS.sentinel);
  const [name = '', db = '0', ...more] = path.split('/');
  const isKnown = [...parameters.keys()].every((key) => key === 'sentinel_user' || key === 'sentinel_password');
  if (sentinels === undefined || name === '' || !/^\d{1,4}$/.test(db) || more.length > 0 || !isKnown) return undefined;
  const sentinel = credentials(parameters.get('sentinel_user') ?? '', parameters.get('sentinel_password') ?? '');
  return { kind: 'sentinel', sentinels, name: decodeURIComponent(name), db: Number(db), tls, sentinel, ...own };
}

function credentials(username: string, password: string): Credentials {
  return { username: username || undefined, password: password === '' ? undefined : new Secret(password) };
}

function parseNodes(text: string, fallbackPort: number): RedisNode[] | undefined {
  const nodes = text.split(',').map((node) => {
    const url = URL.parse(`http://${node.trim()}`);
    if (url === null || url.pathname !== '/' || url.username !== '') return undefined;
    // the port of http is the one that a URL does not keep
    const port = url.port !== '' ? Number(url.port) : /:80$/.test(node) ? 80 : fallbackPort;
    return { host: url.hostname.replace(/^\[|\]$/g, ''), port };
  });
  return nodes.every((node) => node !== undefined) ? nodes : undefined;
}
