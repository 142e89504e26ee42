import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openAdversary } from './support/adversary.ts';
import { freePort } from './support/gateway.ts';
import { run } from './support/process.ts';

let configDir: string;
beforeAll(async () => {
  configDir = await mkdtemp(join(tmpdir(), 'gatehouse-main-'));
  await mkdir(join(configDir, 'tenants'));
  await writeFile(join(configDir, 'tenants', 'wrong.yaml'), 'id: [');
  await writeFile(
    join(configDir, 'tenants', 'acme.yaml'),
    'id: acme\noidc: { issuer: https://127.0.0.1:1/nobody, client_id: x }\n',
  );
});
afterAll(() => rm(configDir, { recursive: true }));

const environment = async (): Promise<Record<string, string>> => ({
  PORT: String(await freePort()),
  OPS_PORT: '0',
  CONFIG_DIR: configDir,
});

describe('the process', () => {
  it('stops with 78 and one message that names every wrong variable', async () => {
    const started = run(['src/main.ts'], { PORT: 'x', PUBLIC_URL: 'http://login.example', NODE_ENV: 'production' });
    expect(await started.exited).toBe(78);
    for (const variable of ['PORT', 'PUBLIC_URL', 'COOKIE_KEYS']) expect(started.errors()).toContain(variable);
    expect(started.output()).toBe('');
  });

  it('stops with 78 for a wrong gatehouse.yaml', async () => {
    const broken = await mkdtemp(join(tmpdir(), 'gatehouse-main-'));
    await writeFile(join(broken, 'gatehouse.yaml'), 'home: everywhere\nx: 1\n');
    const started = run(['src/main.ts'], { ...(await environment()), CONFIG_DIR: broken });
    expect(await started.exited).toBe(78);
    expect(started.errors()).toMatch(/gatehouse\.yaml:1: home: [\s\S]*gatehouse\.yaml:2: x: is not a known key/);
    await rm(broken, { recursive: true });
  });

  it('starts with a wrong tenant’s file and an unreachable IdP, and says nothing but JSON', async () => {
    const settings = await environment();
    const started = run(['src/main.ts'], settings);
    await started.waitForLine('"event":"listening"');
    const reply = await fetch(`http://127.0.0.1:${settings.PORT}/acme`, { headers: { accept: 'application/json' } });
    expect(reply.status).toBe(401);
    started.child.kill('SIGTERM');
    expect(await started.exited).toBe(0);
    for (const line of started.output().trim().split('\n')) expect(() => JSON.parse(line)).not.toThrow();
    expect(started.output()).toContain('"event":"store.embedded"');
    expect(started.errors()).toBe('');
  });

  it('is not ready while its configuration is not there, and gets ready when it is', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'gatehouse-late-'));
    const settings: Record<string, string> = { ...(await environment()), CONFIG_DIR: join(dir, 'config') };
    const started = run(['src/main.ts'], settings);
    await started.waitForLine('"event":"listening"');
    const ready = async () => (await fetch(`http://127.0.0.1:${settings.PORT}/readyz`)).json();
    expect(await ready()).toEqual({ status: 'not ready', reason: 'no_configuration' });
    await mkdir(join(dir, 'config', 'tenants'), { recursive: true });
    await expect.poll(ready, { timeout: 10_000 }).toEqual({ status: 'ready' });
    started.child.kill('SIGTERM');
    expect(await started.exited).toBe(0);
    await rm(dir, { recursive: true });
  });

  it('answers what it had accepted before it goes, and is not ready meanwhile', async () => {
    const settings = await environment();
    const started = run(['src/main.ts'], settings);
    await started.waitForLine('"event":"listening"');
    const ops = /"ops":"([^"]+)"/.exec(started.output())?.[1] ?? '';
    expect((await fetch(`${ops}/readyz`)).status).toBe(200);
    const slow = request(`http://127.0.0.1:${settings.PORT}/SSO/OIDC/acme/Callback`, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded', 'content-length': 9 },
    });
    const answered = new Promise<number>((resolve, reject) => {
      slow.on('response', (response) => resolve(response.statusCode ?? 0)).on('error', reject);
    });
    slow.write('error=');
    await expect.poll(async () => (await fetch(`${ops}/readyz`)).status).toBe(200);
    started.child.kill('SIGTERM');
    await expect.poll(async () => (await fetch(`${ops}/readyz`).catch(() => undefined))?.status).toBe(503);
    slow.end('abc');
    expect(await answered).toBe(403);
    expect(await started.exited).toBe(0);
  });

  it('serves on when nobody reads its log any more', async () => {
    const settings = await environment();
    const started = run(['src/main.ts'], settings);
    await started.waitForLine('"event":"listening"');
    started.child.stdout?.destroy();
    const url = `http://127.0.0.1:${settings.PORT}`;
    for (let i = 0; i < 3; i++) {
      const reply = await fetch(`${url}/nobody`, { signal: AbortSignal.timeout(3_000) });
      expect(reply.status).toBe(404);
      expect(
        (await fetch(`${url}/SSO/OIDC/acme/Callback?error=x`, { signal: AbortSignal.timeout(3_000) })).status,
      ).toBe(403);
    }
    started.child.kill('SIGTERM');
    expect(await started.exited).toBe(0);
  });

  it('goes at once at a second signal', async () => {
    const settings = await environment();
    const started = run(['src/main.ts'], settings);
    await started.waitForLine('"event":"listening"');
    const hanging = request(`http://127.0.0.1:${settings.PORT}/SSO/OIDC/acme/Callback`, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded', 'content-length': 9 },
    });
    hanging.on('error', () => {});
    hanging.write('error=');
    const ops = /"ops":"([^"]+)"/.exec(started.output())?.[1] ?? '';
    await fetch(`${ops}/livez`);
    started.child.kill('SIGTERM');
    await expect.poll(async () => (await fetch(`${ops}/readyz`).catch(() => undefined))?.status).toBe(503);
    started.child.kill('SIGTERM');
    expect(await started.exited).toBe(1);
  });
});

