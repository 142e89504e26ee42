import { afterEach, describe, expect, it } from 'vitest';
import { ACME_CALLBACK, sessionOf, signIn, start, validClaims } from '../support/house.ts';
import { openReplicas, type Replica, type Replicas } from '../support/replicas.ts';

/** Replicas whose clocks differ by less than `clock_tolerance` (30 s): nobody notices. */
let replicas: Replicas;
afterEach(() => replicas.close());

describe.each([20_000, -20_000])('a replica whose clock differs by %i ms', (skewMs) => {
  async function open(): Promise<{ ahead: Replica; right: Replica }> {
    replicas = await openReplicas();
    replicas.two.house.gateway.clock.advance(skewMs);
    return { ahead: replicas.two, right: replicas.one };
  }

  it('finishes sign-ins that began at the other, and the other way round', async () => {
    const { ahead, right } = await open();
    for (const [from, to] of [
      [ahead, right],
      [right, ahead],
    ] as const) {
      const visitor = from.house.visitor();
      const asked = await start(visitor);
      const there = replicas.at(to, visitor);
      const id_token = await replicas.acme.sign(validClaims(replicas.acme, asked, replicas.one.house.gateway.clock));
      await there.post(ACME_CALLBACK, { id_token, state: asked.state });
      expect(await sessionOf(there)).toMatchObject({ sub: 'ada' });
      expect(await sessionOf(replicas.at(from, there))).toMatchObject({ sub: 'ada' });
    }
  });

  it('obeys a logout that came to the other, and what ended stays ended', async () => {
    const { ahead, right } = await open();
    const visitor = right.house.visitor();
    await signIn(right.house, visitor, { claims: { sid: 'sid-1' } });
    const there = replicas.at(ahead, visitor);
    expect(await sessionOf(there)).toMatchObject({ sub: 'ada' });
    const iat = Math.floor(right.house.gateway.clock.nowMs() / 1000);
    const events = { 'http://schemas.openid.net/event/backchannel-logout': {} };
    const claims = {
      iss: replicas.acme.issuer,
      aud: 'gatehouse-acme',
      iat,
      exp: iat + 60,
      jti: 'j',
      sid: 'sid-1',
      events,
    };
    const body = new URLSearchParams({ logout_token: await replicas.acme.sign(claims, { typ: 'logout+jwt' }) });
    const reply = await ahead.house.visitor().send('/SSO/OIDC/acme/SignOut', { method: 'POST', body });
    expect(reply.status).toBe(200);
    expect(await sessionOf(visitor)).toBeUndefined();
    expect(await sessionOf(there)).toBeUndefined();
  });
});
