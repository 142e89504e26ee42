import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { formatProblem } from '../../src/config/problem.ts';
import { createTenantFolder, type TenantChange } from '../../src/config/tenant-folder.ts';

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'gatehouse-folder-'));
  await mkdir(join(dir, 'tenants'));
});
afterEach(() => rm(dir, { recursive: true }));

const GOOD = `id: acme
slug: AcmeCorp
oidc:
  issuer: https://idp.example
  client_id: gatehouse
groups:
  - id: admins
`;

const placeholder = (name: string) => `\${${name}}`;
const write = (name: string, text: string) => writeFile(join(dir, 'tenants', name), text);
const folderOf = (environment: Record<string, string> = {}, production = false) =>
  createTenantFolder({ configDir: dir, environment, production, publicHost: 'login.example' });

/** `line: key: message` of everything that one file gets wrong. */
async function problemsOf(
  text: string,
  environment: Record<string, string> = {},
  production = false,
): Promise<string[]> {
  await write('acme.yaml', text);
  const [change] = await folderOf(environment, production).scan();
  if (change?.kind !== 'refused') return [];
  return change.problems.map((problem) => formatProblem(problem).replace(/^.*acme\.yaml:/, ''));
}

const kinds = (changes: readonly TenantChange[]) =>
  changes.map((change) => `${change.kind} ${change.kind === 'refused' ? change.id : change.file.id}`);

