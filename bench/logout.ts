/** How long a back-channel logout takes to count at the other replica. Two gateways in this process over one Redis. */
import { randomUUID } from 'node:crypto';
import { sessionOf, signIn } from '../test/support/house.ts';
import { openReplicas } from '../test/support/replicas.ts';

const ROUNDS = 200;

export async function benchLogout(): Promise<string[]> {
  const replicas = await openReplicas();
  const { house } = replicas.one;
  const orders: number[] = [];
  const gaps: number[] = [];
  const checks: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const visitor = house.visitor();
    const sid = randomUUID();
    await signIn(house, visitor, { claims: { sid, sub: `person-${round}` } });
    const elsewhere = replicas.at(replicas.two, visitor);
    const beforeCheck = performance.now();
    if ((await sessionOf(elsewhere)) === undefined) throw new Error('not signed in at the other replica');
    checks.push(performance.now() - beforeCheck);
    const now = Math.floor(house.gateway.clock.nowMs() / 1000);
    const events = { 'http://schemas.openid.net/event/backchannel-logout': {} };
    const claims = { iss: house.acme.issuer, aud: 'gatehouse-acme', iat: now, exp: now + 60, jti: sid, sid, events };
    const token = await house.acme.sign(claims, { typ: 'logout+jwt' });
    const beforeOrder = performance.now();
    const body = new URLSearchParams({ logout_token: token });
    await house.visitor().send('/SSO/OIDC/acme/SignOut', { method: 'POST', body });
    const obeyed = performance.now();
    orders.push(obeyed - beforeOrder);
    if ((await sessionOf(elsewhere)) !== undefined) throw new Error('still signed in after the answer');
    gaps.push(performance.now() - obeyed);
  }
  await replicas.close();
  const median = (values: number[]): number => values.sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
  const worst = (values: number[]): string => Math.max(...values).toFixed(1);
  return [
    `the other replica refused the first request after the logout's answer in ${ROUNDS} of ${ROUNDS} rounds`,
    `logout delivered and obeyed: median ${median(orders).toFixed(1)} ms, worst ${worst(orders)} ms`,
    `first refused request: median ${median(gaps).toFixed(1)} ms, worst ${worst(gaps)} ms; ${(median(gaps) / median(checks)).toFixed(1)} of a session check`,
  ];
}
