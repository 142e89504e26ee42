/**
 * `/SSO/OIDC/:id/SignOut`, the one sign-out URI that a tenant registers (contract section 6). Who is asking decides: the IdP
 * by a logout token, the IdP by a frame, or a person.
 */
import { readForm } from '../edge/form.ts';
import type { Context } from '../edge/request.ts';
import { hasOidc, type OidcPlace, type Place } from '../tenants/registry.ts';
import { type FrontChannel, isFrontChannel } from './front-channel.ts';
import type { PersonSignOut } from './person.ts';

type HandleForm = (ctx: Context, place: OidcPlace, form: URLSearchParams) => Promise<void>;
export type HandleSignOut = (ctx: Context, place: Place) => Promise<void>;
/** Makes the browser's session known to a handler; the IdP's messages are none of its business. */
type WithSession = (handle: HandleSignOut) => HandleSignOut;

export function createHandleSignOut(
  back: HandleForm,
  front: FrontChannel,
  person: PersonSignOut,
  withSession: WithSession,
): HandleSignOut {
  return async (ctx, place) => {
    if (ctx.method === 'POST') {
      const form = await readForm(ctx);
      if (form.has('logout_token') && hasOidc(place)) return back(ctx, place, form);
      return withSession(() => person.signOut(ctx, place, form))(ctx, place);
    }
    const query = new URLSearchParams(ctx.querystring);
    return isFrontChannel(query, place) ? front(ctx, place, query) : withSession(person.ask)(ctx, place);
  };
}
