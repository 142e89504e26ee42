/**
 * A signed link opens a session (contract section 7). Its way, top to bottom: what was sent -> verified link -> whoever is signed in
 * here already -> person -> groups -> spent, once -> account -> session -> 303 to an address without the token. Every step refuses by
 * default; before the link is spent nothing is written but whose an Issuely e-mail is. What failed goes to the sender's own page, with the code.
 */
import { html } from 'hono/html';
import type { People } from '../connections/links/people.ts';
import { openLink, type VerifiedLink, verifyLink } from '../connections/links/verify.ts';
import { type VerifiedClaims, withClaims } from '../connections/verified-claims.ts';
import type { OwnHeaders } from '../edge/headers.ts';
import { isCrossSite, isSameOriginPost } from '../edge/negotiate.ts';
import { sendPage } from '../edge/page.ts';
import { seeOther } from '../edge/redirect.ts';
import type { Context } from '../edge/request.ts';
import type { Clock } from '../kernel/clock.ts';
import type { Audit } from '../kernel/events.ts';
import { GatewayFailure } from '../kernel/failure.ts';
import { failureOf } from '../kernel/refusal.ts';
import type { Result } from '../kernel/result.ts';
import type { Accounts } from '../sessions/accounts.ts';
import type { BrowserSession } from '../sessions/koa-session.ts';
import { createRecord } from '../sessions/record.ts';
import type { Session } from '../sessions/sessions.ts';
import type { PersonSessions } from '../sessions/sync.ts';
import { keys } from '../storage/keys.ts';
import type { Store } from '../storage/store.ts';
import type { Place } from '../tenants/registry.ts';
import { urls } from '../tenants/tenant.ts';
import { type Identified, identify } from './identify.ts';
import { candidates, type LinkSent, loginUrlOf } from './link-forms.ts';
import { type LinkPages, readPages } from './link-pages.ts';
import type { PendingLinks } from './link-pending.ts';
import { parseReturnPath } from './return-path.ts';
import { signInUrl } from './start.ts';

/** A mark outlives its link by what clocks of replicas differ, and by what may lie between looking at the time and here. */
const OUTLIVES_MS = 10 * 60_000;

export type SignInByLink = {
  /** A link that came in. Behind the session middleware, as `resume` and `confirm` are. */
  readonly open: (ctx: Context, place: Place, sent: Result<LinkSent>) => Promise<void>;
  /** The same link in a request that shows the browser's session, which a post from another site does not. */
  readonly resume: (ctx: Context, place: Place) => Promise<void>;
  /** The person wants to be who the link says. @param answered the question that was on the page */
  readonly confirm: (ctx: Context, place: Place, answered: string) => Promise<void>;
};

type Dependencies = {
  readonly store: Store;
  readonly accounts: Accounts;
  readonly people: People;
  readonly pending: PendingLinks;
  readonly browserSession: BrowserSession;
  readonly personSessions: PersonSessions;
  readonly ownHeaders: OwnHeaders;
  readonly audit: Audit;
  readonly clock: Clock;
};

/** What is known of the person's wish: a link that came in, the same in a request that shows the session, or the answer to our question. */
type Step = 'opened' | 'resumed' | 'confirmed';

