import { describe, expect, it } from 'vitest';
import { tenantFileSchema } from '../../src/config/tenant-file.ts';
import { parseReturnPath } from '../../src/sign-in/return-path.ts';
import { createTenant } from '../../src/tenants/tenant.ts';

const tenant = createTenant(
  tenantFileSchema.parse({ id: 'acme', slug: 'AcmeCorp', oidc: { issuer: 'https://idp.example', client_id: 'x' } }),
);
const ORIGIN = 'https://login.example';
const shared = { tenant, site: { origin: ORIGIN, scheme: 'https', host: new URL(ORIGIN).host, prefix: '/AcmeCorp' } };
const own = { tenant, site: { origin: 'https://acme.example', scheme: 'https', host: 'acme.example', prefix: '' } };

describe('a return path', () => {
  it.each([
    '/AcmeCorp',
    '/AcmeCorp/',
    '/AcmeCorp/some/page?x=1&y=%20z#part',
    '/acmecorp/x',
    '/%41cmeCorp/x',
    '/AcmeCorp//evil.example',
    '/AcmeCorp/?next=https://evil.example',
    '/AcmeCorp/a|b',
  ])('within the tenant stays as it is: %s', (path) => {
    expect(parseReturnPath(path, shared)).toBe(path);
  });

  it('may be a whole URL of the tenant’s own', () => {
    expect(parseReturnPath(`${ORIGIN}/AcmeCorp/x?y=1`, shared)).toBe('/AcmeCorp/x?y=1');
    expect(parseReturnPath('https://acme.example/x', own)).toBe('/x');
  });

  it('that is too long loses its query, then itself', () => {
    expect(parseReturnPath(`/AcmeCorp/x?${'y'.repeat(5_000)}`, shared)).toBe('/AcmeCorp/x');
    expect(parseReturnPath(`/AcmeCorp/${'y'.repeat(5_000)}`, shared)).toBe('/AcmeCorp');
  });
});

/** Strings that have fooled somebody: encodings of "elsewhere" that parsers read differently. */
const HOSTILE = [
  'https://evil.example',
  'https://evil.example/AcmeCorp/x',
  '//evil.example',
  '//evil.example/AcmeCorp/x',
  '///evil.example',
  '////evil.example',
  '/\\evil.example',
  '\\\\evil.example',
  '\\/evil.example',
  '/\t/evil.example',
  '/\n/evil.example',
  '/%09/evil.example',
  '/%5cevil.example',
  '/%2f/evil.example',
  '/./evil.example',
  '/.//evil.example',
  '/..//evil.example',
  '/%2e//evil.example',
  '/AcmeCorp/..//evil.example',
  '/AcmeCorp/../globex',
  '/AcmeCorp/%2e%2e/globex',
  '/AcmeCorp/.%2E/%2E./globex',
  '/AcmeCorp\\..\\globex',
  '/AcmeCorpEvil',
  '/AcmeCorp%2f..%2fglobex',
  '/AcmeCorp%00',
  '/globex',
  '/SSO/OIDC/acme/SignOut',
  '/sso/OIDC/acme/SignOut',
  'javascript:alert(1)',
  'JaVaScRiPt:alert(1)',
  'java\tscript:alert(1)',
  'data:text/html,x',
  'vbscript:x',
  'http\\://evil.example',
  'http:evil.example',
  'https:/evil.example',
  'https:///evil.example',
  'https://login.example@evil.example/AcmeCorp/x',
  'https://login.example:443@evil.example/AcmeCorp',
  'https://evil@login.example/AcmeCorp/x',
  'https://login.example.evil.example/AcmeCorp',
  'https://login.example:8443/AcmeCorp/x',
  'http://login.example/AcmeCorp/x',
  'https://login.example\\@evil.example/AcmeCorp',
  'https://login。example/AcmeCorp',
  '?x',
  '#x',
  'AcmeCorp',
  './AcmeCorp',
  ' /AcmeCorp',
  '/AcmeCorp\r\nSet-Cookie: x=1',
  '/AcmeCorp\u0000',
  '/%',
  '/%ff/AcmeCorp',
  '〱evil.example',
  '/〱evil.example',
  'ftp://login.example/AcmeCorp',
  '',
];

describe('an open redirect', () => {
  it.each(HOSTILE)('does not come of %j', (asked) => {
    expect(parseReturnPath(asked, shared)).toBe('/AcmeCorp');
  });

  it.each(HOSTILE)('does not come of %j at a host of the tenant’s own', (asked) => {
    const path = parseReturnPath(asked, own);
    expect(new URL(`${own.site.origin}${path}`).origin).toBe(own.site.origin);
    expect(new URL(path, own.site.origin).origin).toBe(own.site.origin);
    expect(path).toMatch(/^\/(?![/\\])/);
    expect(path.toLowerCase()).not.toMatch(/^\/sso/);
  });
});
