/**
 * The errors that leave the gateway. Each has a stable public code with its status and words for people, and a private
 * half (reason, evidence, cause) that only the log sees. Handlers throw; `edge/failures.ts` alone answers.
 */
import type { EventName } from './events.ts';

type Description = { readonly status: number; readonly title: string; readonly text: string };

/** The public code table: contract section 4. The README lists exactly these; a test compares the two. */
export const FAILURES = {
  tenant_not_found: {
    status: 404,
    title: 'Nothing lives at this address',
    text: 'Please check the address, or ask whoever gave it to you.',
  },
  sign_in_required: { status: 401, title: 'Please sign in', text: 'You are not signed in.' },
  access_denied: {
    status: 403,
    title: 'You may not open this page',
    text: 'You are signed in, but your account is not allowed here.',
  },
  attempt_invalid: {
    status: 400,
    title: 'This sign-in cannot be finished',
    text: 'It was finished before, took too long, or was started in another browser. Starting again usually helps. If it keeps coming back, your browser may be blocking cookies for this address.',
  },
  response_invalid: {
    status: 400,
    title: 'The answer could not be understood',
    text: 'The sign-in service sent an answer that is incomplete or not in the agreed form. Please start again.',
  },
  token_invalid: {
    status: 400,
    title: 'The sign-in could not be verified',
    text: 'What the sign-in service sent did not pass our checks. Please start again.',
  },
  claims_invalid: {
    status: 403,
    title: 'Your account is missing something',
    text: 'Your sign-in worked, but your organisation did not send everything that is needed about you. Your administrator can help.',
  },
  no_groups: {
    status: 403,
    title: 'Your account has no access here',
    text: 'Your sign-in worked, but your organisation has not given you a role for this application. Your administrator can help.',
  },
  idp_refused: {
    status: 403,
    title: 'Your sign-in service said no',
    text: 'Your organisation’s sign-in service did not sign you in.',
  },
  idp_unavailable: {
    status: 503,
    title: 'Your sign-in service cannot be reached',
    text: 'Please try again in a moment.',
  },
  store_unavailable: {
    status: 503,
    title: 'Sessions cannot be read right now',
    text: 'This is our side, not yours. Please try again in a moment.',
  },
  upstream_unavailable: {
    status: 502,
    title: 'The application cannot be reached',
    text: 'Please try again in a moment.',
  },
  method_not_allowed: {
    status: 405,
    title: 'That does not work here',
    text: 'This address does not take that method.',
  },
  unsupported_media_type: {
    status: 415,
    title: 'That form is not understood',
    text: 'This address takes application/x-www-form-urlencoded.',
  },
  request_too_large: { status: 413, title: 'That is too much', text: 'The request is larger than is accepted here.' },
  request_invalid: { status: 400, title: 'The request is malformed', text: 'The request could not be understood.' },
  rate_limited: { status: 429, title: 'Too many requests', text: 'Please wait a moment and try again.' },
  internal_error: {
    status: 500,
    title: 'Something went wrong on our side',
    text: 'It has been written down. Please try again; if it stays, tell us the request number below.',
  },
} as const satisfies Record<string, Description>;

export type FailureCode = keyof typeof FAILURES;

/** For the log: names, lengths, times; never a token, nonce or secret. */
export type Evidence = Readonly<Record<string, string | number | boolean>>;

export type FailureOptions = {
  /** for the log: what exactly was wrong */
  readonly reason?: string;
  readonly evidence?: Evidence;
  readonly cause?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  /** further public members of the JSON answer */
  readonly members?: Readonly<Record<string, string>>;
  /** public: one more sentence for people */
  readonly detail?: string;
  /** where the page's button leads; a URL of ours */
  readonly retryUrl?: string | undefined;
  /** instead of the code's usual one */
  readonly status?: number;
  /** where somebody who may not enter becomes somebody else; a URL of ours */
  readonly switchUrl?: string | undefined;
  /** the event as which it is told to the operator; without one it is in the request's log line only */
  readonly event?: EventName;
};

/** Thrown at a handler's edge. Its `message` is for the log, never for the client. */
export class GatewayFailure extends Error {
  override readonly name = 'GatewayFailure';
  readonly code: FailureCode;
  readonly options: FailureOptions;

  constructor(code: FailureCode, options: FailureOptions = {}) {
    super(options.reason ?? code, { cause: options.cause });
    this.code = code;
    this.options = options;
  }

  get status(): number {
    return this.options.status ?? FAILURES[this.code].status;
  }

  /** The same failure, with more known about it. */
  with(options: FailureOptions): GatewayFailure {
    return new GatewayFailure(this.code, { ...this.options, ...options });
  }
}
