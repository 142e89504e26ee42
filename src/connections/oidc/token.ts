/**
 * What ID tokens and logout tokens have in common: the form (RFC 7515, RFC 8725) and the signature. Algorithm and type are
 * the tenant's and the purpose's to say, never the token's.
 */
import { type CompactVerifyGetKey, compactVerify } from 'jose';
import { DIRECTORY, inDirectory, type OidcConfig } from '../../config/oidc.ts';
import { type JsonObject, member, parseJsonObject } from '../../kernel/json.ts';
import { ok, type Result, refuse } from '../../kernel/result.ts';
import type { KeySource, Purpose, SigningKey } from './keys.ts';

/** Room for 1,000 roles of 256 characters, the most that is accepted, and for what else a token holds. */
const TOKEN_MAX_BYTES = 512 * 1024;
const KID_MAX_CHARACTERS = 1_024;

export type TokenKind = {
  readonly purpose: Purpose;
  /** accepted values of `typ`, in lower case; one without `typ` is accepted too */
  readonly types: readonly string[];
};

/** @returns the payload, once the signature has held; nothing of it was looked at before */
export async function verifyToken(
  token: string,
  config: OidcConfig,
  keys: KeySource,
  kind: TokenKind,
): Promise<Result<JsonObject>> {
  const header = parseHeader(token, config, kind.types);
  if (!header.ok) return header;
  const signed = await verifySignature(token, header.value, keys, kind.purpose);
  if (!signed.ok) return signed;
  const claims = parseJsonObject(signed.value.payload);
  if (claims === undefined) return refuse('token_payload_malformed');
  return isKeyOf(signed.value.key, claims) ? ok(claims) : refuse('token_key_unknown');
}

/**
 * A key that says whose it is signs for nobody else: Entra's directories share their keys' documents ("validate the signing key issuer").
 * What it says may be a template; a `tid`, which a logout token need not have, has to agree.
 */
function isKeyOf({ issuer }: SigningKey, claims: JsonObject): boolean {
  if (issuer === undefined) return true;
  const [iss, tid] = [member(claims, 'iss'), member(claims, 'tid')];
  if (typeof iss !== 'string') return false;
  if (typeof tid === 'string') return inDirectory(issuer, tid) === iss;
  const [before = '', after] = issuer.split(DIRECTORY);
  return after === undefined ? issuer === iss : iss.startsWith(before) && iss.endsWith(after);
}

/** RFC 7519 section 2: seconds since the epoch. */
export function isNumericDate(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0;
}

type Header = { readonly alg: string; readonly kid: string | undefined };

/** RFC 7515 section 7.1: three parts of base64url, nothing else; algorithm and type are the tenant's to say, not the token's. */
function parseHeader(token: string, config: OidcConfig, types: readonly string[]): Result<Header> {
  if (token.length > TOKEN_MAX_BYTES) return refuse('token_too_large', { length: token.length });
  if (/^[\w-]*(?:\.[\w-]*){4}$/.test(token)) return refuse('token_encrypted');
  if (!/^[\w-]+\.[\w-]+\.[\w-]+$/.test(token)) return refuse('token_not_compact');
  const header = parseJsonObject(Buffer.from(token.slice(0, token.indexOf('.')), 'base64url'));
  if (header === undefined) return refuse('token_header_malformed');
  const [alg, kid, typ] = [member(header, 'alg'), member(header, 'kid'), member(header, 'typ')];
  // compared exactly: `none`, `None` and every HS* are simply not in the list, which cannot hold them
  const accepted: readonly unknown[] = config.token_algs;
  if (typeof alg !== 'string' || !accepted.includes(alg))
    return refuse('token_algorithm', algorithmEvidence(String(alg), config));
  // RFC 8725 section 3.11: a logout token or an access token is no ID token
  if (typ !== undefined && (typeof typ !== 'string' || !types.includes(typ.toLowerCase()))) return refuse('token_type');
  if (member(header, 'crit') !== undefined) return refuse('token_critical_header');
  if (kid !== undefined && (typeof kid !== 'string' || kid.length > KID_MAX_CHARACTERS))
    return refuse('token_header_malformed');
  return ok({ alg, kid });
}

function algorithmEvidence(sent: string, { token_algs }: OidcConfig): Record<string, string> {
  const algorithm = /^[\w-]{1,16}$/.test(sent) ? sent : '(none)';
  const evidence = { algorithm, accepted: token_algs.join(' ') };
  if (!algorithm.startsWith('HS')) return evidence;
  return { ...evidence, fix: 'the provider signs with the client secret: choose a signing key there (RSA, for RS256)' };
}

type Signed = { readonly payload: Uint8Array; readonly key: SigningKey };

/** Tries once more with fresh keys: the IdP may have rotated a second ago, under a new key id, the old one, or none. */
async function verifySignature(
  token: string,
  header: Header,
  keys: KeySource,
  purpose: Purpose,
): Promise<Result<Signed>> {
  const first = await verifyWithKept(token, header, keys);
  if (first.ok || first.refusal.reason === 'token_key_ambiguous' || !(await keys.refetch(purpose))) return first;
  return verifyWithKept(token, header, keys);
}

async function verifyWithKept(token: string, header: Header, keys: KeySource): Promise<Result<Signed>> {
  const key = await keys.select(header);
  return key.ok ? verifyWith(token, header.alg, key.value) : key;
}

async function verifyWith(token: string, algorithm: string, key: SigningKey): Promise<Result<Signed>> {
  try {
    const getKey: CompactVerifyGetKey = () => key.importFor(algorithm);
    const { payload } = await compactVerify(token, getKey, { algorithms: [algorithm] });
    return ok({ payload, key });
  } catch {
    return refuse('token_signature');
  }
}
