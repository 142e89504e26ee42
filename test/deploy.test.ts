import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { parser } from '@prometheus-io/lezer-promql';
import * as apps from 'kubernetes-models/apps/v1';
import * as networking from 'kubernetes-models/networking.k8s.io/v1';
import * as policy from 'kubernetes-models/policy/v1';
import * as core from 'kubernetes-models/v1';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { parseSettings } from '../src/config/settings.ts';
import { createTenantFolder } from '../src/config/tenant-folder.ts';
import { type House, openHouse } from './support/house.ts';

/** What lies in deploy/ is true: it fits its own programs' schemas, and the gateway as it is. */
const ROOT = resolve(import.meta.dirname, '..');
const read = (path: string): Promise<string> => readFile(join(ROOT, path), 'utf8');
type Tree = { readonly [name: string]: Tree } & Tree[] & string;

const dashboard: Tree = JSON.parse(await read('deploy/grafana-dashboard.json'));
const alerts: Tree = parse(await read('deploy/alerts.yaml'));
const manifests = parseAllDocuments(await read('deploy/kubernetes.yaml')).map((document): Tree => document.toJS());
const compose: Tree = parse(await read('compose.yaml'));

const alertRules = [...(alerts.groups?.[0]?.rules ?? [])];
const expressions = [
  ...alertRules.map(({ expr }) => String(expr)),
  ...[...(dashboard.panels ?? [])].flatMap(({ targets }) => [...(targets ?? [])].map(({ expr }) => String(expr))),
];
const kind = (name: string): Tree | undefined => manifests.find((one) => String(one.kind) === name);

describe('alerts and dashboard', () => {
  let house: House;
  let exported: Set<string>;
  beforeAll(async () => {
    house = await openHouse();
    const text = await (await fetch(`${house.gateway.opsUrl}/metrics`)).text();
    exported = new Set([...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name ?? ''));
  });
  afterAll(() => house.close());

  it.each(expressions)('ask well, and for what there is: %s', (expression) => {
    const query = expression.replaceAll('$__rate_interval', '5m');
    const wrong: string[] = [];
    const names: string[] = [];
    parser.parse(query).iterate({
      enter(node) {
        if (node.type.isError) wrong.push(query.slice(node.from - 10, node.to + 10));
        if (node.name === 'VectorSelector') names.push(/^\w+/.exec(query.slice(node.from, node.to))?.[0] ?? '');
      },
    });
    expect(wrong).toEqual([]);
    expect(names.length).toBeGreaterThan(0);
    for (const name of names) {
      const family = name.replace(/_(?:count|sum|bucket)$/, '');
      expect(name === 'up' || exported.has(name) || exported.has(family)).toBe(true);
    }
  });

  it('say what each alert is about', () => {
    for (const rule of alertRules) expect(String(rule.annotations?.summary).length).toBeGreaterThan(20);
  });
});

type Manifest = { readonly validate: () => void };
/** Of each kind that is there: what its schema makes of it. */
const MODELS: Readonly<Record<string, (data: object) => Manifest>> = {
  ServiceAccount: (data) => new core.ServiceAccount(data),
  ConfigMap: (data) => new core.ConfigMap(data),
  Service: (data) => new core.Service(data),
  Deployment: (data) => new apps.Deployment(Object(data)),
  PodDisruptionBudget: (data) => new policy.PodDisruptionBudget(data),
  Ingress: (data) => new networking.Ingress(data),
  NetworkPolicy: (data) => new networking.NetworkPolicy(Object(data)),
};

