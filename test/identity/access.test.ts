import { describe, expect, it } from 'vitest';
import { type AccessRule, decideAccess } from '../../src/identity/access.ts';
import { identityHeaders } from '../../src/identity/headers.ts';

const RULES: AccessRule[] = [
  { path: '/admin/public', anonymous: true },
  { path: '/admin/**', groups: ['admins'] },
  { path: '/users/*/edit', groups: ['admins', 'editors'] },
  { path: '/public/**', anonymous: true },
  { path: '/café', groups: ['admins'] },
];

describe('access', () => {
  it.each([
    ['/admin', ['readers'], 'deny'],
    ['/admin', ['admins'], 'allow'],
    ['/admin/', ['readers'], 'deny'],
    ['/admin/x/y', ['readers'], 'deny'],
    ['/admin/x', undefined, 'sign_in'],
    ['/admin/public', undefined, 'allow'],
    ['/admin/public/x', undefined, 'sign_in'],
    ['/administrators', ['readers'], 'allow'],
    ['/Admin', ['readers'], 'allow'],
    ['/users/7/edit', ['readers'], 'deny'],
    ['/users/7/edit', ['editors'], 'allow'],
    ['/users/7/8/edit', ['readers'], 'allow'],
    ['/users//edit', ['readers'], 'allow'],
    ['/public', undefined, 'allow'],
    ['/public/a/b', undefined, 'allow'],
    ['/publicity', undefined, 'sign_in'],
    ['/caf%C3%A9', ['readers'], 'deny'],
    ['/', [], 'allow'],
    ['/', undefined, 'sign_in'],
  ] as const)('to %s for %j: %s', (path, groups, decision) => {
    expect(decideAccess(RULES, path, groups)).toBe(decision);
  });

  it('by the first rule that matches', () => {
    const reversed = [...RULES].reverse();
    expect(decideAccess(reversed, '/admin/public', undefined)).toBe('sign_in');
  });

  it('of all, by a rule for all', () => {
    expect(decideAccess([{ path: '/**', groups: ['a'] }], '/', ['b'])).toBe('deny');
    expect(decideAccess([{ path: '/**', groups: ['a'] }], '/x/y', ['b'])).toBe('deny');
  });
});

describe('the headers that tell an app who it is', () => {
  const person = {
    tenant: 'acme',
    sub: 'ada',
    email: 'a@b.example',
    name: 'Ada',
    preferred_username: null,
    groups: ['a', 'b c'],
  };

  it('hold each value once, and nothing for what is not known', () => {
    expect(identityHeaders(person)).toEqual({
      'X-Auth-Request-User': 'ada',
      'X-Auth-Request-Email': 'a@b.example',
      'X-Auth-Request-Name': 'Ada',
      'X-Auth-Request-Groups': 'a,b c',
      'X-Auth-Request-Tenant': 'acme',
    });
  });

  it.each([
    ['Jörg Ümlaut 100%', 'J%C3%B6rg%20%C3%9Cmlaut%20100%25'],
    ['日本', '%E6%97%A5%E6%9C%AC'],
    ['a\r\nX-Evil: 1', 'a%0D%0AX-Evil:%201'],
    [' a', '%20a'],
    ['100% Ada', '100% Ada'],
    ['\ud800', '%EF%BF%BD'],
    ['\u0000', '%00'],
  ])('encode what is not printable: %j -> %s', (name, value) => {
    expect(identityHeaders({ ...person, name })['X-Auth-Request-Name']).toBe(value);
  });
});
