/**
 * Every reason for which a sign-in is refused, and the public code that stands for it. The reason goes to the log; the
 * code goes to the person. One table, so that a new reason cannot be added without deciding what the outside sees.
 */
import { type Evidence, type FailureCode, type FailureOptions, GatewayFailure } from './failure.ts';

export const REASONS = {
  // the answer's parameters (OAuth 2.0 Multiple Response Types 5, Form Post 2)
  path_ambiguous: 'request_invalid',
  parameters_missing: 'response_invalid',
  parameter_doubled: 'response_invalid',
  parameters_too_many: 'response_invalid',
  parameter_too_long: 'response_invalid',
  parameters_contradictory: 'response_invalid',
  parameter_unexpected: 'response_invalid',
  mode_mismatch: 'response_invalid',
  issuer_parameter_mismatch: 'response_invalid',
  issuer_parameter_missing: 'response_invalid',
  initiation_issuer_mismatch: 'response_invalid',
  idp_error: 'idp_refused',
  // the attempt
  state_unknown: 'attempt_invalid',
  state_foreign_tenant: 'attempt_invalid',
  state_foreign_browser: 'attempt_invalid',
  attempt_expired: 'attempt_invalid',
  attempt_used: 'attempt_invalid',
  attempt_outdated: 'attempt_invalid',
  sign_in_loop: 'attempt_invalid',
  // the ID token's form and signature (RFC 7515, RFC 8725)
  token_too_large: 'token_invalid',
  token_encrypted: 'token_invalid',
  token_not_compact: 'token_invalid',
  token_header_malformed: 'token_invalid',
  token_payload_malformed: 'token_invalid',
  token_type: 'token_invalid',
  token_critical_header: 'token_invalid',
  token_algorithm: 'token_invalid',
  token_key_unknown: 'token_invalid',
  token_key_ambiguous: 'token_invalid',
  token_signature: 'token_invalid',
  // the token endpoint's and UserInfo's answers (Core 3.1.3.3, 5.3.2)
  token_response_malformed: 'token_invalid',
  userinfo_subject_mismatch: 'token_invalid',
  // its claims (OpenID Connect Core 3.1.3.7, 3.2.2.11)
  issuer_mismatch: 'token_invalid',
  audience_malformed: 'token_invalid',
  audience_mismatch: 'token_invalid',
  audience_untrusted: 'token_invalid',
  authorized_party_missing: 'token_invalid',
  authorized_party_mismatch: 'token_invalid',
  expiry_malformed: 'token_invalid',
  expired: 'token_invalid',
  not_before_malformed: 'token_invalid',
  not_yet_valid: 'token_invalid',
  issued_at_malformed: 'token_invalid',
  issued_in_future: 'token_invalid',
  issued_before_attempt: 'token_invalid',
  nonce_mismatch: 'token_invalid',
  auth_time_malformed: 'token_invalid',
  auth_time_too_old: 'token_invalid',
  acr_mismatch: 'token_invalid',
  // a logout token (OpenID Connect Back-Channel Logout 2.6)
  token_id_missing: 'token_invalid',
  logout_event_missing: 'token_invalid',
  nonce_present: 'token_invalid',
  logout_subject_missing: 'token_invalid',
  logout_subject_mismatch: 'token_invalid',
  logout_token_used: 'token_invalid',
  issued_too_long_ago: 'token_invalid',
  // a signed link (contract section 7)
  link_undated: 'token_invalid',
  link_lives_too_long: 'token_invalid',
  link_used: 'token_invalid',
  company_mismatch: 'token_invalid',
  link_page_foreign: 'response_invalid',
  link_host_foreign: 'response_invalid',
  person_unknown: 'claims_invalid',
  email_of_another_tenant: 'claims_invalid',
  // the IdP ended the session while it was being made
  ended_meanwhile: 'token_invalid',
  // the person
  claim_missing: 'claims_invalid',
  claim_malformed: 'claims_invalid',
  roles_overage: 'claims_invalid',
  role_unknown: 'no_groups',
  no_groups: 'no_groups',
} as const satisfies Record<string, FailureCode>;

export type Reason = keyof typeof REASONS;

/** Why something was refused. */
export type Refusal = { readonly reason: Reason; readonly evidence?: Evidence };

/** The one way from an inner refusal to a public failure. */
export function failureOf(refusal: Refusal, options: FailureOptions = {}): GatewayFailure {
  return new GatewayFailure(REASONS[refusal.reason], {
    ...options,
    reason: refusal.reason,
    ...(refusal.evidence === undefined ? {} : { evidence: refusal.evidence }),
  });
}
