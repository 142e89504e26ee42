import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseJsonObject } from '../../src/kernel/json.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

describe('a JSON object', () => {
  it('is read as JSON.parse reads it', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (value) => {
        const text = JSON.stringify(value);
        expect(parseJsonObject(bytes(text))).toEqual(JSON.parse(text));
      }),
    );
  });

  it('with any member named twice is none', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue(), { minKeys: 1 }), fc.nat(), (value, pick) => {
        const names = Object.keys(value);
        const name = JSON.stringify(names[pick % names.length]);
        const text = JSON.stringify(value);
        expect(parseJsonObject(bytes(`${text.slice(0, -1)},${name} \n:1}`))).toBeUndefined();
        expect(parseJsonObject(bytes(`{"outer":[${text.slice(0, -1)},${name}${' '.repeat(99)}:1}]}`))).toBeUndefined();
      }),
    );
  });

  it.each(['', '[]', 'null', '"x"', '1', '{', '{"a":1}x', '{a:1}', "{'a':1}", '\ufeff{}', '{"a":1,}'])(
    'is not %j',
    (text) => {
      expect(parseJsonObject(bytes(text))).toBeUndefined();
    },
  );

  it('is UTF-8', () => {
    expect(parseJsonObject(new Uint8Array([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]))).toBeUndefined();
  });

  it.each([
    '{"a":"a","b":"b"}',
    '{"a":{"a":1},"b":[{"a":1},{"a":1}]}',
    '{"x":"\\"a\\":","a":1}',
    '{"x":["a","a"],"y":"{\\"a\\":1,\\"a\\":2}"}',
  ])('may repeat what is no name: %s', (text) => {
    expect(parseJsonObject(bytes(text))).toBeDefined();
  });
});
