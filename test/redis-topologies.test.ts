import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { GatewayFailure } from '../src/kernel/failure.ts';
import { connect } from '../src/storage/connect.ts';
import { createRedisStore } from '../src/storage/redis.ts';
import type { Store } from '../src/storage/store.ts';
import { describeStore } from './contracts/store.ts';
import { freePort } from './support/gateway.ts';
import { acmeYaml } from './support/house.ts';
import { run } from './support/process.ts';
import {
  addressOf,
  openCluster,
  openRedis,
  openSentinels,
  tell,
  until,
  untilStoreReady,
  type WatchedRedis,
} from './support/redis.ts';

/** Redis as it is run where one server is not enough: real Sentinels, a real Cluster. */
describe('by a Cluster', () => {
  let cluster: Awaited<ReturnType<typeof openCluster>>;
  let store: Store;
  beforeAll(async () => {
    cluster = await openCluster();
    store = createRedisStore(addressOf(cluster.url), () => {});
    await untilStoreReady(store);
  });
  afterAll(async () => {
    await store.close();
    await cluster.close();
  });
  describeStore('Redis Cluster', () => ({ store, wait: sleep, nowMs: Date.now }));

  it('keeps keys of many tenants on many nodes, and finds one tenant’s', async () => {
    const tenants = Array.from({ length: 20 }, (_, index) => `t${index}`);
    await Promise.all(tenants.map((tenant) => store.set(`gatehouse:{${tenant}}:session:a`, tenant, 10_000)));
    const nodes = await Promise.all(tenants.map((tenant) => cluster.masterOf(`gatehouse:{${tenant}}:session:a`)));
    expect(new Set(nodes).size).toBe(3);
    expect(await Promise.all(tenants.map((tenant) => store.get(`gatehouse:{${tenant}}:session:a`)))).toEqual(tenants);
    expect(await Array.fromAsync(store.scan('gatehouse:{t7}:session:'))).toEqual(['gatehouse:{t7}:session:a']);
  });

  it('hears announcements, whichever node they are said to', async () => {
    const heard: (string | undefined)[] = [];
    const other = createRedisStore(addressOf(cluster.url), () => {});
    const hears = other.listen((key) => heard.push(key));
    await untilStoreReady(other);
    await expect.poll(hears, { timeout: 5_000 }).toBe(true);
    await store.announce('gatehouse:{t}:session:x');
    await expect.poll(() => heard).toContain('gatehouse:{t}:session:x');
    await other.close();
  });
});

describe('a connection of a Cluster that the network forgot', () => {
  it('is let go, and the tenants of that node go on by a new one', async () => {
    const cluster = await openCluster();
    const connection = connect(addressOf(cluster.url));
    await until('it is there', async () => (await connection.redis.get('gatehouse:{acme}:x')) === null);
    const { port } = await cluster.masterOf('gatehouse:{acme}:x');
    const node = connection.masters().find(({ options }) => options.port === port);
    if (node?.stream === undefined) throw new Error('not connected');
    node.stream.write = () => true; // what is written goes nowhere, and nobody says so
    await expect(connection.redis.get('gatehouse:{acme}:x')).rejects.toThrow();
    await until('it answers again', async () => (await connection.redis.get('gatehouse:{acme}:x')) === null);
    connection.redis.disconnect();
    await cluster.close();
  });
});

describe('by Sentinels', () => {
  let watched: WatchedRedis;
  let store: Store;
  beforeAll(async () => {
    watched = await openSentinels();
    store = createRedisStore(addressOf(watched.url), () => {});
    await untilStoreReady(store);
  });
  afterAll(async () => {
    await store.close();
    await watched.close();
  });

  it('follows the master when it dies, with what the replica had, and hears again', async () => {
    let heard: (string | undefined)[] = [];
    const hears = store.listen((key) => heard.push(key));
    await expect.poll(hears, { timeout: 5_000 }).toBe(true);
    await store.set('gatehouse:{t}:session:a', 'x', 60_000);
    const master = await watched.master();
    await expect
      .poll(async () => Promise.all(watched.servers.map(({ port }) => tell(port, 'DBSIZE'))))
      .toEqual(['1', '1']);
    await master.stop();
    await expect(store.set('gatehouse:{t}:session:b', 'x', 60_000)).rejects.toThrow(GatewayFailure);
    await expect
      .poll(() => store.add('gatehouse:{t}:session:c', 'x', 60_000).catch(() => false), { timeout: 15_000 })
      .toBe(true);
    expect(await store.get('gatehouse:{t}:session:a')).toBe('x');
    await expect.poll(hears, { timeout: 5_000 }).toBe(true);
    expect(heard).toContain(undefined); // it may have missed some, and said so
    heard = [];
    await store.announce('gatehouse:{t}:session:a');
    await expect.poll(() => heard).toEqual(['gatehouse:{t}:session:a']);
  });
});

