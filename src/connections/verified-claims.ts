/**
 * Where every kind of connection ends: claims about a person whose origin has been proven. Behind this seam nobody knows
 * which kind it was. The brand says that verification happened; only verifiers may call `verifiedClaims`.
 */
import type { JsonObject } from '../kernel/json.ts';

declare const verified: unique symbol;

type Facts = {
  readonly connection: 'oidc';
  /** who vouches for the claims: the issuer, exactly as it writes itself */
  readonly issuer: string;
  readonly claims: JsonObject;
  /** as it was issued, for the IdP that issued it */
  readonly idToken: string;
  /** when it was made, seconds by the issuer's clock */
  readonly issuedAtSeconds: number;
};

export type VerifiedClaims = Facts & { readonly [verified]: true };

/** Call this after the last check and nowhere else. */
export function verifiedClaims(facts: Facts): VerifiedClaims {
  return facts as VerifiedClaims;
}