describe('a tenant’s file', () => {
  it('needs little, and gets the defaults of the contract', async () => {
    await write('acme.yaml', GOOD);
    const folder = folderOf();
    expect(kinds(await folder.scan())).toEqual(['added acme']);
    expect(folder.files()[0]).toMatchObject({
      enabled: true,
      hosts: [],
      oidc: {
        flow: 'implicit',
        response_mode: 'form_post',
        scope: 'openid profile email',
        token_algs: ['RS256'],
        clock_tolerance: 30,
        claims: { roles: ['roles'], email: ['email'] },
      },
      unknown_roles: 'ignore',
      no_groups: 'reject',
      session: { idle: 1_800_000, absolute: 43_200_000, renew: 900_000, on_renewal_failure: 'keep' },
    });
  });

  const cases: [string, string, string[]][] = [
    ['a missing field', GOOD.replace('  client_id: gatehouse\n', ''), ['3: oidc.client_id: is required']],
    ['an unknown key', `${GOOD}colour: red\n`, ['8: colour: is not a known key']],
    [
      'an unknown key inside',
      GOOD.replace('client_id', 'clientId: x\n  client_id'),
      ['5: oidc.clientId: is not a known key'],
    ],
    ['another id than the file’s', GOOD.replace('id: acme', 'id: other'), ["1: id: must be the file's name, acme"]],
    [
      'a slug of the gateway’s own',
      GOOD.replace('AcmeCorp', 'sSo'),
      ['2: slug: is a name that the gateway keeps for itself'],
    ],
    ['a slug with a slash', GOOD.replace('AcmeCorp', 'a/b'), ['2: slug: must match [A-Za-z0-9][A-Za-z0-9._~-]{0,62}']],
    ['plain http', GOOD.replace('https:', 'http:'), ['4: oidc.issuer: must be https (or set allow_insecure)']],
    [
      'HS256',
      `${GOOD}`.replace('  client_id', '  token_algs: [HS256]\n  client_id'),
      [expect.stringMatching(/^5: oidc\.token_algs\.0: /)],
    ],
    [
      'none',
      `${GOOD}`.replace('  client_id', '  token_algs: [none]\n  client_id'),
      [expect.stringMatching(/^5: oidc\.token_algs\.0: /)],
    ],
    [
      'a scope without openid',
      GOOD.replace('  client_id', '  scope: profile\n  client_id'),
      ['5: oidc.scope: must include openid'],
    ],
    [
      'a tolerance of an hour',
      GOOD.replace('  client_id', '  clock_tolerance: 3600\n  client_id'),
      [expect.stringMatching(/^5: oidc\.clock_tolerance: /)],
    ],
    [
      'a claim path into the prototype',
      GOOD.replace('  client_id', '  claims: { roles: [__proto__, x] }\n  client_id'),
      [expect.stringMatching(/^5: oidc\.claims\.roles/)],
    ],
    [
      'a duration without a unit',
      `${GOOD}session: { idle: "30" }\n`,
      ['8: session.idle: must be a duration such as 90s, 30m, 12h or 7d'],
    ],
    ['a group twice', `${GOOD}  - id: admins\n`, ['8: groups.1.id: is defined twice']],
    [
      'a default group that is none',
      `${GOOD}default_groups: [x]\n`,
      ['8: default_groups.0: is no group of this tenant'],
    ],
    [
      'a comma in a group',
      GOOD.replace('admins', '"a,b"'),
      ['7: groups.0.id: must be 1 to 256 printable ASCII characters without a comma'],
    ],
    ['a star in the middle', `${GOOD}    roles: ["a*b"]\n`, ['8: groups.0.roles.0: may hold one * only, at its end']],
    ['the gateway’s own host', `${GOOD}hosts: [login.example]\n`, ['8: hosts.0: is the host of PUBLIC_URL']],
    [
      'a variable that is not set',
      GOOD.replace('gatehouse', placeholder('NO_SUCH')),
      ['5: oidc.client_id: environment variable NO_SUCH is not set'],
    ],
    [
      'a file that is not there',
      GOOD.replace('gatehouse', placeholder('file:/no/such')),
      ['5: oidc.client_id: file /no/such cannot be read (ENOENT)'],
    ],
    ['a key twice', `${GOOD}id: acme\n`, [expect.stringMatching(/^8: .*unique/i)]],
    ['no YAML', 'id: [', [expect.stringMatching(/^1: /)]],
    ['nothing', '', [expect.stringMatching(/^1: /)]],
    [
      'an alias bomb',
      `a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: [*c,*c,*c,*c,*c,*c,*c,*c,*c]\n`,
      [expect.any(String)],
    ],
    [
      'many things',
      `${GOOD.replace('https:', 'http:').replace('AcmeCorp', 'api')}colour: red\ndefault_groups: [x]\n`,
      [
        '2: slug: is a name that the gateway keeps for itself',
        '4: oidc.issuer: must be https (or set allow_insecure)',
        '8: colour: is not a known key',
        '9: default_groups.0: is no group of this tenant',
      ],
    ],
  ];
  it.each(cases)('with %s is refused with file, line and key', async (_what, text, expected) => {
    expect(await problemsOf(text)).toEqual(expected);
  });

  it('says `{tenantid}` and which directories together, or neither', async () => {
    const template = 'https://login.microsoftonline.com/{tenantid}/v2.0';
    const tid = '11111111-1111-4111-8111-111111111111';
    const file = (issuer: string, more = ''): string =>
      GOOD.replace('https://idp.example', `'${issuer}'`).replace('  client_id', `${more}  client_id`);
    expect(await problemsOf(file(template, `  allowed_tids: [${tid}]\n`))).toEqual([]);
    expect(await problemsOf(file(template))).toEqual([
      expect.stringMatching('allowed_tids: and {tenantid} in the issuer'),
    ]);
    expect(await problemsOf(file('https://idp.example', `  allowed_tids: [${tid}]\n`))).toHaveLength(1);
    expect(await problemsOf(file(template, '  allowed_tids: []\n'))).not.toEqual([]);
    expect(await problemsOf(file(template, `  allowed_tids: [${tid.toUpperCase().replace('1', 'A')}]\n`))).toHaveLength(
      1,
    );
    for (const issuer of [`${template}/{tenantid}/`, 'https://{tenantid}.idp.example/', template.replace('id}', 'ID}')])
      expect(await problemsOf(file(issuer, `  allowed_tids: [${tid}]\n`))).not.toEqual([]);
    const consumers = '9188040d-6c67-4c5b-b112-36a304b66dad';
    expect(await problemsOf(file(template, `  allowed_tids: [${consumers}]\n`))).toEqual([
      expect.stringMatching('private accounts'),
    ]);
    expect(await problemsOf(file(template.replace('{tenantid}', 'organizations')))).toEqual([
      expect.stringMatching('nobody’s issuer|nobody.s issuer'),
    ]);
  });

  it('lets nobody in without a connection, which is wrong, and said', async () => {
    expect(await problemsOf('id: acme\n')).toEqual([expect.stringMatching('oidc: is required, or links')]);
    expect(await problemsOf(GOOD.replace('groups:', 'session: { idle: 30 }\ngroups:'))).toEqual([
      expect.stringMatching('must be a duration such as'),
    ]);
  });

  it('is told when its provider has no such flow, and when a delimiter would split words', async () => {
    const file = (more: string): string => GOOD.replace('  client_id', `${more}  client_id`);
    expect(await problemsOf(file('  preset: gitlab\n  flow: implicit\n'))).toEqual([
      expect.stringMatching('flow: must be code'),
    ]);
    expect(await problemsOf(file('  preset: gitlab\n'))).toEqual([]);
    expect(await problemsOf(file('  roles_delimiter: a\n'))).toHaveLength(1);
    expect(await problemsOf(file("  roles_delimiter: ', '\n"))).toEqual([]);
  });

  it('may speak plain http in production to loopback only', async () => {
    const plain = (host: string) =>
      GOOD.replace('https://idp.example', `http://${host}`).replace(
        '  client_id',
        '  allow_insecure: true\n  client_id',
      );
    expect(await problemsOf(plain('localhost:3001'), {}, true)).toEqual([]);
    expect(await problemsOf(plain('idp.example'), {}, true)).toEqual([expect.stringContaining('loopback hosts only')]);
    expect(await problemsOf(plain('idp.example'), {}, false)).toEqual([]);
  });

  it('takes values from the environment and from files, and a change there is a change of it', async () => {
    await writeFile(join(dir, 'secret'), 'from-a-file\n');
    await write('acme.yaml', GOOD.replace('gatehouse', `"\${PREFIX}-\${file:${join(dir, 'secret')}}"`));
    const folder = folderOf({ PREFIX: 'x' });
    await folder.scan();
    expect(folder.files()[0]?.oidc?.client_id).toBe('x-from-a-file');
    await writeFile(join(dir, 'secret'), 'changed!\n');
    expect(kinds(await folder.scan())).toEqual(['changed acme']);
    expect(folder.files()[0]?.oidc?.client_id).toBe('x-changed!');
  });
});

