/** Issuely's links: for one company, by e-mail, ten minutes at the most; a role of two. */
import { parseJsonObject } from '../../kernel/json.ts';
import { ok, refuse } from '../../kernel/result.ts';
import { all, type Dialect, optional, readIdentifier, readText, readTime, TOKEN_MAX_CHARACTERS } from './dialect.ts';

const LIVES_MAX_SECONDS = 10 * 60;
const ROLES: ReadonlySet<string> = new Set(['CUSTOMER', 'AGENT']);

export const issuely: Dialect<'issuely'> = {
  name: 'issuely',
  read(claims, { company_id: company }) {
    const said = all({
      company: readIdentifier(claims, 'companyId'),
      email: readText(claims, 'email'),
      name: optional(readText(claims, 'name')),
      role: optional(readText(claims, 'role')),
      projectId: optional(readIdentifier(claims, 'projectId')),
      id: optional(readIdentifier(claims, 'jti')),
      issuedAt: readTime(claims, 'iat'),
      expiresAt: readTime(claims, 'exp'),
    });
    if (!said.ok) return said;
    const { email, name, role = 'CUSTOMER', projectId, id, issuedAt, expiresAt } = said.value;
    if (said.value.company !== company) return refuse('company_mismatch');
    if (!ROLES.has(role)) return refuse('claim_malformed', { claim: 'role' });
    if (expiresAt - issuedAt > LIVES_MAX_SECONDS || expiresAt <= issuedAt) return refuse('link_lives_too_long');
    // two spellings are one person, as they are one e-mail to every other tenant
    return ok({ sub: email.toLowerCase(), email, name, roles: [role], projectId, id, times: { issuedAt, expiresAt } });
  },
};

/** Which company a token says that it is for: nothing is proven yet, it only tells whose key to try. */
export function companyOf(token: string): string | undefined {
  const [, payload, ...rest] = token.split('.');
  if (payload === undefined || rest.length !== 1 || token.length > TOKEN_MAX_CHARACTERS) return undefined;
  const claims = parseJsonObject(Buffer.from(payload, 'base64url'));
  const company = claims && readIdentifier(claims, 'companyId');
  return company?.ok ? company.value : undefined;
}
