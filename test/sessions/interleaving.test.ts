import { afterAll, describe, expect, it } from 'vitest';
import { tenantFileSchema } from '../../src/config/tenant-file.ts';
import { createSealer } from '../../src/kernel/seal.ts';
import { Secret } from '../../src/kernel/secret.ts';
import { createHints } from '../../src/sessions/hint.ts';
import { createKnownGroups } from '../../src/sessions/known-groups.ts';
import { createRecord } from '../../src/sessions/record.ts';
import { createSessionIndex } from '../../src/sessions/session-index.ts';
import { createSessions } from '../../src/sessions/sessions.ts';
import { createPersonSessions } from '../../src/sessions/sync.ts';
import { createMemoryStore } from '../../src/storage/memory.ts';
import type { Store } from '../../src/storage/store.ts';
import { createTenant } from '../../src/tenants/tenant.ts';
import { createStillClock } from '../support/fake-clock.ts';

/**
 * A logout that lands anywhere between the validation of a token and the end of the sign-in wins. Two replicas run against one
 * store whose every operation waits until a seeded schedule lets it go: many schedules, the same promise in all of them.
 */
const SCHEDULES = 600;
const clock = createStillClock();
const store = createMemoryStore(clock);
afterAll(() => store.close());
const tenant = createTenant(
  tenantFileSchema.parse({ id: 'acme', oidc: { issuer: 'https://idp.example', client_id: 'x' } }),
);
const sealer = createSealer([new Secret('k'.repeat(32))], 'hint');
const IDENTITY = {
  email: null,
  name: 'x',
  preferred_username: null,
  given_name: null,
  family_name: null,
  locale: null,
  zoneinfo: null,
};

const ORDER = { clockToleranceSeconds: 0, markedMs: 60_000 };

/** mulberry32: the same seed, the same schedule. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** Holds every store operation of both replicas back and lets one at a time go, in the order of the dice. */
function createStage(random: () => number) {
  const waiting: (() => void)[] = [];
  const turn = (): Promise<void> => new Promise((resolve) => waiting.push(resolve));
  const staged = new Proxy(store, {
    get(target, name, receiver) {
      const method: unknown = Reflect.get(target, name, receiver);
      if (typeof method !== 'function' || name === 'listen') return method;
      return async (...args: unknown[]) => {
        await turn();
        return Reflect.apply(method, target, args);
      };
    },
  });
  return {
    store: staged satisfies Store,
    async play(actors: Promise<unknown>[]) {
      let running = true;
      const all = Promise.all(actors).finally(() => {
        running = false;
      });
      while (running) {
        const next = waiting.splice(Math.floor(random() * waiting.length), 1)[0];
        next?.();
        await new Promise((resolve) => setImmediate(resolve));
      }
      await all;
    },
  };
}

function replica(over: Store) {
  const index = createSessionIndex(over);
  const sessions = createSessions({ store: over, index, hints: createHints(over, sealer), clock, audit: () => {} });
  return { sessions, persons: createPersonSessions(sessions, index, createKnownGroups(over), clock, () => {}), index };
}

const plain = replica(store);
const issuer = tenant.oidc?.issuer ?? '';
const seconds = clock.nowMs() / 1000;

function freshOf(sub: string, sid: string, tokenIat = seconds) {
  const facts = {
    identity: { ...IDENTITY, sub },
    groups: ['a'],
    connection: 'oidc' as const,
    issuer,
    sid,
    tokenIat,
    userAgent: null,
  };
  return { record: createRecord(tenant, facts, clock.nowMs()), idToken: 'a.b.c', begunAtMs: clock.nowMs() };
}

