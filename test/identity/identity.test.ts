import { describe, expect, it } from 'vitest';
import { isEmail } from '../../src/identity/email.ts';
import { type ClaimRules, readPerson } from '../../src/identity/identity.ts';

const RULES: ClaimRules = { claims: { roles: ['roles'], email: ['email'] }, optional_claims: [] };
const CLAIMS = { sub: 'ada', email: 'ada@acme.example', name: 'Ada', roles: ['a'] };

function read(change: Record<string, unknown>, rules: Partial<ClaimRules> = {}) {
  const claims = JSON.parse(JSON.stringify({ ...CLAIMS, ...change }));
  return readPerson(claims, { ...RULES, ...rules });
}

function refusals(change: Record<string, unknown>, rules: Partial<ClaimRules> = {}): string[] {
  const result = read(change, rules);
  return result.ok ? [] : result.refusal.map(({ reason, evidence }) => `${reason} ${evidence?.claim}`);
}

function identity(change: Record<string, unknown>, rules: Partial<ClaimRules> = {}) {
  const result = read(change, rules);
  if (!result.ok) throw new Error(JSON.stringify(result.refusal));
  return result.value;
}

describe('names', () => {
  const cases: [string, Record<string, unknown>, Record<string, unknown>][] = [
    [
      'name stands in for what is absent',
      {},
      { name: 'Ada', preferred_username: 'Ada', given_name: 'Ada', family_name: 'Ada' },
    ],
    [
      'preferred_username stands in for name',
      { name: undefined, preferred_username: 'ada7' },
      { name: 'ada7', preferred_username: 'ada7', given_name: 'ada7' },
    ],
    [
      'what is there stays',
      { preferred_username: 'u', given_name: 'g', family_name: 'f' },
      { name: 'Ada', preferred_username: 'u', given_name: 'g', family_name: 'f' },
    ],
    ['an empty name is none', { name: '', preferred_username: 'u' }, { name: 'u' }],
    ['null is none', { name: null, preferred_username: 'u' }, { name: 'u' }],
  ];
  it.each(cases)('%s', (_what, change, expected) => {
    expect(identity(change).identity).toMatchObject(expected);
  });

  it('of which neither is there are a refusal, unless the tenant does without', () => {
    expect(refusals({ name: undefined })).toEqual(['claim_missing name']);
    expect(identity({ name: undefined }, { optional_claims: ['name'] }).identity.name).toBeNull();
  });
});

describe('required claims', () => {
  const cases: [string, Record<string, unknown>, string][] = [
    ['no sub', { sub: undefined }, 'claim_missing sub'],
    ['an empty sub', { sub: '' }, 'claim_malformed sub'],
    ['a sub of 256 characters', { sub: 'x'.repeat(256) }, 'claim_malformed sub'],
    ['a sub beyond ASCII', { sub: 'adä' }, 'claim_malformed sub'],
    ['a sub with a line break', { sub: 'a\nb' }, 'claim_malformed sub'],
    ['a numeric sub', { sub: 7 }, 'claim_malformed sub'],
    ['no e-mail', { email: undefined }, 'claim_missing email'],
    ['null as e-mail', { email: null }, 'claim_missing email'],
    ['an e-mail list', { email: ['a@b.example'] }, 'claim_malformed email'],
    ['an e-mail with two @', { email: 'a@evil.example@acme.example' }, 'claim_malformed email'],
    ['no roles', { roles: undefined }, 'claim_missing roles'],
    ['roles as an object', { roles: { a: 1 } }, 'claim_malformed roles'],
    ['roles as a number', { roles: 7 }, 'claim_malformed roles'],
    ['roles as true', { roles: true }, 'claim_malformed roles'],
    ['roles that are not all text', { roles: ['a', 7] }, 'claim_malformed roles'],
    ['nested roles', { roles: [['a']] }, 'claim_malformed roles'],
    ['1,001 roles', { roles: Array.from({ length: 1_001 }, (_, i) => `r${i}`) }, 'claim_malformed roles'],
    ['a role of 257 characters', { roles: ['x'.repeat(257)] }, 'claim_malformed roles'],
    ['a name that is no text', { name: { first: 'Ada' } }, 'claim_malformed name'],
    ['a name with a control character', { name: 'Ada\u0007' }, 'claim_malformed name'],
  ];
  it.each(cases)('%s: refused', (_what, change, expected) => {
    expect(refusals(change)).toEqual([expected]);
  });

  it('that are wrong are all named at once', () => {
    expect(refusals({ sub: 7, email: 'x', roles: null, name: 7 })).toEqual([
      'claim_malformed sub',
      'claim_malformed email',
      'claim_missing roles',
      'claim_malformed name',
    ]);
  });

  it('may be missing where the tenant says so, and must still be well-formed', () => {
    const rules: Partial<ClaimRules> = { optional_claims: ['email', 'roles'] };
    expect(identity({ email: undefined, roles: undefined }, rules)).toMatchObject({
      roles: [],
      identity: { email: null },
    });
    expect(refusals({ email: 'x', roles: 7 }, rules)).toHaveLength(2);
  });

  it('accepts 1,000 roles of 256 characters, one role as text, and a sub of 255', () => {
    const roles = Array.from({ length: 1_000 }, (_, i) => String(i).padEnd(256, 'x'));
    expect(identity({ roles, sub: '~'.repeat(255) }).roles).toHaveLength(1_000);
    expect(identity({ roles: 'one' }).roles).toEqual(['one']);
    expect(identity({ roles: ['a', 'a', ''] }).roles).toEqual(['a']);
  });
});

