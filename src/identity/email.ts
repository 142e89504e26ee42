/**
 * Whether a text is one e-mail address: RFC 5321's Mailbox without quoted local parts and address literals, with the
 * characters beyond ASCII that RFC 6531 allows. Exactly one `@`: two readers that split at different ones see two
 * different domains (CVE-2026-40574).
 */
const ATOM = /^[\p{L}\p{N}\p{M}!#$%&'*+/=?^_`{|}~-]+$/u;
const LABEL = /^[\p{L}\p{N}](?:[\p{L}\p{N}\p{M}-]{0,61}[\p{L}\p{N}\p{M}])?$/u;
const ADDRESS_MAX_CHARACTERS = 254;
const LOCAL_MAX_CHARACTERS = 64;

export function isEmail(text: string): boolean {
  const [local, domain, ...more] = text.split('@');
  if (local === undefined || domain === undefined || more.length > 0) return false;
  if (text.length > ADDRESS_MAX_CHARACTERS || local.length > LOCAL_MAX_CHARACTERS) return false;
  const labels = domain.split('.');
  return (
    local.split('.').every((atom) => ATOM.test(atom)) && labels.length > 1 && labels.every((label) => LABEL.test(label))
  );
}
