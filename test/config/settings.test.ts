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
      redis: undefined,
      logLevel: 'info',
    });
    expect(settings({}).publicUrl.origin).toBe('http://127.0.0.1:3000');
    expect(settings({ PORT: '4000' }).publicUrl.origin).toBe('http://127.0.0.1:4000');
    expect(settings({ NODE_ENV: 'production', COOKIE_KEYS: KEY }).host).toBe('0.0.0.0');
  });

  it('treats what is set to nothing as not set', () => {
    expect(settings({ PUBLIC_URL: '', REDIS_URL: '', COOKIE_KEYS: '' }).redis).toBeUndefined();
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
    ['a Sentinel without the name of a group', { REDIS_URL: 'redis+sentinel://a,b' }, ['REDIS_URL']],
    ['a Sentinel with a database that is none', { REDIS_URL: 'redis+sentinel://a,b/main/x' }, ['REDIS_URL']],
    ['a Cluster without a host', { REDIS_URL: 'redis+cluster://a,/' }, ['REDIS_URL']],
    ['a Cluster with a database, which it has not', { REDIS_URL: 'redis+cluster://a/1' }, ['REDIS_URL']],
    ['a port that is none, of one of several', { REDIS_URL: 'redis+cluster://a:6379,b:x' }, ['REDIS_URL']],
    ['a store with a parameter that nobody knows', { REDIS_URL: 'redis+sentinel://a/main?tls=1' }, ['REDIS_URL']],
    ['a store whose password is not encoded', { REDIS_URL: 'redis://:%zz@h' }, ['REDIS_URL']],
    ['a delay that is none', { DRAIN_DELAY: '5' }, ['DRAIN_DELAY']],
    ['a delay that is too long', { DRAIN_DELAY: '21s' }, ['DRAIN_DELAY']],
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

  it.each<[string, object]>([
    ['redis://h:7000/2', { kind: 'single' }],
    [
      'redis+sentinel://h1,h2:7000/main',
      {
        kind: 'sentinel',
        sentinels: [
          { host: 'h1', port: 26379 },
          { host: 'h2', port: 7000 },
        ],
        name: 'main',
        db: 0,
        tls: false,
      },
    ],
    ['rediss+sentinel://ada:x@h1/main/3?sentinel_password=y', { kind: 'sentinel', username: 'ada', db: 3, tls: true }],
    [
      'redis+cluster://[::1]:80,h2',
      {
        kind: 'cluster',
        nodes: [
          { host: '::1', port: 80 },
          { host: 'h2', port: 6379 },
        ],
        tls: false,
      },
    ],
    ['rediss+cluster://:p%40ss@h1', { kind: 'cluster', tls: true }],
  ])('reaches Redis by %s', (url, address) => {
    expect(settings({ REDIS_URL: url }).redis).toMatchObject(address);
  });

  it('keeps the passwords of all of them to itself', () => {
    const { redis } = settings({ REDIS_URL: 'redis+sentinel://u:top%40hidden@h1/main?sentinel_password=more-hidden' });
    expect(JSON.stringify(redis)).not.toContain('hidden');
    expect(redis?.kind === 'sentinel' && [redis.password?.reveal(), redis.sentinel.password?.reveal()]).toEqual([
      'top@hidden',
      'more-hidden',
    ]);
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