describe(`over ${SCHEDULES} schedules`, () => {
  it.each(['sid', 'sub', 'both'] as const)(
    'a logout by %s and a sign-in at the same time leave no session',
    async (by) => {
      for (let seed = 0; seed < SCHEDULES; seed++) {
        const { store: staged, play } = createStage(seeded(seed));
        const [here, there] = [replica(staged), replica(staged)];
        const [sub, sid, id] = [`${by}-${seed}`, `${by}-s-${seed}`, `${by}${seed}`.padEnd(43, '0')];
        const order = {
          ...ORDER,
          issuer,
          sid: by === 'sub' ? undefined : sid,
          sub: by === 'sid' ? undefined : sub,
          issuedAtSeconds: seconds,
        };
        await play([here.sessions.establish(tenant, id, freshOf(sub, sid)), there.persons.obey(tenant, order)]);
        const left = await plain.sessions.ofSubject(tenant, { kind: 'person', issuer, value: sub });
        expect({ seed, left: left.length, found: await plain.sessions.findById(tenant, id) }).toEqual({
          seed,
          left: 0,
          found: undefined,
        });
      }
    },
  );

  it('a sign-in that was begun after the logout stays, even within the same second', async () => {
    for (let seed = 0; seed < 50; seed++) {
      const { store: staged, play } = createStage(seeded(seed));
      const [sub, sid, id] = [`later-${seed}`, `later-s-${seed}`, `later${seed}`.padEnd(43, '0')];
      await plain.persons.obey(tenant, { ...ORDER, issuer, sid: undefined, sub, issuedAtSeconds: seconds });
      clock.advance(1);
      const established = replica(staged).sessions.establish(tenant, id, freshOf(sub, sid));
      await play([established]);
      expect((await established).ok).toBe(true);
    }
  });

  it('a sign-out and a change of groups at the same time leave no session', async () => {
    for (let seed = 0; seed < SCHEDULES; seed++) {
      const { store: staged, play } = createStage(seeded(seed));
      const [here, there] = [replica(staged), replica(staged)];
      const [sub, id] = [`change-${seed}`, `change${seed}`.padEnd(43, '0')];
      const established = await plain.sessions.establish(tenant, id, freshOf(sub, `change-s-${seed}`));
      if (!established.ok) throw new Error('not established');
      const { idDigest } = established.value;
      const person = { issuer, sub, groups: ['b'], groups_iat: seconds + 1 };
      await play([here.sessions.end(tenant, idDigest, 'signed_out'), there.persons.applyGroups(tenant, person)]);
      expect({ seed, found: await plain.sessions.findById(tenant, id) }).toEqual({ seed, found: undefined });
    }
  });

  it.each(['old', 'new'] as const)(
    'a logout of the %s sid and a renewal that moves from one to the other leave no session',
    async (which) => {
      for (let seed = 0; seed < SCHEDULES; seed++) {
        const { store: staged, play } = createStage(seeded(seed));
        const [here, there] = [replica(staged), replica(staged)];
        const [sub, id] = [`renew-${which}-${seed}`, `renew${which}${seed}`.padEnd(43, '0')];
        const sids = { old: `${sub}-old`, new: `${sub}-new` };
        const established = await plain.sessions.establish(tenant, id, freshOf(sub, sids.old));
        if (!established.ok) throw new Error('not established');
        const { idDigest } = established.value;
        const proof = { idToken: 'a.b.d', begunAtMs: clock.nowMs() };
        const renewing = here.sessions.renew(tenant, idDigest, proof, (record) => ({
          ...record,
          sid: sids.new,
          token_iat: seconds,
        }));
        const order = { ...ORDER, issuer, sid: sids[which], sub: undefined, issuedAtSeconds: seconds };
        await play([renewing, there.persons.obey(tenant, order)]);
        const found = await plain.sessions.findById(tenant, id);
        // a logout of the old sid that comes when the session has moved on is about nothing any more
        const movedOn = which === 'old' && found?.record.sid === sids.new;
        expect({ seed, gone: found === undefined || movedOn }).toEqual({ seed, gone: true });
      }
    },
  );

  it('two logouts at the same time leave the mark of the later one', async () => {
    for (let seed = 0; seed < SCHEDULES; seed++) {
      const { store: staged, play } = createStage(seeded(seed));
      const [here, there] = [replica(staged), replica(staged)];
      const subject = { kind: 'person' as const, issuer, value: `marks-${seed}` };
      const mark = (atSeconds: number) => ({ atSeconds, nowMs: clock.nowMs(), lifetimeMs: 60_000 });
      const { record } = freshOf(subject.value, 'none', seconds - 5);
      await play([
        here.index.markEnded(tenant, subject, mark(seconds)),
        there.index.markEnded(tenant, subject, mark(seconds - 10)),
      ]);
      expect({ seed, ended: await plain.index.isEnded(tenant, record, clock.nowMs()) }).toEqual({ seed, ended: true });
    }
  });

  it('two changes of groups at the same time leave those of the younger token', async () => {
    for (let seed = 0; seed < SCHEDULES; seed++) {
      const { store: staged, play } = createStage(seeded(seed));
      const [here, there] = [replica(staged), replica(staged)];
      const [sub, id] = [`two-${seed}`, `two${seed}`.padEnd(43, '0')];
      await plain.sessions.establish(tenant, id, freshOf(sub, `two-s-${seed}`));
      await play([
        here.persons.applyGroups(tenant, { issuer, sub, groups: ['old'], groups_iat: seconds + 1 }),
        there.persons.applyGroups(tenant, { issuer, sub, groups: ['new'], groups_iat: seconds + 2 }),
      ]);
      const found = await plain.sessions.findById(tenant, id);
      expect({ seed, groups: found?.record.groups }).toEqual({ seed, groups: ['new'] });
    }
  });
});
