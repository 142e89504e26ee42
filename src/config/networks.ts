/** Lists of IP addresses and CIDR networks, as operators write them. Matching is Node's own (`net.BlockList`). */
import { BlockList, isIP } from 'node:net';

const REMEMBERED_MAX = 1_000;

export type NetworkList = { readonly has: (address: string) => boolean };

/** @returns the list, or the first entry that is neither an address nor a network */
export function parseNetworks(entries: readonly string[]): { list: NetworkList } | { wrong: string } {
  const blocks = new BlockList();
  for (const entry of entries) {
    const [address = '', prefix, ...rest] = entry.split('/');
    const version = isIP(address);
    const widest = version === 4 ? 32 : 128;
    if (version === 0 || rest.length > 0) return { wrong: entry };
    if (prefix !== undefined && (!/^\d{1,3}$/.test(prefix) || Number(prefix) > widest)) return { wrong: entry };
    blocks.addSubnet(address, prefix === undefined ? widest : Number(prefix), version === 4 ? 'ipv4' : 'ipv6');
  }
  return { list: { has: remembering((address) => contains(blocks, address)) } };
}

/** The same few proxies are asked for with every request. */
function remembering(has: NetworkList['has']): NetworkList['has'] {
  const known = new Map<string, boolean>();
  return (address) => {
    const before = known.get(address);
    if (before !== undefined) return before;
    const found = has(address);
    if (known.size === REMEMBERED_MAX) known.clear();
    known.set(address, found);
    return found;
  };
}

function contains(blocks: BlockList, address: string): boolean {
  const version = isIP(address);
  return version !== 0 && blocks.check(address, version === 4 ? 'ipv4' : 'ipv6');
}

/** Whether an address, as sockets tell it, is this machine. */
export function isLoopbackAddress(address: string): boolean {
  return address === '::1' || (isIP(address) === 4 && address.startsWith('127.'));
}

/** Whether a URL's host is this machine: `localhost`, `*.localhost` (RFC 6761 6.3), 127.0.0.0/8, [::1]. */
export function isLoopbackHost(hostname: string): boolean {
  const name = hostname.toLowerCase();
  return (
    name === 'localhost' ||
    name.endsWith('.localhost') ||
    name === '[::1]' ||
    /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(name)
  );
}
