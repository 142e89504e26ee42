/**
 * The demo's identity provider: a real OpenID provider (oidc-provider) with a sign-in page of its own on which one picks a
 * person. No passwords: it is for a loopback address only. The tests use it too.
 */
import { createServer, type Server } from 'node:http';
import { html, raw } from 'hono/html';
import { type Configuration, Provider } from 'oidc-provider';

export type Person = { readonly sub: string; readonly [claim: string]: unknown };

export type IdpOptions = {
  readonly port: number;
  readonly people: readonly Person[];
  readonly clients: readonly {
    readonly clientId: string;
    readonly redirectUris: readonly string[];
    readonly signOutUris: readonly string[];
    /** makes it a client of the code flow */
    readonly secret?: string;
  }[];
};

export type Idp = { readonly issuer: string; readonly provider: Provider; readonly close: () => Promise<void> };

const CLAIMS = ['email', 'name', 'preferred_username', 'given_name', 'family_name', 'locale', 'zoneinfo', 'roles'];

export async function openIdp(options: IdpOptions): Promise<Idp> {
  let handle: ReturnType<Provider['callback']> | undefined;
  const server = createServer((request, response) => handle?.(request, response));
  const port = await listen(server, options.port);
  const issuer = `http://localhost:${port}`; // another site than 127.0.0.1, as in production
  const provider = createProvider(issuer, options);
  addSignInPage(provider, options.people);
  handle = provider.callback();
  return {
    issuer,
    provider,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function listen(server: Server, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, 'localhost', () => {
      const address = server.address();
      resolve(typeof address === 'object' && address !== null ? address.port : port);
    });
  });
}

function createProvider(issuer: string, { people, clients }: IdpOptions): Provider {
  const configuration: Configuration = {
    clients: clients.map(({ clientId, redirectUris, signOutUris, secret }) => ({
      client_id: clientId,
      redirect_uris: [...redirectUris],
      post_logout_redirect_uris: [...signOutUris],
      ...(signOutUris[0] === undefined
        ? {}
        : { backchannel_logout_uri: signOutUris[0], backchannel_logout_session_required: true }),
      ...(secret === undefined
        ? { response_types: ['id_token'], grant_types: ['implicit'], token_endpoint_auth_method: 'none' }
        : { response_types: ['code'], grant_types: ['authorization_code'], client_secret: secret }),
    })),
    responseTypes: ['id_token', 'code'],
    scopes: ['openid', 'profile', 'email'],
    claims: { openid: ['sub', ...CLAIMS] },
    conformIdTokenClaims: false,
    features: { devInteractions: { enabled: false }, backchannelLogout: { enabled: true } },
    // its own dispatcher keeps away from loopback addresses, where the demo lives
    fetch: (url, options) => {
      const own = { ...options };
      Reflect.deleteProperty(own, 'dispatcher');
      return fetch(url, own);
    },
    interactions: { url: (_ctx, interaction) => `/sign-in/${interaction.uid}` },
    findAccount: (_ctx, sub) => {
      const person = people.find((candidate) => candidate.sub === sub);
      return person && { accountId: sub, claims: () => ({ ...person }) };
    },
    // nobody is asked for consent: the person's organisation decided for them
    async loadExistingGrant(ctx) {
      const { client, session } = ctx.oidc;
      if (client === undefined || session?.accountId === undefined) return undefined;
      const grant = new ctx.oidc.provider.Grant({ clientId: client.clientId, accountId: session.accountId });
      grant.addOIDCScope('openid profile email');
      await grant.save();
      return grant;
    },
    cookies: { keys: ['the demo keeps nothing secret'] },
    ttl: { IdToken: 3600, Session: 3600, Interaction: 3600, Grant: 3600 },
  };
  const provider = new Provider(issuer, configuration);
  allowLoopback(provider);
  return provider;
}

/** The provider rightly refuses plain-http redirect URIs to public clients; on loopback there is nothing else. */
function allowLoopback(provider: Provider): void {
  const schema: unknown = Reflect.get(provider.Client, 'Schema');
  if (typeof schema !== 'function') throw new Error('oidc-provider has changed inside');
  const invalidate: unknown = schema.prototype.invalidate;
  schema.prototype.invalidate = function (this: unknown, message: string, code?: string) {
    if (code === 'implicit-force-https' || code === 'implicit-forbid-localhost') return;
    if (typeof invalidate === 'function') invalidate.call(this, message, code);
  };
}

function addSignInPage(provider: Provider, people: readonly Person[]): void {
  provider.use(async (ctx, next) => {
    const uid = /^\/sign-in\/([\w-]+)$/.exec(ctx.path)?.[1];
    if (uid === undefined) return next();
    if (ctx.method === 'GET') {
      ctx.type = 'html';
      ctx.body = String(await signInPage(uid, people));
      return;
    }
    const chosen = new URL(ctx.href).searchParams.get('as') ?? '';
    await provider.interactionFinished(
      ctx.req,
      ctx.res,
      { login: { accountId: chosen } },
      { mergeWithLastSubmission: false },
    );
    ctx.respond = false;
  });
}

const STYLE = `
:root { color-scheme: light dark }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 24rem; margin: 12vh auto; padding: 0 1rem }
button { font: inherit; width: 100%; padding: .7rem; margin: .3rem 0; text-align: left; cursor: pointer }
small { display: block; opacity: .7 }
`;

function signInPage(uid: string, people: readonly Person[]): ReturnType<typeof html> {
  const choices = people.map(
    (person) => html`<form method="post" action="/sign-in/${uid}?as=${encodeURIComponent(person.sub)}">
<button id="as-${person.sub}">${person.name ?? person.sub}<small>${[person.roles].flat().join(', ')}</small></button></form>`,
  );
  return html`<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>Demo identity provider</title>
<style>${raw(STYLE)}</style><h1>Demo identity provider</h1><p>Who are you today?</p>${choices}</html>`;
}