export function createSignInByLink(dependencies: Dependencies): SignInByLink {
  const { pending, browserSession, ownHeaders, clock } = dependencies;

  async function enter(ctx: Context, place: Place, sent: LinkSent, step: Step, question?: string): Promise<void> {
    const configs = candidates(place, sent);
    const pages = readPages(sent, place, configs);
    try {
      if (!pages.ok) throw failureOf(pages.refusal);
      if (pages.value.elsewhere !== undefined) return seeOther(ctx, pages.value.elsewhere);
      const opened = await openLink(sent.token, configs);
      if (!opened.ok) throw failureOf(opened.refusal);
      const current = browserSession.current(ctx);
      if (current?.record.link === opened.value.digest) return land(ctx, place, pages.value); // it is this very link's
      const link = verifyLink(opened.value, clock.nowMs() / 1000);
      if (!link.ok) throw failureOf(link.refusal);
      const isOther = current !== undefined && isSomebodyElse(current, link.value.verified);
      // a browser withholds the session's cookie from a post of another site; and no question stands at an address with a token
      if (step === 'opened' && (isOther || isForeignPost(ctx, place))) return await pending.postpone(ctx, place, sent);
      if (isOther && step === 'resumed')
        return await sendQuestion(ctx, place, current, link.value.verified, question ?? '', ownHeaders);
      await signIn(ctx, place, link.value, pages.value, dependencies);
    } catch (error) {
      if (!(error instanceof GatewayFailure)) throw error;
      const loginUrl = (pages.ok ? pages.value.loginUrl : undefined) ?? loginUrlOf(place, configs) ?? loginUrlOf(place);
      refuse(ctx, place, error, loginUrl, dependencies.audit);
    }
  }

  return {
    async open(ctx, place, sent) {
      if (sent.ok) return enter(ctx, place, sent.value, 'opened');
      refuse(ctx, place, failureOf(sent.refusal), loginUrlOf(place), dependencies.audit);
    },
    async resume(ctx, place) {
      const kept = await pending.read(ctx, place);
      // reloaded, or gone back to: who is signed in is where they wanted to be
      if (kept === undefined) return seeOther(ctx, urls.home(place.site));
      await enter(ctx, place, kept.sent, 'resumed', kept.question);
    },
    async confirm(ctx, place, answered) {
      if (!isSameOriginPost(ctx.req.headers, place.site.origin))
        throw new GatewayFailure('request_invalid', { reason: 'link_not_confirmed_from_here' });
      const kept = await pending.read(ctx, place);
      if (kept === undefined) return seeOther(ctx, urls.home(place.site));
      // another link came in meanwhile: yes to the one is no yes to the other
      if (kept.question !== answered) return seeOther(ctx, urls.link(place.tenant, place.site, { resume: '1' }));
      await enter(ctx, place, kept.sent, 'confirmed');
    },
  };
}

/** A program that posts says nothing of where it comes from; a browser does. */
function isForeignPost(ctx: Context, { site }: Place): boolean {
  if (ctx.method !== 'POST') return false;
  const { origin } = ctx.req.headers;
  return isCrossSite(ctx.req.headers) ?? (origin !== undefined && origin !== site.origin);
}

function isSomebodyElse({ record }: Session, { issuer, claims }: VerifiedClaims): boolean {
  return record.issuer !== issuer || record.sub !== claims.sub;
}

function land(ctx: Context, { site }: Place, { returnPath }: LinkPages): void {
  seeOther(ctx, `${site.origin}${returnPath}`);
}

async function signIn(
  ctx: Context,
  place: Place,
  link: VerifiedLink,
  pages: LinkPages,
  dependencies: Dependencies,
): Promise<void> {
  const { store, audit } = dependencies;
  const { tenant } = place;
  const { verified, person } = await admit(place, link, dependencies);
  for (const claim of person.dropped) audit('claims.dropped', { claim });
  const spent = keys.link(tenant.id, link.digest);
  if (link.untilSeconds !== undefined) {
    const livesMs = Math.max(0, link.untilSeconds * 1000 - dependencies.clock.nowMs()) + OUTLIVES_MS;
    if (!(await store.add(spent, '1', livesMs))) throw failureOf({ reason: 'link_used' });
  }
  try {
    await establish(ctx, place, link, verified, person, pages, dependencies);
  } catch (error) {
    // nobody is signed in by it, so it may be used again
    await store.take(spent).catch(() => {});
    throw error;
  }
  land(ctx, place, pages);
}

