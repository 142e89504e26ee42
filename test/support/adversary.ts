/**
 * An identity provider that does whatever a test wants: real discovery and keys over loopback, and tokens signed with
 * whatever is in them. It shows no page; tests play the person.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type CryptoKey, exportJWK, generateKeyPair, type JWK, SignJWT } from 'jose';

export type Claims = Record<string, unknown>;
export type Signer = {
  readonly kid: string | undefined;
  readonly alg: string;
  readonly privateKey: CryptoKey;
  readonly jwk: JWK;
};

export type Adversary = {
  readonly issuer: string;
  readonly requests: { discovery: number; jwks: number };
  /** what the two documents are right now; tests change them */
  discovery: Record<string, unknown>;
  keys: JWK[];
  signer: Signer;
  /** further endpoints, by path: what each answers to what it is asked */
  readonly endpoints: Map<string, (call: Call) => Promise<Answer> | Answer>;
  readonly calls: Call[];
  /** answers every request instead of the documents, when set */
  misbehave: ((request: IncomingMessage, response: ServerResponse) => void) | undefined;
  /** a new key under a new id; the old one is gone */
  readonly rotate: (alg?: string) => Promise<void>;
  readonly sign: (claims: Claims, header?: Claims, signer?: Signer) => Promise<string>;
  readonly stop: () => Promise<void>;
  readonly start: () => Promise<void>;
};

/** What came to an endpoint. */
export type Call = {
  readonly path: string;
  readonly form: URLSearchParams;
  readonly authorization: string | undefined;
};
export type Answer = { readonly status?: number; readonly body: unknown };

let made = 0;

export async function createSigner(alg = 'RS256', kid: string | undefined = `key-${++made}`): Promise<Signer> {
  const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true });
  const jwk = { ...(await exportJWK(publicKey)), use: 'sig', alg, ...(kid === undefined ? {} : { kid }) };
  return { kid, alg, privateKey, jwk };
}

export async function signWith(signer: Signer, claims: Claims, header: Claims = {}): Promise<string> {
  const whole = { alg: signer.alg, typ: 'JWT', ...(signer.kid === undefined ? {} : { kid: signer.kid }), ...header };
  const kept = Object.fromEntries(Object.entries(whole).filter(([, value]) => value !== undefined));
  return new SignJWT(claims).setProtectedHeader({ alg: signer.alg, ...kept }).sign(signer.privateKey);
}

export async function openAdversary(): Promise<Adversary> {
  const server = createServer((request, response) => answer(request, response));
  const listen = (port: number): Promise<number> =>
    new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, '127.0.0.1', () => {
        const address = server.address();
        resolve(typeof address === 'object' && address !== null ? address.port : 0);
      });
    });
  const port = await listen(0);
  const issuer = `http://127.0.0.1:${port}`;
  const signer = await createSigner();
  const adversary: Adversary = {
    issuer,
    requests: { discovery: 0, jwks: 0 },
    discovery: {
      issuer,
      authorization_endpoint: `${issuer}/authorize`,
      jwks_uri: `${issuer}/jwks`,
      response_types_supported: ['id_token'],
      subject_types_supported: ['public'],
      id_token_signing_alg_values_supported: ['RS256', 'none', 'HS256'],
    },
    keys: [signer.jwk],
    signer,
    misbehave: undefined,
    endpoints: new Map(),
    calls: [],
    async rotate(alg = 'RS256') {
      adversary.signer = await createSigner(alg);
      adversary.keys = [adversary.signer.jwk];
    },
    sign: (claims, header, by) => signWith(by ?? adversary.signer, claims, header),
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
    async start() {
      await listen(port);
    },
  };

  function answer(request: IncomingMessage, response: ServerResponse): void {
    const isJwks = request.url === '/jwks';
    adversary.requests[isJwks ? 'jwks' : 'discovery'] += 1;
    if (adversary.misbehave !== undefined) {
      adversary.misbehave(request, response);
      return;
    }
    const endpoint = adversary.endpoints.get(request.url ?? '');
    if (endpoint !== undefined) return void serve(request, response, endpoint);
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify(isJwks ? { keys: adversary.keys } : adversary.discovery));
  }

  async function serve(
    request: IncomingMessage,
    response: ServerResponse,
    endpoint: (call: Call) => Promise<Answer> | Answer,
  ): Promise<void> {
    let body = '';
    for await (const chunk of request) body += chunk;
    const { url: path = '', headers } = request;
    const call = { path, form: new URLSearchParams(body), authorization: headers.authorization };
    adversary.calls.push(call);
    const { status = 200, body: answered } = await endpoint(call);
    const isText = typeof answered === 'string';
    response.writeHead(status, { 'content-type': isText ? 'text/html' : 'application/json' });
    response.end(isText ? answered : JSON.stringify(answered));
  }

  return adversary;
}
