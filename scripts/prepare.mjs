/**
 * Makes a fresh machine ready before `npm start` and `npm test`: npm packages where they are missing or not those of the
 * lock file, and, for the tests, Redis, Chromium, nginx, Caddy, HAProxy, PyJWT and ruby-jwt from Debian's packages. Plain JavaScript, because it runs on whatever
 * Node (20 or newer) the machine has; everything after it runs on the Node 26 that it installs.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';

const MARK = 'node_modules/.installed-from';
const run = (command, args) => execFileSync(command, args, { stdio: ['ignore', 'inherit', 'inherit'] });
const has = (command) => succeeds(`command -v ${command}`);
const succeeds = (test) => {
  try {
    execFileSync('sh', ['-c', `PATH=$PATH:/usr/sbin:/sbin; ${test}`], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
};

const wanted = createHash('sha256').update(readFileSync('package-lock.json')).digest('hex');
if (!existsSync(MARK) || readFileSync(MARK, 'utf8') !== wanted) {
  run('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error']);
  writeFileSync(MARK, wanted);
}

if (process.argv[2] === 'test') {
  const packages = [
    ['redis-server', 'redis-server'],
    ['chromium', 'chromium'],
    ['nginx', 'nginx-light'],
    ['caddy', 'caddy'],
    ['haproxy', 'haproxy'],
  ]
    .filter(([command]) => !has(command))
    .map(([, name]) => name);
  // what apps and senders of links use, each with its own words for a token
  if (!succeeds('/usr/bin/python3 -c "import jwt, cryptography"')) packages.push('python3-jwt', 'python3-cryptography');
  if (!succeeds("ruby -e 'require %q(jwt)'")) packages.push('ruby', 'ruby-jwt');
  if (packages.length > 0) {
    if (!has('apt-get')) throw new Error(`Please install: ${packages.join(', ')}`);
    process.env.DEBIAN_FRONTEND = 'noninteractive';
    run('apt-get', ['update', '-qq']);
    run('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...packages]);
  }
}