/** Who it is, with which groups. Throws for somebody who may not be here. */
async function admit(
  { tenant }: Place,
  link: VerifiedLink,
  { accounts, people, personSessions }: Dependencies,
): Promise<{ verified: VerifiedClaims; person: Identified }> {
  const { issuer, issuedAtSeconds } = link.verified;
  const sub = String(link.verified.claims.sub);
  if (!/^[\x20-\x7e]{1,255}$/.test(sub)) throw failureOf({ reason: 'claim_malformed', evidence: { claim: 'sub' } });
  const found = link.config.people === undefined ? undefined : await people.find(link.config.people, sub);
  if (found !== undefined && !found.ok) throw failureOf(found.refusal);
  const account = await accounts.find(tenant, { issuer, sub });
  const name = account?.name == null ? {} : { name: account.name }; // kept from the first time
  const verified = withClaims(link.verified, { ...found?.value, ...name });
  const person = identify(verified, tenant);
  if (!person.ok) {
    if (person.refusal.identity !== undefined && link.isDated)
      await personSessions.endAll(tenant, { issuer, sub }, 'no_groups', { byTokensUntil: issuedAtSeconds });
    throw failureOf(person.refusal.refusal);
  }
  if (link.config.dialect === 'issuely' && !(await accounts.holdsEmail(tenant, sub)))
    throw failureOf({ reason: 'email_of_another_tenant' });
  return { verified, person: person.value };
}

async function establish(
  ctx: Context,
  place: Place,
  link: VerifiedLink,
  verified: VerifiedClaims,
  person: Identified,
  { logoutUrl }: LinkPages,
  { accounts, browserSession, personSessions, audit, clock }: Dependencies,
): Promise<void> {
  const { tenant } = place;
  const { issuer, issuedAtSeconds: tokenIat } = verified;
  const { dialect } = link.config;
  const { identity, groups } = person;
  const { sub, email, name } = identity;
  if (await accounts.seen(tenant, { connection: dialect, issuer, sub, email, name }, clock.nowMs()))
    audit('user.provisioned', { sub, connection: dialect });
  const userAgent = ctx.req.headers['user-agent'] ?? null;
  const facts = { identity, groups, sid: null, connection: dialect, issuer, tokenIat, userAgent };
  const { digest: which, projectId } = link;
  const leave = logoutUrl ?? link.config.logout_url;
  const record = createRecord(tenant, { ...facts, link: which, logoutUrl: leave, projectId }, clock.nowMs());
  const fresh = { record, idToken: undefined, begunAtMs: clock.nowMs() };
  const established = await browserSession.establish(ctx, fresh, () => personSessions.applyGroups(tenant, record));
  if (!established.ok) throw failureOf(established.refusal);
  audit('sign_in.succeeded', { connection: dialect, sub, groups });
}

/** Back to the page that sent the person, where there is one; an outage of ours is told here. */
function refuse(ctx: Context, place: Place, error: GatewayFailure, loginUrl: string | undefined, audit: Audit): void {
  const retryUrl = place.tenant.oidc === undefined ? loginUrl : signInUrl(place, parseReturnPath(undefined, place));
  if (loginUrl === undefined || error.status >= 500) throw error.with({ event: 'sign_in.refused', retryUrl });
  const { reason, evidence } = error.options;
  audit('sign_in.refused', { ...evidence, error: error.code, reason: reason ?? error.code });
  const target = new URL(loginUrl);
  target.searchParams.set('error', error.code);
  seeOther(ctx, target.href);
}

/** Login CSRF (RFC 6749 section 10.12): whoever sends a link must not decide whose account a person works in. */
async function sendQuestion(
  ctx: Context,
  place: Place,
  { record }: Session,
  { claims }: VerifiedClaims,
  question: string,
  ownHeaders: OwnHeaders,
): Promise<void> {
  const { tenant, site } = place;
  const other = String(claims.name ?? claims.email ?? claims.sub);
  const content = html`<p>You are signed in to ${tenant.name} as <strong>${record.name ?? record.sub}</strong>. The link that you opened would sign you in as <strong>${other}</strong> instead.</p>
<div class="actions">
<form method="post" action="${urls.link(tenant, site)}"><input type="hidden" name="confirm" value="${question}"><button class="button">Continue as ${other}</button></form>
<a class="button quiet" href="${urls.home(site)}">Stay signed in</a>
</div>`;
  await sendPage(ctx, { title: 'Somebody else?', content, tenant, formLeadsOn: true }, ownHeaders);
}
