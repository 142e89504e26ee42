/** The programs that the bench compares, with their configurations, as an operator of each would write them. */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Adversary } from '../../test/support/adversary.ts';

const MODULES = '/usr/lib/apache2/modules';

export type Server = { readonly child: ChildProcess; readonly cpuSeconds: () => number };

/** What it prints goes nowhere: reading it would cost the machine that is measured. */
export function serve(command: string, args: readonly string[], environment: Record<string, string> = {}): Server {
  const child = spawn(command, args, { env: { PATH: process.env.PATH ?? '', ...environment }, stdio: 'ignore' });
  return { child, cpuSeconds: () => cpuOf(child.pid ?? 0) };
}

/** Of a process and all that it started: proc(5), fields 4, 14 and 15 of `stat`, in hundredths of a second. */
function cpuOf(root: number): number {
  let total = 0;
  for (const pid of [root, ...childrenOf(root)]) {
    try {
      const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
        .replace(/^.*\) /s, '')
        .split(' ');
      total += (Number(fields[11]) + Number(fields[12])) / 100;
    } catch {} // it ended meanwhile
  }
  return total;
}

function childrenOf(pid: number): number[] {
  try {
    const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
    const children = text === '' ? [] : text.split(' ').map(Number);
    return children.flatMap((child) => [child, ...childrenOf(child)]);
  } catch {
    return [];
  }
}

type ApacheOptions = {
  readonly dir: string;
  readonly port: number;
  readonly idp: Adversary;
  readonly redisPort: number;
  readonly upstreamPort: number;
  readonly tuned: boolean;
};

/** mod_auth_openidc with sessions in Redis, Debian's settings otherwise; `/static/` is a file of 1 KiB, `/app/` is proxied. */
export async function apache(options: ApacheOptions): Promise<Server> {
  const { dir, port, idp, redisPort, upstreamPort, tuned } = options;
  const home = join(dir, `apache-${port}`);
  await mkdir(join(home, 'htdocs', 'static'), { recursive: true });
  await writeFile(join(home, 'htdocs', 'static', 'page.html'), 'x'.repeat(1024));
  const modules = ['mpm_event', 'authz_core', 'authn_core', 'authz_user', 'proxy', 'proxy_http', 'auth_openidc'];
  const lines = [
    `ServerRoot ${home}`,
    'ServerName 127.0.0.1',
    `Listen 127.0.0.1:${port}`,
    ...modules.map((name) => `LoadModule ${name}_module ${MODULES}/mod_${name}.so`),
    'User www-data',
    'Group www-data',
    `PidFile ${home}/pid`,
    `ErrorLog ${home}/error.log`,
    `DocumentRoot ${home}/htdocs`,
    'StartServers 2',
    'ThreadsPerChild 64',
    'MaxRequestWorkers 128',
    'ServerLimit 2',
    'KeepAlive On',
    `MaxKeepAliveRequests ${tuned ? 0 : 100}`,
    `OIDCProviderMetadataURL ${idp.issuer}/.well-known/openid-configuration`,
    'OIDCClientID gatehouse-acme',
    'OIDCResponseType id_token',
    'OIDCResponseMode form_post',
    `OIDCRedirectURI http://127.0.0.1:${port}/callback`,
    'OIDCCryptoPassphrase a-passphrase-of-the-bench-only-32-bytes',
    'OIDCCacheType redis',
    `OIDCRedisCacheServer 127.0.0.1:${redisPort}`,
    // as few writes and as little cryptography for each request as it lets one choose
    ...(tuned
      ? [
          'OIDCCacheEncrypt Off',
          'OIDCSessionInactivityTimeout 3600',
          'OIDCPassClaimsAs headers',
          'OIDCPassIDTokenAs claims',
          'OIDCInfoHook iat',
          'LogLevel crit',
        ]
      : []),
    `<Directory ${home}/htdocs>`,
    'AllowOverride None',
    '</Directory>',
    '<Location />',
    'AuthType openid-connect',
    'Require valid-user',
    '</Location>',
    `ProxyPass /app/ http://127.0.0.1:${upstreamPort}/ keepalive=On`,
  ];
  await writeFile(join(home, 'httpd.conf'), `${lines.join('\n')}\n`);
  await writeFile(join(home, 'error.log'), '');
  return serve('/usr/sbin/apache2', ['-f', join(home, 'httpd.conf'), '-DFOREGROUND']);
}

/** nginx with one worker, that asks `authPort` about each request for a file of 1 KiB, by kept connections. */
export async function nginx(dir: string, port: number, authPort: number): Promise<Server> {
  const home = join(dir, `nginx-${port}`);
  await mkdir(join(home, 'html', 'AcmeCorp'), { recursive: true });
  await writeFile(join(home, 'html', 'AcmeCorp', 'page'), 'x'.repeat(1024));
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  const configuration = `
daemon off; pid ${home}/pid; error_log ${home}/error.log; worker_processes 1; user root;
events {}
http {
  access_log off; keepalive_requests 1000000000;
  ${temporary.map((kind) => `${kind}_temp_path ${home}/${kind};`).join(' ')}
  upstream auth { server 127.0.0.1:${authPort}; keepalive 64; keepalive_requests 1000000000; }
  server {
    listen 127.0.0.1:${port};
    root ${home}/html;
    location = /auth {
      internal;
      proxy_pass http://auth/SSO/Auth;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_pass_request_body off;
      proxy_set_header Content-Length "";
      proxy_set_header X-Forwarded-Host $http_host;
      proxy_set_header X-Forwarded-Uri $request_uri;
    }
    location / {
      auth_request /auth;
      auth_request_set $user $upstream_http_x_auth_request_user;
    }
  }
}
`;
  await writeFile(join(home, 'nginx.conf'), configuration);
  return serve('/usr/sbin/nginx', ['-p', home, '-c', join(home, 'nginx.conf')]);
}
