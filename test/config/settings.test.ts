import { describe, expect, it } from 'vitest';
import { parseSettings } from '../../src/config/settings.ts';

const KEY = 'k'.repeat(32);

function problems(environment: Record<string, string>): string[] {
  const settings = parseSettings(environment);
  return 'problems' in settings ? settings.problems.map(({ variable }) => variable) : [];
}

function settings(environment: Record<string, string>) {
  const parsed = parseSettings(environment);
  if ('problems' in parsed) throw new Error(JSON.stringify(parsed.problems));
  return parsed;
}

describe('the environment', () => {
  it('may be empty: the defaults of the contract', () => {
    expect(settings({})).toMatchObject({
      host: '127.0.0.1',
      port: 3000,
      opsHost: '127.0.0.1',
      opsPort: 9090,
      configDir: 'config',
      redisUrl: undefined,
      logLevel: 'info',
    });
    expect(settings({}).publicUrl.origin).toBe('http://127.0.0.1:3000');
    expect(settings({ PORT: '4000' }).publicUrl.origin).toBe('http://127.0.0.1:4000');
    expect(settings({ NODE_ENV: 'production', COOKIE_KEYS: KEY }).host).toBe('0.0.0.0');
  });

  it('treats what is set to nothing as not set', () => {
    expect(settings({ PUBLIC_URL: '', REDIS_URL: '', COOKIE_KEYS: '' }).redisUrl).toBeUndefined();
  });

  const cases: [string, Record<string, string>, string[]][] = [
    ['a public URL in the clear', { PUBLIC_URL: 'http://login.example' }, ['PUBLIC_URL']],
    ['a public URL with a path', { PUBLIC_URL: 'https://login.example/x' }, ['PUBLIC_URL']],
    ['a public URL with a query', { PUBLIC_URL: 'https://login.example/?x' }, ['PUBLIC_URL']],
    ['a public URL that is none', { PUBLIC_URL: 'login.example' }, ['PUBLIC_URL']],
    ['another scheme', { PUBLIC_URL: 'ftp://login.example' }, ['PUBLIC_URL']],
    ['a look-alike of loopback', { PUBLIC_URL: 'http://127.0.0.1.evil.example' }, ['PUBLIC_URL']],
    ['a port that is none', { PORT: '70000', OPS_PORT: 'x' }, ['PORT', 'OPS_PORT']],
    ['a short cookie key', { COOKIE_KEYS: `${KEY},short` }, ['COOKIE_KEYS']],
    ['no cookie keys in production', { NODE_ENV: 'production' }, ['COOKIE_KEYS']],
    ['a proxy that is no address', { TRUSTED_PROXIES: '10.0.0.0/8,nginx' }, ['TRUSTED_PROXIES']],
    ['a network that is too narrow', { TRUSTED_PROXIES: '10.0.0.0/33' }, ['TRUSTED_PROXIES']],
    ['a look-alike of localhost', { PUBLIC_URL: 'http://evillocalhost' }, ['PUBLIC_URL']],
    ['a network with two prefixes', { TRUSTED_PROXIES: '10.0.0.0/8/16' }, ['TRUSTED_PROXIES']],
    ['another store', { REDIS_URL: 'http://x' }, ['REDIS_URL']],
    ['one port for both listeners', { PORT: '9090' }, ['OPS_PORT']],
    ['a store whose password is not encoded', { REDIS_URL: 'redis://:%zz@h' }, ['REDIS_URL']],
    ['an unknown log level', { LOG_LEVEL: 'loud' }, ['LOG_LEVEL']],
    [
      'many things',
      { PUBLIC_URL: 'x', PORT: 'x', LOG_LEVEL: 'x', COOKIE_KEYS: 'x' },
      ['PUBLIC_URL', 'PORT', 'COOKIE_KEYS', 'LOG_LEVEL'],
    ],
  ];
  it.each(cases)('with %s is refused, all of it at once', (_what, environment, expected) => {
    expect(problems(environment).sort()).toEqual([...expected].sort());
  });

  it.each([
    'http://localhost:3000',
    'http://app.localhost',
    'http://127.0.0.2:1',
    'http://[::1]:3000',
    'https://login.example',
  ])('may say %s', (url) => {
    expect(problems({ PUBLIC_URL: url })).toEqual([]);
  });

  it('never shows a value that may be secret', () => {
    const shown = JSON.stringify(
      parseSettings({ COOKIE_KEYS: 'topsecret', REDIS_URL: 'topsecret://x', PUBLIC_URL: 'topsecret' }),
    );
    expect(shown).not.toContain('topsecret');
    expect(JSON.stringify(settings({ COOKIE_KEYS: KEY, REDIS_URL: 'redis://:topsecret@x' }))).not.toMatch(
      /topsecret|kkkk/,
    );
  });

  it('trusts proxies by address and by network, in both families', () => {
    const { trustedProxies } = settings({ TRUSTED_PROXIES: '10.1.0.0/16, ::1, 192.0.2.7' });
    expect(['10.1.2.3', '::1', '192.0.2.7', '::ffff:10.1.2.3'].map(trustedProxies.has)).toEqual([
      true,
      true,
      true,
      true,
    ]);
    expect(['10.2.0.0', '192.0.2.8', 'x', ''].map(trustedProxies.has)).toEqual([false, false, false, false]);
  });
});