describe('the folder', () => {
  it('says only what changed since the last look', async () => {
    const folder = folderOf();
    await write('acme.yaml', GOOD);
    expect(kinds(await folder.scan())).toEqual(['added acme']);
    expect(await folder.scan()).toEqual([]);
    await write('acme.yaml', `${GOOD}name: Acme\n`);
    expect(kinds(await folder.scan())).toEqual(['changed acme']);
    await rm(join(dir, 'tenants', 'acme.yaml'));
    expect(kinds(await folder.scan())).toEqual(['removed acme']);
    expect(folder.files()).toEqual([]);
  });

  it('keeps what a tenant had when its file goes wrong', async () => {
    const folder = folderOf();
    await write('acme.yaml', GOOD);
    await folder.scan();
    await write('acme.yaml', 'id: [');
    expect(await folder.scan()).toMatchObject([{ kind: 'refused', id: 'acme', kept: true }]);
    expect(folder.files()).toHaveLength(1);
    expect(await folder.scan()).toEqual([]); // said once
  });

  it('lets nobody take another tenant’s slug or host, whatever the case, and gives it when it is free', async () => {
    const folder = folderOf();
    await write('acme.yaml', `${GOOD}hosts: [login.acme.example]\n`);
    await folder.scan();
    await write('aaa.yaml', GOOD.replace('id: acme', 'id: aaa').replace('AcmeCorp', 'ACMECORP'));
    await write(
      'bbb.yaml',
      `${GOOD.replace('id: acme', 'id: bbb').replace('AcmeCorp', 'bbb')}hosts: [login.acme.example]\n`,
    );
    await write('acme.yml', GOOD.replace('AcmeCorp', 'another'));
    expect(kinds(await folder.scan()).sort()).toEqual(['refused aaa', 'refused acme', 'refused bbb']);
    await rm(join(dir, 'tenants', 'acme.yaml'));
    expect(kinds(await folder.scan()).sort()).toEqual(['added aaa', 'added acme', 'added bbb', 'removed acme']);
  });

  it('looks at YAML files only', async () => {
    await write('.hidden.yaml', 'x');
    await write('README.md', 'x');
    await write('acme.yaml.bak', 'x');
    expect(await folderOf().scan()).toEqual([]);
  });

  it('that cannot be listed for a while takes no tenant away', async () => {
    const folder = folderOf();
    await write('acme.yaml', GOOD);
    await folder.scan();
    await rename(join(dir, 'tenants'), join(dir, 'elsewhere'));
    await expect(folder.scan()).rejects.toThrow('ENOENT');
    expect(folder.files()).toHaveLength(1);
    await rename(join(dir, 'elsewhere'), join(dir, 'tenants'));
    expect(await folder.scan()).toEqual([]);
  });

  it('lets two tenants swap their slugs, and says a clash once', async () => {
    const folder = folderOf();
    const named = (id: string, slug: string) =>
      write(`${id}.yaml`, GOOD.replace('id: acme', `id: ${id}`).replace('AcmeCorp', slug));
    await named('aaa', 'one');
    await named('bbb', 'two');
    await folder.scan();
    await named('aaa', 'two');
    expect(kinds(await folder.scan())).toEqual(['refused aaa']);
    expect(await folder.scan()).toEqual([]);
    await named('bbb', 'one');
    expect(kinds(await folder.scan())).toEqual(['changed aaa', 'changed bbb']);
    expect(folder.files().map(({ id, slug }) => `${id} ${slug}`)).toEqual(['aaa two', 'bbb one']);
  });

  it('is not stopped by a file that contains itself, or that is none', async () => {
    await write('loop.yaml', 'id: loop\ngroups: &a [*a]\n');
    await mkdir(join(dir, 'tenants', 'folder.yaml'));
    execFileSync('mkfifo', [join(dir, 'tenants', 'pipe.yaml')]);
    await write('acme.yaml', GOOD);
    expect(kinds(await folderOf().scan()).sort()).toEqual([
      'added acme',
      'refused folder',
      'refused loop',
      'refused pipe',
    ]);
  });

  it('sees a change that came while it was reading', async () => {
    const folder = folderOf();
    for (let round = 0; round < 300; round++) {
      const before = write('acme.yaml', `${GOOD}name: before ${round}\n`);
      const scanning = folder.scan();
      await before;
      await write('acme.yaml', `${GOOD}name: after ${round}\n`);
      await scanning;
      await folder.scan();
      expect(folder.files()[0]?.name).toBe(`after ${round}`);
    }
  });
});
