/**
 * Frill's links: id, e-mail and name. How long one lives depends on what the sender's library adds by itself: an expiry (.NET), the time
 * of issue (Node), or nothing (PHP, Ruby, Java), which only a tenant that says so accepts.
 */
import { member } from '../../kernel/json.ts';
import { ok, refuse } from '../../kernel/result.ts';
import { all, type Dialect, optional, readIdentifier, readText, readTime } from './dialect.ts';

const AHEAD_MAX_SECONDS = 7 * 24 * 3600;
const LIVES_SECONDS = 10 * 60;

export const frill: Dialect<'frill'> = {
  name: 'frill',
  read(claims, { undated }) {
    const said = all({
      sub: readIdentifier(claims, 'id'),
      email: readText(claims, 'email'),
      name: readText(claims, 'name'),
      id: optional(readIdentifier(claims, 'jti')),
      issuedAt: optional(readTime(claims, 'iat')),
      exp: optional(readTime(claims, 'exp')),
    });
    if (!said.ok) return said;
    const { sub, id, email, name, issuedAt, exp } = said.value;
    const expiresAt = exp ?? (issuedAt === undefined ? undefined : issuedAt + LIVES_SECONDS);
    if (expiresAt === undefined && undated === 'reject') return refuse('link_undated');
    const times = { issuedAt, expiresAt, aheadMax: AHEAD_MAX_SECONDS };
    return ok({ sub, id, email, name, roles: member(claims, 'roles'), times });
  },
};
