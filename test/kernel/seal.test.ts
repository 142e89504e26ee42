import { describe, expect, it } from 'vitest';
import { createSealer } from '../../src/kernel/seal.ts';
import { Secret } from '../../src/kernel/secret.ts';

const key = (letter: string) => new Secret(letter.repeat(32));

describe('what is sealed', () => {
  it('is opened by the same keys and for the same purpose only', async () => {
    const sealed = await createSealer([key('a')], 'one').seal({ x: 1 });
    expect(await createSealer([key('a')], 'one').open(sealed)).toEqual({ x: 1 });
    expect(await createSealer([key('b')], 'one').open(sealed)).toBeUndefined();
    expect(await createSealer([key('a')], 'other').open(sealed)).toBeUndefined();
  });

  it('survives a rotation: the first key seals, all open', async () => {
    const before = await createSealer([key('a')], 'one').seal('x');
    const rotated = createSealer([key('b'), key('a')], 'one');
    expect(await rotated.open(before)).toBe('x');
    const after = await rotated.seal('y');
    expect(await createSealer([key('b')], 'one').open(after)).toBe('y');
    expect(await createSealer([key('a')], 'one').open(after)).toBeUndefined();
  });

  it('differs each time (CVE-2021-32791), is URL-safe and hides its content', async () => {
    const sealer = createSealer([key('a')], 'one');
    const sealed = [await sealer.seal({ tenant: 'acme' }), await sealer.seal({ tenant: 'acme' })];
    expect(new Set(sealed).size).toBe(2);
    for (const one of sealed) {
      expect(one).toMatch(/^[\w.-]+$/);
      expect(Buffer.from(one.split('.')[3] ?? '', 'base64url').toString()).not.toContain('acme');
    }
  });

  it('cannot be changed, shortened or made up', async () => {
    const sealer = createSealer([key('a')], 'one');
    const sealed = await sealer.seal({ x: 1 });
    const none = 'eyJhbGciOiJub25lIn0.e30.';
    for (const wrong of ['', 'x', 'a.b.c.d.e', none, sealed.slice(0, -1), `${sealed}A`, sealed.replace(/^./, 'f')])
      expect(await sealer.open(wrong)).toBeUndefined();
  });
});