describe('where claims are', () => {
  it.each([
    [['realm_access', 'roles'], { realm_access: { roles: ['x'] } }],
    [['cognito:groups'], { 'cognito:groups': ['x'] }],
    [['https://acme.example/roles'], { 'https://acme.example/roles': ['x'] }],
    [['resource_access', 'my.app', 'roles'], { resource_access: { 'my.app': { roles: ['x'] } } }],
  ])('%j', (path, change) => {
    const rules = { claims: { roles: path, email: ['email'] } };
    expect(identity({ roles: undefined, ...change }, rules).roles).toEqual(['x']);
    expect(refusals({ roles: undefined }, rules)).toEqual(['claim_missing roles']);
  });

  it('an inherited property is no claim', () => {
    expect(refusals({}, { claims: { roles: ['toString'], email: ['email'] } })).toEqual(['claim_missing roles']);
    expect(refusals({}, { claims: { roles: ['roles', 'length'], email: ['email'] } })).toEqual(['claim_missing roles']);
  });
});

describe('locale and zoneinfo', () => {
  it.each([
    ['en-GB', 'Europe/Amsterdam', []],
    ['zh-Hans-CN', 'UTC', []],
    ['en_GB', 'Europe/Amsterdam', ['locale']],
    ['not a locale', 'Mars/Olympus', ['locale', 'zoneinfo']],
    [7, '+01:00', ['locale', 'zoneinfo']],
    ['', '', ['locale', 'zoneinfo']],
  ])('%s and %s are dropped only when they are not valid', (locale, zoneinfo, dropped) => {
    const person = identity({ locale, zoneinfo });
    expect(person.dropped).toEqual(dropped);
    expect(person.identity.locale).toBe(dropped.includes('locale') ? null : locale);
    expect(person.identity.zoneinfo).toBe(dropped.includes('zoneinfo') ? null : zoneinfo);
  });
});

describe('an e-mail address', () => {
  it.each([
    'a@b.example',
    'first.last+tag@sub.acme.example',
    "o'neil@acme.example",
    'jörg@exämple.de',
    'x@1.2.example',
  ])('%s is valid', (text) => {
    expect(isEmail(text)).toBe(true);
  });
  it.each([
    '',
    'a',
    '@b.example',
    'a@',
    'a@b',
    'a@@b.example',
    'a@b.example@c.example',
    '.a@b.example',
    'a.@b.example',
    'a..b@c.example',
    'a b@c.example',
    'a@b .example',
    'a@-b.example',
    'a@b..example',
    'a@b.example.',
    '"a"@b.example',
    'a@[127.0.0.1]',
    'a@b.example\n',
    'a\u0000@b.example',
    `${'x'.repeat(65)}@b.example`,
    `a@${'x.'.repeat(130)}example`,
    'a@b.example,c@d.example',
    '<a@b.example>',
  ])('%j is not', (text) => {
    expect(isEmail(text)).toBe(false);
  });
});
