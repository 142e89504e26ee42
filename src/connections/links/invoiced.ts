/** Invoiced's sign-in links: the customer's id, whoever issued it, and an expiry within a day. */
import { member } from '../../kernel/json.ts';
import { ok } from '../../kernel/result.ts';
import { all, type Dialect, optional, readIdentifier, readText, readTime } from './dialect.ts';

const AHEAD_MAX_SECONDS = 24 * 3600;

export const invoiced: Dialect<'invoiced'> = {
  name: 'invoiced',
  read(claims) {
    const said = all({
      sub: readIdentifier(claims, 'sub'),
      issuer: readText(claims, 'iss'), // any value: it only has to be there
      expiresAt: readTime(claims, 'exp'),
      issuedAt: optional(readTime(claims, 'iat')),
      id: optional(readIdentifier(claims, 'jti')),
      email: optional(readText(claims, 'email')),
      name: optional(readText(claims, 'name')),
    });
    if (!said.ok) return said;
    const { sub, id, email, name, expiresAt, issuedAt } = said.value;
    const times = { issuedAt, expiresAt, aheadMax: AHEAD_MAX_SECONDS };
    return ok({ sub, id, email, name, roles: member(claims, 'roles'), times });
  },
};