describe('gatehouse', () => {
  it('check: says all problems and ends with 1, or none and ends with 0', async () => {
    const wrong = run(['src/cli/gatehouse.ts', 'check', '--config-dir', configDir]);
    expect(await wrong.exited).toBe(1);
    expect(wrong.output()).toMatch(/wrong\.yaml:1: /);
    const json = run(['src/cli/gatehouse.ts', 'check', '--json'], { CONFIG_DIR: configDir });
    expect(await json.exited).toBe(1);
    expect(JSON.parse(json.output())).toMatchObject({
      ok: false,
      tenants: 1,
      problems: [{ line: 1 }, { line: 1 }].slice(0, 1),
    });
    const shipped = run(['src/cli/gatehouse.ts', 'check']);
    expect(await shipped.exited).toBe(0);
    expect(shipped.output()).toBe('No problems: 2 tenants.\n');
  });

  it('schema: prints a JSON Schema that knows the fields', async () => {
    const schema = run(['src/cli/gatehouse.ts', 'schema']);
    expect(await schema.exited).toBe(0);
    const { properties } = JSON.parse(schema.output());
    expect(properties.oidc.properties.scope).toMatchObject({ type: 'string', default: 'openid profile email' });
    expect(properties.oidc.properties).toHaveProperty('client_secret');
    expect(properties.links.items.oneOf ?? properties.links.items.anyOf).toHaveLength(4);
  });

  it('tenants: says of each whether it is well, and what to register', async () => {
    const idp = await openAdversary();
    const dir = await mkdtemp(join(tmpdir(), 'gatehouse-tenants-'));
    await mkdir(join(dir, 'tenants'));
    const file = (name: string, text: string) => writeFile(join(dir, 'tenants', `${name}.yaml`), text);
    const oidc = (issuer: string): string => `oidc: { issuer: "${issuer}", client_id: x, allow_insecure: true }\n`;
    await file('acme', `id: acme\nslug: AcmeCorp\n${oidc(idp.issuer)}`);
    await file('links', 'id: links\nlinks: [{ dialect: frill, key: a-key-of-sixteen-bytes }]\n');
    const tenants = async (...more: string[]) => {
      const started = run(['src/cli/gatehouse.ts', 'tenants', ...more], {
        CONFIG_DIR: dir,
        PUBLIC_URL: 'https://login.example.com',
      });
      return { code: await started.exited, output: started.output() };
    };
    const good = await tenants('--json');
    expect(good.code).toBe(0);
    expect(JSON.parse(good.output)).toMatchObject([
      {
        tenant: 'acme',
        tenant_urls: ['https://login.example.com/AcmeCorp'],
        redirect_uris: ['https://login.example.com/SSO/OIDC/acme/Callback'],
        provider: 'ok',
        provider_keys: 1,
      },
      { tenant: 'links', links: ['frill'] },
    ]);
    idp.discovery.id_token_signing_alg_values_supported = ['HS256'];
    const symmetric = await tenants();
    expect(symmetric.code).toBe(1);
    expect(symmetric.output).toMatch(/acme: enabled\n[\s\S]*signs with HS256, and token_algs accepts RS256/);
    await file('down', `id: down\n${oidc('http://127.0.0.1:1')}`);
    await file('wrong', 'id: wrong\nnonsense: 1\n');
    const bad = await tenants();
    expect(bad.code).toBe(1);
    expect(bad.output).toMatch(/down: enabled\n[\s\S]*provider +idp/);
    expect(bad.output).toMatch(/wrong: its file is wrong\n[\s\S]*nonsense/);
    expect((await tenants('--offline')).output).toContain('not asked');
    await rm(dir, { recursive: true });
    await idp.stop();
  });

  it('explain: says what claims would give, or every refusal, and the code says which', async () => {
    const explain = async (claims: string, ...more: string[]) => {
      const started = run(['src/cli/gatehouse.ts', 'explain', 'acme', ...more], {}, claims);
      return { code: await started.exited, output: started.output() };
    };
    const good = await explain(
      '{"sub":"ada","email":"ada@acme.example","name":"Ada","roles":["BillingAdmin","x"],"locale":"??"}',
      '--json',
    );
    expect(good.code).toBe(0);
    expect(JSON.parse(good.output)).toMatchObject({
      admitted: true,
      identity: { sub: 'ada', name: 'Ada', locale: null },
      roles: [{ role: 'BillingAdmin' }, { role: 'x', groups: [] }],
      dropped: ['locale'],
    });
    const bad = await explain('{"sub":"ada","roles":{"a":1}}');
    expect(bad.code).toBe(1);
    expect(bad.output).toContain('claim_missing');
    expect(bad.output).toContain('email');
    expect(bad.output).toContain('claim_malformed');
    expect((await explain('rubbish')).code).toBe(2);
    expect(await run(['src/cli/gatehouse.ts', 'explain', 'nobody'], {}, '{}').exited).toBe(1);
  });

  it.each([
    [['--help']],
    [['check', '--help']],
    [['schema', '--help']],
    [['serve', '--help']],
    [['explain', '--help']],
    [['tenants', '--help']],
    [['users', '--help']],
    [['users', 'remove', '--help']],
    [['link', '--help']],
    [['sessions', 'list', '--help']],
    [['sessions', 'end', '--help']],
    [['events', '--help']],
  ])('%j helps', async (args) => {
    const help = run(['src/cli/gatehouse.ts', ...args]);
    expect(await help.exited).toBe(0);
    expect(help.output()).toContain('Usage: gatehouse');
  });

  it.each([[['frobnicate']], [['check', '--bogus']], [['explain']], [['sessions', 'list']]])(
    '%j is a wrong use: 2',
    async (args) => {
      expect(await run(['src/cli/gatehouse.ts', ...args]).exited).toBe(2);
    },
  );
});
