import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type House, openHouse, signIn, signInAtGlobex, start } from '../support/house.ts';

let house: House;
beforeAll(async () => {
  house = await openHouse();
});
afterAll(() => house.close());

const read = async (): Promise<string> => (await fetch(`${house.gateway.opsUrl}/metrics`)).text();
const figure = (text: string, series: string): number =>
  Number(
    text
      .split('\n')
      .find((line) => line.startsWith(`${series} `))
      ?.split(' ')[1] ?? Number.NaN,
  );

describe('/metrics', () => {
  it('is on the private listener only', async () => {
    expect((await house.visitor().send('/metrics')).status).toBe(404);
    const reply = await fetch(`${house.gateway.opsUrl}/metrics`);
    expect(reply.status).toBe(200);
    expect(reply.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/);
    expect((await fetch(`${house.gateway.opsUrl}/metrics`, { method: 'POST' })).status).toBe(405);
  });

  it('counts sign-ins by tenant and outcome, events, requests, the store and the providers', async () => {
    await signIn(house, house.visitor());
    await signInAtGlobex(house, house.visitor());
    await signIn(house, house.visitor(), { claims: { roles: ['chess'] } });
    await house.visitor().send('/AcmeCorp');
    const text = await read();
    expect(figure(text, 'gatehouse_sign_ins_total{tenant="acme",outcome="succeeded"}')).toBe(1);
    expect(figure(text, 'gatehouse_sign_ins_total{tenant="globex",outcome="succeeded"}')).toBe(1);
    expect(figure(text, 'gatehouse_sign_ins_total{tenant="acme",outcome="no_groups"}')).toBe(1);
    expect(figure(text, 'gatehouse_events_total{event="sign_in.started"}')).toBe(3);
    expect(figure(text, 'gatehouse_tenants')).toBe(2);
    expect(figure(text, 'gatehouse_streams')).toBe(0);
    for (const status of ['3xx', '4xx'])
      expect(figure(text, `gatehouse_request_seconds_count{status="${status}"}`)).toBeGreaterThanOrEqual(2);
    expect(figure(text, 'gatehouse_store_seconds_count{outcome="ok"}')).toBeGreaterThan(5);
    expect(figure(text, 'gatehouse_idp_request_seconds_count{outcome="ok"}')).toBe(4);
    for (const document of ['discovery', 'keys'])
      expect(figure(text, `gatehouse_idp_documents_total{document="${document}",outcome="ok"}`)).toBe(2);
    expect(text).toContain('nodejs_eventloop_lag_seconds');
  });

  it('counts sessions that are used, and those that were ended', async () => {
    const visitor = house.visitor();
    await signIn(house, visitor);
    await visitor.send('/AcmeCorp');
    expect(figure(await read(), 'gatehouse_sessions_at_hand')).toBeGreaterThanOrEqual(1);
    await visitor.post('/SSO/OIDC/acme/SignOut', {}, { 'sec-fetch-site': 'same-origin' });
    house.gateway.clock.advance(2_000);
    const text = await read();
    expect(figure(text, 'gatehouse_sessions_at_hand')).toBe(0);
    expect(figure(text, 'gatehouse_sessions_ended_total{reason="signed_out"}')).toBe(1);
  });

  it('counts what failed', async () => {
    const broken = await openHouse();
    broken.acme.misbehave = (_, response) => response.writeHead(500).end();
    await broken.visitor().go('/AcmeCorp');
    const text = await (await fetch(`${broken.gateway.opsUrl}/metrics`)).text();
    expect(figure(text, 'gatehouse_idp_request_seconds_count{outcome="failed"}')).toBeGreaterThanOrEqual(1);
    expect(figure(text, 'gatehouse_sign_ins_total{tenant="acme",outcome="idp_unavailable"}')).toBe(1);
    await broken.close();
  });

  it('holds nothing that a visitor wrote, and no secret', async () => {
    const visitor = house.visitor();
    const asked = await start(visitor);
    for (const path of ['/evil-path-1', '/AcmeCorp/evil-path-2', '/SSO/OIDC/evil-tenant/SignIn'])
      await visitor.send(path);
    await visitor.send('/SSO/OIDC/acme/Callback?error=evil-error&state=x');
    const text = await read();
    for (const secret of ['evil', asked.state, asked.nonce]) expect(text).not.toContain(secret);
  });
});
