/**
 * People at two tenants who keep working and signing in while something goes wrong, and what came of it. What must never come is counted as
 * wrong: somebody else's session, a session that had ended, another tenant's, an answer that is neither.
 */
import { type Adversary, openAdversary } from './adversary.ts';
import { ACME_CALLBACK, askedOf, GLOBEX_CALLBACK, sessionOf, validClaims } from './house.ts';
import { Visitor } from './visitor.ts';

type TenantName = 'acme' | 'globex';
const SLUGS = { acme: '/AcmeCorp', globex: '/globex' } as const;

type Person = {
  readonly sub: string;
  readonly tenant: TenantName;
  /** the cookies, for whichever replica is asked */
  readonly cookies: ReadonlyMap<string, string>;
  /** signed out before: nobody may ever be let in by this again */
  readonly hasLeft: boolean;
};

export type Tally = {
  right: number;
  unavailable: number;
  /** connections that broke, or were refused */
  broken: number;
  signIns: number;
  /** sign-ins that did not end in a session, and whose people had to begin again */
  signInsLost: number;
  /** between the first and the last answer that was 503 or broken */
  secondsOfTrouble: number;
  /** of those who were signed in before: who is no longer, when all is well again */
  sessionsLost: number;
  readonly wrong: string[];
};

export type Providers = { readonly acme: Adversary; readonly globex: Adversary; readonly close: () => Promise<void> };

export async function openProviders(): Promise<Providers> {
  const [acme, globex] = await Promise.all([openAdversary(), openAdversary()]);
  return { acme, globex, close: async () => void (await Promise.all([acme.stop(), globex.stop()])) };
}

const PEOPLE = 30;
const WORKERS = 6;

/**
 * @param urls of the replicas, asked in turn, as a balancer without any checks would
 * @param trouble what happens meanwhile; the load goes on until it is done
 */
export async function underLoad(
  providers: Providers,
  urls: readonly string[],
  trouble: () => Promise<void>,
): Promise<Tally> {
  let turn = 0;
  const nextUrl = (): string => urls[turn++ % urls.length] ?? '';
  const tally: Tally = {
    right: 0,
    unavailable: 0,
    broken: 0,
    signIns: 0,
    signInsLost: 0,
    secondsOfTrouble: 0,
    sessionsLost: 0,
    wrong: [],
  };
  const people: Person[] = [];
  for (let index = 0; index < PEOPLE; index++) {
    const tenant = index % 2 === 0 ? 'acme' : 'globex';
    const sub = `person-${index}`;
    const visitor = new Visitor(nextUrl());
    if ((await signIn(providers, visitor, tenant, sub)) !== 'signed in') throw new Error('nobody could sign in before');
    const hasLeft = index % 5 === 0;
    const person = { sub, tenant, cookies: new Map(visitor.cookies), hasLeft } as const;
    if (hasLeft) await visitor.post(`/SSO/OIDC/${tenant}/SignOut`, {}, { 'sec-fetch-site': 'same-origin' });
    people.push(person);
  }
  let first = 0;
  let last = 0;
  const troubled = (what: 'unavailable' | 'broken'): void => {
    tally[what] += 1;
    last = performance.now();
    first ||= last;
  };

  async function look({ sub, tenant, cookies, hasLeft }: Person): Promise<void> {
    const visitor = new Visitor(nextUrl());
    for (const [name, value] of cookies) visitor.cookies.set(name, value);
    for (const asked of ['acme', 'globex'] as const) {
      const reply = await visitor.send(`/SSO/Session/${asked}`).catch(() => undefined);
      if (reply === undefined) troubled('broken');
      else if (reply.status === 503) troubled('unavailable');
      else if (reply.status === 200) {
        const session = reply.json();
        const isOwn = asked === tenant && !hasLeft && session.sub === sub && session.tenant === tenant;
        if (isOwn) tally.right += 1;
        else tally.wrong.push(`${sub} of ${tenant}${hasLeft ? ', who had left,' : ''} got ${session.sub} at ${asked}`);
      } else if (reply.status === 401) tally.right += Number(asked !== tenant || hasLeft);
      else tally.wrong.push(`${reply.status} for a session`);
    }
  }

  let goesOn = true;
  const work = async (index: number): Promise<void> => {
    for (let round = index; goesOn; round += WORKERS) {
      const person = people[round % people.length];
      if (person !== undefined) await look(person);
    }
  };
  const arrive = async (): Promise<void> => {
    for (let round = 0; goesOn; round++) {
      const tenant = round % 2 === 0 ? 'acme' : 'globex';
      const outcome = await signIn(providers, new Visitor(nextUrl()), tenant, `newcomer-${round}`, nextUrl());
      if (outcome === 'signed in') tally.signIns += 1;
      else {
        tally.signInsLost += 1;
        if (outcome === 'unavailable' || outcome === 'broken') troubled(outcome);
        else tally.wrong.push(outcome);
      }
    }
  };
  const running = [...Array.from({ length: WORKERS }, (_, index) => work(index)), arrive()];
  try {
    await trouble();
  } finally {
    goesOn = false;
    await Promise.all(running);
  }
  tally.secondsOfTrouble = (last - first) / 1000;
  for (const { tenant, sub, cookies, hasLeft } of people) {
    if (hasLeft) continue;
    const visitor = new Visitor(urls[0] ?? '');
    for (const [name, value] of cookies) visitor.cookies.set(name, value);
    const session = await sessionOf(visitor, tenant);
    if (session?.sub !== sub) tally.sessionsLost += 1;
  }
  return tally;
}

/** @param answerAt another replica to which the answer goes @returns `signed in`, `unavailable`, `broken`, or what else came */
async function signIn(
  providers: Providers,
  visitor: Visitor,
  tenant: TenantName,
  sub: string,
  answerAt?: string,
): Promise<string> {
  try {
    const begun = await visitor.go(SLUGS[tenant]);
    if (begun.status === 503) return 'unavailable';
    if (begun.status !== 303) return `${begun.status} for a start`;
    const idp = providers[tenant];
    const asked = askedOf(begun);
    const id_token = await idp.sign(validClaims(idp, asked, { nowMs: () => Date.now() }, { sub }));
    const back = new Visitor(answerAt ?? new URL(asked.url.searchParams.get('redirect_uri') ?? '').origin);
    for (const [name, value] of visitor.cookies) back.cookies.set(name, value);
    const reply =
      tenant === 'acme'
        ? await back.post(ACME_CALLBACK, { id_token, state: asked.state })
        : await back.post(
            GLOBEX_CALLBACK,
            { id_token, state: asked.state, response_mode: 'fragment' },
            { 'sec-fetch-site': 'same-origin' },
          );
    for (const [name, value] of back.cookies) visitor.cookies.set(name, value);
    if (reply.status === 503) return 'unavailable';
    return reply.status === 303 && visitor.cookies.has(`__Host-gatehouse-session-${tenant}`)
      ? 'signed in'
      : `${reply.status} for an answer`;
  } catch {
    return 'broken';
  }
}
