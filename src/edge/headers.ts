/**
 * The headers of every answer of our own (contract section 4), by helmet with our own directives: its defaults would stop
 * sign-ins that are posted on and force https on a loopback demo. Answers of the app never pass here.
 */
import { hash } from 'node:crypto';
import { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import helmet from 'helmet';
import type { Context } from './request.ts';

/** What one answer may do beyond nothing. */
export type Policy = {
  readonly styles?: readonly string[];
  readonly script?: string;
  /**
   * The page's form leads on to the IdP, and from there who knows where: browsers apply `form-action` to every redirect that
   * follows, so it cannot be said. Only for pages whose one form is fixed.
   */
  readonly formLeadsOn?: boolean;
  /** the one origin that may show this answer in a frame */
  readonly framedBy?: string;
};

export type OwnHeaders = (ctx: Context, policy?: Policy) => void;

/** @param https whether PUBLIC_URL is: then browsers are told to stay with it */
export function createOwnHeaders(https: boolean): OwnHeaders {
  const policies = new WeakMap<ServerResponse, Policy>();
  const sources = (pick: (policy: Policy) => readonly string[]) => (_: IncomingMessage, response: ServerResponse) =>
    pick(policies.get(response) ?? {}).join(' ') || "'none'";
  const set = helmet({
    contentSecurityPolicy: {
      useDefaults: false,
      directives: {
        defaultSrc: ["'none'"],
        baseUri: ["'none'"],
        frameAncestors: [sources(({ framedBy }) => (framedBy === undefined ? [] : [framedBy]))],
        imgSrc: ['data:'],
        connectSrc: ["'self'"],
        styleSrc: [sources(({ styles = [] }) => styles.map(sourceHash))],
        scriptSrc: [sources(({ script }) => (script === undefined ? [] : [sourceHash(script)]))],
        formAction: [sources(({ formLeadsOn }) => (formLeadsOn ? ['https:', 'http:'] : ["'self'"]))],
      },
    },
    strictTransportSecurity: https && { maxAge: 31_536_000, includeSubDomains: false },
    referrerPolicy: { policy: 'no-referrer' },
    xFrameOptions: { action: 'deny' },
  });
  /** What an answer without a policy of its own gets is always the same: worked out once, by helmet too. */
  const plain = capture(set);
  return (ctx, policy) => {
    if (policy === undefined) {
      for (const [name, value] of plain) ctx.res.setHeader(name, value);
      return;
    }
    policies.set(ctx.res, policy);
    set(ctx.req, ctx.res, rethrow);
    if (policy.framedBy !== undefined) ctx.remove('X-Frame-Options'); // it cannot name an origin
    ctx.set('Cache-Control', 'no-store');
  };
}

function capture(set: ReturnType<typeof helmet>): [string, string][] {
  const request = new IncomingMessage(new Socket());
  const response = new ServerResponse(request);
  set(request, response, rethrow);
  response.setHeader('Cache-Control', 'no-store');
  return response.getHeaderNames().map((name) => [name, String(response.getHeader(name))]);
}

function rethrow(error: unknown): void {
  if (error) throw error;
}

function sourceHash(text: string): string {
  return `'sha256-${hash('sha256', text, 'base64')}'`;
}
