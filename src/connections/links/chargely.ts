/**
 * Chargely's links: one-time by `jti`, five minutes from `iat`. The customer is named in `auth`, or beside it, by up to three
 * fields, of which the surest counts.
 */
import { isJsonObject, type JsonObject, member } from '../../kernel/json.ts';
import { ok, type Result, refuse } from '../../kernel/result.ts';
import { all, type Dialect, optional, readIdentifier, readText, readTime } from './dialect.ts';

const LIVES_SECONDS = 5 * 60;
/** Best first. */
const CUSTOMER_FIELDS = ['cust_ref', 'cust_id', 'cust_email'] as const;

export const chargely: Dialect<'chargely'> = {
  name: 'chargely',
  read(claims) {
    const nested = member(claims, 'auth');
    if (nested !== undefined && nested !== null && !isJsonObject(nested))
      return refuse('claim_malformed', { claim: 'auth' });
    const auth = nested && Object.keys(nested).length > 0 ? nested : claims;
    const said = all({
      id: readIdentifier(claims, 'jti'),
      issuedAt: readTime(claims, 'iat'),
      exp: optional(readTime(claims, 'exp')),
      sub: readCustomer(auth),
      email: optional(readText(auth, 'cust_email')),
      name: optional(readText(claims, 'name')),
    });
    if (!said.ok) return said;
    const { sub, id, email, name, issuedAt, exp } = said.value;
    const expiresAt = Math.min(issuedAt + LIVES_SECONDS, exp ?? Number.POSITIVE_INFINITY);
    return ok({ sub, id, email, name, roles: member(claims, 'roles'), times: { issuedAt, expiresAt } });
  },
};

/** A field that is there and malformed is a refusal, not a reason to take the next. */
function readCustomer(auth: JsonObject): Result<string> {
  for (const field of CUSTOMER_FIELDS) {
    const read = optional(readIdentifier(auth, field));
    if (!read.ok) return read;
    if (read.value !== undefined) return ok(read.value);
  }
  return refuse('claim_missing', { claim: 'auth' });
}
