/**
 * Reading the Cookie header as a browser writes it (RFC 6265 section 4.2.1). A string search, since the hot path does it
 * for every request; anything odd is simply not found.
 */

/** The value of the first cookie of that name. */
export function readCookie(header: string | undefined, name: string): string | undefined {
  if (header === undefined) return undefined;
  for (let at = header.indexOf(name); at !== -1; at = header.indexOf(name, at + 1)) {
    if (header[at + name.length] !== '=' || !startsPair(header, at)) continue;
    const from = at + name.length + 1;
    const end = header.indexOf(';', from);
    return header.slice(from, end === -1 ? undefined : end).trim();
  }
  return undefined;
}

/** Only `;` parts cookies: a name after a mere space is part of another cookie's value, which anybody may have written. */
function startsPair(header: string, at: number): boolean {
  let before = at - 1;
  while (header[before] === ' ') before -= 1;
  return before < 0 || header[before] === ';';
}

/** The values of all cookies whose name begins so, at most `most` of them. */
export function readCookies(
  header: string | undefined,
  namePrefix: string,
  most: number,
): { name: string; value: string }[] {
  const found: { name: string; value: string }[] = [];
  for (const part of header?.split(';') ?? []) {
    const equals = part.indexOf('=');
    const name = part.slice(0, equals).trim();
    if (equals === -1 || !name.startsWith(namePrefix)) continue;
    found.push({ name, value: part.slice(equals + 1).trim() });
    if (found.length === most) break;
  }
  return found;
}
