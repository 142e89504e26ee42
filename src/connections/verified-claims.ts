/**
 * Where every kind of connection ends: claims about a person whose origin has been proven. Behind this seam nobody knows
 * which kind it was. The brand says that verification happened; only verifiers may call `verifiedClaims`.
 */
import type { DialectName } from '../config/links.ts';
import type { JsonObject } from '../kernel/json.ts';

declare const verified: unique symbol;

/** Which kind of connection: OpenID Connect, or signed links in a dialect. */
export type ConnectionName = 'oidc' | DialectName;

export type RefreshGrant = { readonly token: string; readonly nonce: string };

type Facts = {
  readonly connection: ConnectionName;
  /** who vouches for the claims: the issuer, exactly as it writes itself */
  readonly issuer: string;
  readonly claims: JsonObject;
  /** as it was issued, for the IdP that issued it */
  readonly idToken: string | undefined;
  /** by which the IdP can be asked again, and the nonce that its answers may repeat (Core 12.2) */
  readonly refresh?: RefreshGrant;
  /** when it was made, seconds by the issuer's clock */
  readonly issuedAtSeconds: number;
};

export type VerifiedClaims = Facts & { readonly [verified]: true };

/** The same, with what the IdP gave for later. */
export function withRefresh(verified: VerifiedClaims, refresh: RefreshGrant): VerifiedClaims {
  return { ...verified, refresh };
}

/** The same person, with what the tenant's own source says of them instead. */
export function withClaims(verified: VerifiedClaims, claims: Facts['claims']): VerifiedClaims {
  return { ...verified, claims: { ...verified.claims, ...claims } };
}

/** Call this after the last check and nowhere else. */
export function verifiedClaims(facts: Facts): VerifiedClaims {
  return facts as VerifiedClaims;
}
