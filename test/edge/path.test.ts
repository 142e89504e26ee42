import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { canonicalPath, pathWithin } from '../../src/edge/path.ts';

const canonical = (raw: string): string | undefined => {
  const result = canonicalPath(raw);
  return result.ok ? result.value : undefined;
};

describe('a path has one form', () => {
  it.each([
    ['/', '/'],
    ['/AcmeCorp/admin', '/AcmeCorp/admin'],
    ['/a/', '/a/'],
    ['/%41cmeCorp/%61dmin', '/AcmeCorp/admin'],
    ['/caf%c3%a9', '/caf%C3%A9'],
    ["/a!$&'()*+,=:@-._~b", "/a!$&'()*+,=:@-._~b"],
    ['/a%20b%22%3c', '/a%20b%22%3C'],
    ['/100%25', '/100%25'],
    ['/.well-known/x', '/.well-known/x'],
    ['/a..b/...', '/a..b/...'],
  ])('%s -> %s', (raw, form) => {
    expect(canonical(raw)).toBe(form);
  });

  it.each([
    '',
    'a',
    '/a//b',
    '//a',
    '/a/./b',
    '/a/../b',
    '/a/..',
    '/a/%2e%2e/b',
    '/a/%2E./b',
    '/a%2fb',
    '/a%5cb',
    '/a\\b',
    '/a;x/b',
    '/a%3bx/b',
    '/a#b',
    '/a?b',
    '/a%00',
    '/a%0d%0ab',
    '/a%7f',
    '/a%252e%252e/b',
    '/a%252f',
    '/a/%25%32%65%25%32%65/b',
    '/a%25%32%66',
    '/a%2525',
    '/%',
    '/%z1',
    '/%ff',
    '/%c0%af',
    '/ä',
    '/a b',
    `/${'a'.repeat(9_000)}`,
  ])('what two servers may read differently is refused: %j', (raw) => {
    expect(canonical(raw)).toBeUndefined();
  });

  it('which is its own canonical form, and decodes to no further segments', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ minLength: 1 })), (segments) => {
        const once = canonical(`/${segments.map(encodeURIComponent).join('/')}`);
        if (once === undefined) return;
        expect(canonical(once)).toBe(once);
        expect(decodeURIComponent(once).split('/')).toHaveLength(once.split('/').length);
      }),
    );
  });

  it('of which the tenant’s part is cut off by segments', () => {
    const within = (raw: string, segments: 0 | 1) => {
      const path = canonicalPath(raw);
      return path.ok ? pathWithin(path.value, segments) : undefined;
    };
    expect(within('/AcmeCorp', 1)).toBe('/');
    expect(within('/AcmeCorp/', 1)).toBe('/');
    expect(within('/AcmeCorp/a/b', 1)).toBe('/a/b');
    expect(within('/a/b', 0)).toBe('/a/b');
  });
});
