/**
 * A signed link, from text to verified claims. One screen shows the order: form, algorithm, signature, what the dialect requires,
 * times. Nothing of the payload is looked at before the signature has held, and the algorithm is never the token's to say (RFC 8725
 * section 3.1). Pure but for the keys; time is an argument.
 */
import { compactVerify } from 'jose';
import type { LinkConfig } from '../../config/links.ts';
import { member, parseJsonObject } from '../../kernel/json.ts';
import { digest } from '../../kernel/random.ts';
import { ok, type Result, refuse } from '../../kernel/result.ts';
import { type VerifiedClaims, verifiedClaims } from '../verified-claims.ts';
import { type LinkSaid, type LinkTimes, TOKEN_MAX_CHARACTERS } from './dialect.ts';
import { readSaid } from './dialects.ts';

const SKEW_SECONDS = 120;
const ALGORITHM = 'HS256';

export type VerifiedLink = {
  readonly config: LinkConfig;
  readonly verified: VerifiedClaims;
  readonly digest: string;
  /** how long it has to be remembered that it was used; `undefined`: one without a date, which may be used again */
  readonly untilSeconds: number | undefined;
  readonly projectId: string | undefined;
  /** whether it says when it was made: without that, it may be older than what is known of the person */
  readonly isDated: boolean;
};

/** A link that was signed and says what it must; whether it is of now is for `verifyLink` to say. */
export type SignedLink = {
  readonly config: LinkConfig;
  readonly said: LinkSaid;
  readonly notBefore: unknown;
  /** which link this is: of its `jti`, or of its signature */
  readonly digest: string;
};

/** @param configs the connections that it may belong to; the one whose key signed it counts */
export async function openLink(token: string, configs: readonly LinkConfig[]): Promise<Result<SignedLink>> {
  const form = checkForm(token);
  if (!form.ok) return form;
  const signers = await findSigners(token, configs);
  const [signer] = signers;
  if (signer === undefined) return refuse('token_signature');
  const claims = parseJsonObject(signer.payload);
  if (claims === undefined) return refuse('token_payload_malformed');
  const notBefore = member(claims, 'nbf');
  // one key may serve several dialects: what a link says tells which it is in
  const read = signers.map(({ config }) => ({ config, said: readSaid(claims, config) }));
  for (const { config, said } of read)
    if (said.ok) return ok({ config, said: said.value, notBefore, digest: digestOf(token, said.value) });
  return read.flatMap(({ said }) => (said.ok ? [] : said))[0] ?? refuse('token_signature');
}

export function verifyLink(link: SignedLink, nowSeconds: number): Result<VerifiedLink> {
  const times = checkTimes(link.said.times, link.notBefore, nowSeconds);
  return times.ok ? ok(verifiedLinkOf(link, nowSeconds)) : times;
}

/** RFC 7515 section 7.1, with one algorithm and no extension. */
function checkForm(token: string): Result<true> {
  if (token.length > TOKEN_MAX_CHARACTERS) return refuse('token_too_large', { length: token.length });
  if (!/^[\w-]+\.[\w-]+\.[\w-]+$/.test(token)) return refuse('token_not_compact');
  const header = parseJsonObject(Buffer.from(token.slice(0, token.indexOf('.')), 'base64url'));
  if (header === undefined) return refuse('token_header_malformed');
  if (member(header, 'alg') !== ALGORITHM) return refuse('token_algorithm');
  const typ = member(header, 'typ');
  if (typ !== undefined && (typeof typ !== 'string' || typ.toUpperCase() !== 'JWT')) return refuse('token_type');
  if (member(header, 'crit') !== undefined || member(header, 'b64') !== undefined)
    return refuse('token_critical_header');
  return ok(true);
}

/** The connections of which a key holds; each may have several while one is being replaced. */
async function findSigners(
  token: string,
  configs: readonly LinkConfig[],
): Promise<{ config: LinkConfig; payload: Uint8Array }[]> {
  const signers: { config: LinkConfig; payload: Uint8Array }[] = [];
  for (const config of configs) {
    for (const secret of config.key) {
      const key = new TextEncoder().encode(secret.reveal());
      const held = await compactVerify(token, key, { algorithms: [ALGORITHM] }).catch(() => undefined);
      if (held === undefined) continue;
      signers.push({ config, payload: held.payload });
      break;
    }
  }
  return signers;
}

function checkTimes({ issuedAt, expiresAt, aheadMax }: LinkTimes, notBefore: unknown, now: number): Result<true> {
  if (notBefore !== undefined && typeof notBefore !== 'number') return refuse('not_before_malformed');
  if (notBefore !== undefined && notBefore > now + SKEW_SECONDS) return refuse('not_yet_valid');
  if (issuedAt !== undefined && issuedAt > now + SKEW_SECONDS) return refuse('issued_in_future');
  if (expiresAt === undefined) return ok(true);
  if (expiresAt <= now - SKEW_SECONDS) return refuse('expired');
  if (aheadMax !== undefined && expiresAt > now + aheadMax + SKEW_SECONDS) return refuse('link_lives_too_long');
  return ok(true);
}

/** The same for every dialect: one link that could be read in two is still one. */
function digestOf(token: string, { id }: LinkSaid): string {
  // the signature's bytes and not its text, which can be written in four ways
  const signature = Buffer.from(token.slice(token.lastIndexOf('.') + 1), 'base64url').toString('base64url');
  return digest(JSON.stringify(id === undefined ? ['signature', signature] : ['jti', id]));
}

function verifiedLinkOf({ config, said, digest: which }: SignedLink, nowSeconds: number): VerifiedLink {
  const { sub, email, name, roles, projectId, times } = said;
  return {
    config,
    verified: verifiedClaims({
      connection: config.dialect,
      issuer: issuerOf(config.dialect),
      claims: { sub, email, name, roles },
      idToken: undefined,
      issuedAtSeconds: times.issuedAt ?? nowSeconds,
    }),
    untilSeconds: times.expiresAt === undefined ? undefined : times.expiresAt + SKEW_SECONDS,
    digest: which,
    projectId,
    isDated: times.issuedAt !== undefined,
  };
}

/** Who vouches for the people of a dialect: never an IdP, whose issuer is a URL. */
export function issuerOf(dialect: LinkConfig['dialect']): string {
  return `link:${dialect}`;
}
