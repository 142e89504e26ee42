/**
 * JSON as security needs it: an object, in valid UTF-8, with no member named twice. RFC 7519 section 4 allows a refusal
 * of doubled names; without it, two readers of one token may see two different claims (RFC 8725 section 2.6).
 */

export type JsonObject = { readonly [name: string]: unknown };

/** @returns the object, or `undefined` for anything else, a doubled member name at any depth included */
export function parseJsonObject(bytes: Uint8Array): JsonObject | undefined {
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    const value: unknown = JSON.parse(text);
    return isJsonObject(value) && !hasDoubledName(text) ? value : undefined;
  } catch {
    return undefined;
  }
}

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The value of an own member; what an object inherits (`constructor`, `__proto__`) is not a member. */
export function member(object: JsonObject, name: string): unknown {
  return Object.hasOwn(object, name) ? object[name] : undefined;
}

/** Follows a path of names; only own members of objects count. */
export function memberAt(object: JsonObject, path: readonly string[]): unknown {
  let value: unknown = object;
  for (const name of path) value = isJsonObject(value) ? member(value, name) : undefined;
  return value;
}

/** `text` must be valid JSON already: the walk looks at strings and brackets only. */
function hasDoubledName(text: string): boolean {
  const open: (Set<string> | null)[] = []; // one entry per open bracket: the names of an object, null for an array
  const string = /"(?:[^"\\]|\\.)*"/y;
  const colon = /\s*:/y;
  for (let at = 0; at < text.length; at++) {
    const character = text[at];
    if (character === '{') open.push(new Set());
    else if (character === '[') open.push(null);
    else if (character === '}' || character === ']') open.pop();
    else if (character === '"') {
      string.lastIndex = at;
      const literal = string.exec(text)?.[0] ?? '"';
      at += literal.length - 1;
      const names = open.at(-1);
      colon.lastIndex = at + 1;
      if (!names || !colon.test(text)) continue;
      const name: string = JSON.parse(literal);
      if (names.has(name)) return true;
      names.add(name);
    }
  }
  return false;
}
