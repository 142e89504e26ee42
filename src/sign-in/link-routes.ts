/** Which requests are signed links, at each of their addresses; what a link does is in link.ts. */
import { companyOf } from '../connections/links/issuely.ts';
import { readForm } from '../edge/form.ts';
import type { OwnHeaders } from '../edge/headers.ts';
import type { Context } from '../edge/request.ts';
import { GatewayFailure } from '../kernel/failure.ts';
import { failureOf } from '../kernel/refusal.ts';
import type { Result } from '../kernel/result.ts';
import type { Place, Registry } from '../tenants/registry.ts';
import type { SignInByLink } from './link.ts';
import { formOf, type LinkSent, readParameters, readSent } from './link-forms.ts';

type Handle = (ctx: Context, place: Place) => Promise<void>;

export type LinkRoutes = {
  /** `/SSO/Link/:id`, GET and POST. */
  readonly atLinkUrl: Handle;
  /** `/api/auth/sso` on the shared host: the tenant is the one whose company the token names. */
  readonly atIssuelyUrl: (ctx: Context) => Promise<void>;
  /** @returns whether the request to a tenant URL was a link; then it is answered */
  readonly atTenantUrl: (ctx: Context, place: Place) => Promise<boolean>;
};

/** @param withSession makes the browser's session known to a handler */
export function createLinkRoutes(
  links: SignInByLink,
  registry: Pick<Registry, 'byCompany'>,
  ownHeaders: OwnHeaders,
  withSession: (handle: Handle) => Handle,
): LinkRoutes {
  const open = (ctx: Context, place: Place, sent: Result<LinkSent>): Promise<void> =>
    withSession(() => links.open(ctx, place, sent))(ctx, place);

  return {
    async atLinkUrl(ctx, place) {
      if (place.tenant.links.length === 0) throw new GatewayFailure('tenant_not_found');
      const query = new URLSearchParams(ctx.querystring);
      const parameters = ctx.method === 'POST' ? await readForm(ctx) : query;
      const answered = ctx.method === 'POST' ? parameters.get('confirm') : null;
      if (answered !== null) return withSession(() => links.confirm(ctx, place, answered))(ctx, place);
      if (ctx.method === 'GET' && query.get('resume') === '1') return withSession(links.resume)(ctx, place);
      await open(ctx, place, readParameters(parameters, undefined));
    },
    async atIssuelyUrl(ctx) {
      const sent = readParameters(new URLSearchParams(ctx.querystring), 'issuely');
      if (!sent.ok) throw failureOf(sent.refusal, { event: 'sign_in.refused' });
      const company = companyOf(sent.value.token);
      if (company === undefined) throw failureOf({ reason: 'token_not_compact' }, { event: 'sign_in.refused' });
      const place = registry.byCompany(company, ctx.state.host);
      if (place === undefined) throw new GatewayFailure('tenant_not_found');
      ctx.state.place = place;
      await open(ctx, place, sent);
    },
    async atTenantUrl(ctx, place) {
      const form = formOf(place, ctx.path, ctx.querystring);
      if (form === undefined) return false;
      if (form === 'invoiced') ctx.state.shownPath = `${place.site.prefix}/login/[token]`;
      ownHeaders(ctx);
      // nothing changes by any other method, and no token passes on to the app
      if (ctx.method !== 'GET') throw new GatewayFailure('method_not_allowed', { headers: { Allow: 'GET' } });
      await open(ctx, place, readSent(form, place, ctx.path, ctx.querystring));
      return true;
    },
  };
}