describe('the Kubernetes manifests', () => {
  it.each(manifests.map((one) => [String(one.kind), one] as const))('%s fits its schema', (name, manifest) => {
    const model = MODELS[name];
    if (model === undefined) throw new Error('no such kind');
    expect(() => model(manifest).validate()).not.toThrow();
    expect(() => model({ ...Object(manifest), metadata: 7 }).validate()).toThrow();
  });

  it('set what the gateway knows, and ask where it answers', () => {
    const [container] = [...(kind('Deployment')?.spec?.template?.spec?.containers ?? [])];
    const environment = Object.fromEntries(
      [...(container?.env ?? [])].map(({ name, value }) => [
        String(name),
        value === undefined ? 'redis://r' : String(value),
      ]),
    );
    const settings = parseSettings({ ...environment, COOKIE_KEYS: 'k'.repeat(32), NODE_ENV: 'production' });
    expect(settings).toMatchObject({ port: 3000, opsPort: 9090, opsHost: '0.0.0.0', drainDelayMs: 5_000 });
    const ports = Object.fromEntries([...(container?.ports ?? [])].map((one) => [one.name, one.containerPort]));
    expect(ports).toEqual({ http: 3000, ops: 9090 });
    expect(container?.readinessProbe?.httpGet).toMatchObject({ path: '/readyz', port: 'ops' });
    expect(container?.securityContext).toMatchObject({ readOnlyRootFilesystem: true, allowPrivilegeEscalation: false });
  });

  it('bring tenants’ files as Kubernetes mounts them, links and all, and a change of them is seen', async () => {
    const files = kind('ConfigMap')?.data ?? {};
    const dir = await mkdtemp(join(tmpdir(), 'gatehouse-configmap-'));
    const tenants = join(dir, 'tenants');
    const write = async (version: string, name: string): Promise<void> => {
      await mkdir(join(tenants, version), { recursive: true });
      for (const [file, text] of Object.entries(files))
        await writeFile(join(tenants, version, file), String(text).replace('Acme Corporation', name));
      await rm(join(tenants, '..data'), { force: true });
      await symlink(version, join(tenants, '..data'));
    };
    await write('..2026_01', 'Acme One');
    for (const file of Object.keys(files)) await symlink(`..data/${file}`, join(tenants, file));
    const folder = createTenantFolder({
      configDir: dir,
      environment: {},
      production: true,
      publicHost: 'login.example',
    });
    expect(await folder.scan()).toMatchObject([{ kind: 'added', file: { id: 'acme', name: 'Acme One' } }]);
    await write('..2026_02', 'Acme Two');
    expect(await folder.scan()).toMatchObject([{ kind: 'changed', file: { name: 'Acme Two' } }]);
    expect(await folder.scan()).toEqual([]);
    await rm(dir, { recursive: true });
  });
});

describe('the compose file', () => {
  it('sets what the gateway knows, and trusts nginx alone', () => {
    const given = Object.fromEntries(
      Object.entries(compose.services?.gatehouse?.environment ?? {}).map(([name, value]) => [name, String(value)]),
    );
    const settings = parseSettings({
      ...given,
      PUBLIC_URL: 'https://login.example.com',
      COOKIE_KEYS: 'k'.repeat(32),
      NODE_ENV: 'production',
    });
    if ('problems' in settings) throw new Error(JSON.stringify(settings.problems));
    const address = String(compose.services?.nginx?.networks?.inside?.ipv4_address);
    expect(given.TRUSTED_PROXIES).toBe(address);
    expect(settings.trustedProxies.has(address)).toBe(true);
    for (const other of ['172.31.77.1', '172.31.77.3']) expect(settings.trustedProxies.has(other)).toBe(false);
  });

  it('has an nginx configuration that nginx takes', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'gatehouse-nginx-'));
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
      (one) => `${one}_temp_path ${dir}/${one};`,
    );
    // without a certificate, and without the right to open low ports
    const text = (await read('deploy/nginx.conf'))
      .replace('listen 443 ssl;', 'listen 127.0.0.1:20443;')
      .replace('listen 80;', 'listen 127.0.0.1:20080;')
      .replace('http2 on;', '') // newer than Debian's
      .replace(/ssl_certificate(?:_key)? \S+;/g, '')
      .replace('http {', `http {\n${temporary.join(' ')}`);
    await writeFile(join(dir, 'nginx.conf'), `pid ${dir}/pid; error_log ${dir}/error.log;\n${text}`);
    const nginx = existsSync('/usr/sbin/nginx') ? '/usr/sbin/nginx' : 'nginx';
    const { stderr } = await promisify(execFile)(nginx, ['-t', '-p', dir, '-c', join(dir, 'nginx.conf')]);
    expect(stderr).toContain('test is successful');
    await rm(dir, { recursive: true });
  });
});