describe('by TLS, as a user of ACL', () => {
  /** A certificate for localhost, by what Debian has: Node makes keys and no certificates. */
  const MAKE = `
import datetime, sys
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
key = ec.generate_private_key(ec.SECP256R1())
name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
now = datetime.datetime.utcnow()
names = x509.SubjectAlternativeName([x509.DNSName("localhost")])
builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
certificate = builder.add_extension(names, False).add_extension(x509.BasicConstraints(True, None), True).sign(key, hashes.SHA256())
open(sys.argv[1] + "/crt", "wb").write(certificate.public_bytes(serialization.Encoding.PEM))
open(sys.argv[1] + "/key", "wb").write(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
`;
  it('is reached with the right certificate and password, and not otherwise', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'gatehouse-tls-'));
    await promisify(execFile)('/usr/bin/python3', ['-c', MAKE, dir]);
    const port = await freePort();
    const files = ['--tls-cert-file', join(dir, 'crt'), '--tls-key-file', join(dir, 'key')];
    const server = await openRedis(['--tls-port', String(port), ...files, '--tls-auth-clients', 'no']);
    const rights = ['~gatehouse:*', '&gatehouse:*', '+@all', '-@dangerous', '+info', '-@admin', '+scan'];
    await tell(server.port, 'ACL', 'SETUSER', 'gatehouse', 'on', '>a-pass%word', ...rights);
    await tell(server.port, 'ACL', 'SETUSER', 'default', 'off');
    await mkdir(join(dir, 'tenants'));
    await writeFile(join(dir, 'tenants', 'acme.yaml'), stringify(acmeYaml({ issuer: 'https://idp.example' })));
    const list = async (url: string, trust = true): Promise<number | null> => {
      const environment = { REDIS_URL: url, CONFIG_DIR: dir, ...(trust && { NODE_EXTRA_CA_CERTS: join(dir, 'crt') }) };
      return run(['src/cli/gatehouse.ts', 'sessions', 'list', '--tenant', 'acme'], environment).exited;
    };
    const [good, stranger, wrong] = await Promise.all([
      list(`rediss://gatehouse:a-pass%25word@localhost:${port}`),
      list(`rediss://gatehouse:a-pass%25word@localhost:${port}`, false),
      list(`rediss://gatehouse:wrong@localhost:${port}`),
    ]);
    expect({ good, stranger, wrong }).toEqual({ good: 0, stranger: 1, wrong: 1 });
    await server.stop();
    // a Cluster whose nodes are known by name, which their certificates are for
    const clusterPort = await freePort();
    const node = await openRedis([
      ...[
        '--tls-port',
        String(clusterPort),
        ...files,
        '--tls-auth-clients',
        'no',
        '--tls-ca-cert-file',
        join(dir, 'crt'),
      ],
      ...['--cluster-enabled', 'yes', '--tls-cluster', 'yes', '--cluster-config-file', join(dir, 'nodes.conf')],
      ...['--cluster-announce-hostname', 'localhost', '--cluster-preferred-endpoint-type', 'hostname'],
    ]);
    await tell(node.port, 'CLUSTER', 'ADDSLOTSRANGE', '0', '16383');
    await until('it is well', async () => (await tell(node.port, 'CLUSTER', 'INFO')).includes('cluster_state:ok'));
    expect(await list(`rediss+cluster://localhost:${clusterPort}`)).toBe(0);
    await node.stop();
    await rm(dir, { recursive: true });
  });
});
