import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { tenantFileSchema } from '../../src/config/tenant-file.ts';
import { createRecord } from '../../src/sessions/record.ts';
import { createSessionCache, type SessionCache } from '../../src/sessions/session-cache.ts';
import { keys } from '../../src/storage/keys.ts';
import { createMemoryStore } from '../../src/storage/memory.ts';
import type { Store } from '../../src/storage/store.ts';
import { createTenant, type Tenant } from '../../src/tenants/tenant.ts';
import { createStillClock, type FakeClock } from '../support/fake-clock.ts';

/** What a replica may keep of a session, and for how long: two replicas over one store, and time that stands still. */
const ID = 'd'.repeat(43);
const acme = tenantOf('acme');
const globex = tenantOf('globex');
const key = keys.session('acme', ID);

let clock: FakeClock;
let shared: Store;
let reads: number;
let hears: boolean;
let lost: boolean;
let here: SessionCache;
let there: SessionCache;

function tenantOf(id: string): Tenant {
  return createTenant(tenantFileSchema.parse({ id, oidc: { issuer: 'https://idp.example', client_id: 'x' } }));
}

function recordOf(groups: string[]): string {
  const facts = {
    identity: {
      sub: 'ada',
      email: null,
      name: 'Ada',
      preferred_username: null,
      given_name: null,
      family_name: null,
      locale: null,
      zoneinfo: null,
    },
    groups,
    connection: 'oidc' as const,
    issuer: 'https://idp.example',
    sid: null,
    tokenIat: 1,
    userAgent: null,
  };
  return JSON.stringify(createRecord(acme, facts, clock.nowMs()));
}

/** The shared store as one replica sees it: counted, and with announcements that may not arrive. */
function line(): Store {
  return {
    ...shared,
    get: (...asked) => {
      reads += 1;
      return shared.get(...asked);
    },
    announce: async (changed) => (lost ? undefined : shared.announce(changed)),
    listen: (listener) => {
      shared.listen(listener);
      return () => hears;
    },
  };
}

beforeEach(async () => {
  clock = createStillClock();
  shared = createMemoryStore(clock);
  [reads, hears, lost] = [0, true, false];
  here = createSessionCache(line(), clock);
  there = createSessionCache(line(), clock);
  await shared.set(key, recordOf(['a']), acme.session.idle);
});
afterEach(() => shared.close());

const groupsOf = (cache: SessionCache, tenant = acme): readonly string[] | undefined =>
  cache.known(tenant, ID, true)?.record.groups;

describe('what a replica has just read', () => {
  it('is known without asking again, to that replica and for that tenant only', async () => {
    expect(groupsOf(here)).toBeUndefined();
    await here.read(acme, ID, true);
    expect(groupsOf(here)).toEqual(['a']);
    expect(reads).toBe(1);
    expect(groupsOf(there)).toBeUndefined();
    expect(groupsOf(here, globex)).toBeUndefined();
    expect(groupsOf(here, tenantOf('acme'))).toBeUndefined(); // its file was changed meanwhile
  });

  it('is known no longer once any replica changed or ended it', async () => {
    await here.read(acme, ID, true);
    await there.changing(key, () => shared.set(key, recordOf(['b']), 60_000));
    expect(groupsOf(here)).toBeUndefined();
    await here.read(acme, ID, true);
    expect(groupsOf(here)).toEqual(['b']);
    await there.changing(key, () => shared.take(key));
    expect(groupsOf(here)).toBeUndefined();
    expect(await here.read(acme, ID, true)).toBeUndefined();
  });

  it('is known for less than a second, though every announcement be lost', async () => {
    lost = true;
    await here.read(acme, ID, true);
    await there.changing(key, () => shared.take(key));
    clock.advance(799);
    expect(groupsOf(here)).toEqual(['a']);
    clock.advance(1);
    expect(groupsOf(here)).toBeUndefined();
  });

  it('is not known when the clock was set back', async () => {
    await here.read(acme, ID, true);
    clock.advance(-1);
    expect(groupsOf(here)).toBeUndefined();
  });

  it('is not known past the end of the session', async () => {
    clock.advance(acme.session.absolute - 100);
    await shared.set(
      key,
      recordOf(['a']).replace(/"expires_at_ms":\d+/, `"expires_at_ms":${clock.nowMs() + 100}`),
      1e6,
    );
    await here.read(acme, ID, true);
    expect(groupsOf(here)).toEqual(['a']);
    clock.advance(100);
    expect(groupsOf(here)).toBeUndefined();
  });

  it('is read anew beside the answer by who keeps coming, who so never waits, and sees an end that was not announced', async () => {
    await here.read(acme, ID, true);
    for (let i = 0; i < 10; i++) {
      clock.advance(400);
      expect(groupsOf(here)).toEqual(['a']);
      await Promise.resolve();
    }
    expect(reads).toBe(11);
    lost = true;
    await there.changing(key, () => shared.take(key));
    clock.advance(400);
    groupsOf(here);
    await new Promise((resolve) => setImmediate(resolve));
    expect(groupsOf(here)).toBeUndefined();
  });

  it('renews the idle time as long as it is used', async () => {
    await here.read(acme, ID, true);
    for (let i = 0; i < 20; i++) {
      clock.advance(acme.session.idle - 1);
      expect(await here.read(acme, ID, true)).toBeDefined();
    }
  });

  it('is not kept by who does not use it: HEAD must not stand in for what renews the idle time', async () => {
    await here.read(acme, ID, false);
    expect(groupsOf(here)).toBeUndefined();
  });
});

describe('nothing is kept', () => {
  it('while announcements do not arrive', async () => {
    hears = false;
    await here.read(acme, ID, true);
    hears = true;
    expect(groupsOf(here)).toBeUndefined();
  });

  it('that was under way while an announcement came', async () => {
    const slow = createSessionCache(
      {
        ...line(),
        get: async (...asked) => {
          const value = await shared.get(...asked);
          await there.changing(key, () => shared.take(key));
          return value;
        },
      },
      clock,
    );
    await slow.read(acme, ID, true);
    expect(slow.known(acme, ID, true)).toBeUndefined();
  });

  it('of a session that is not there', async () => {
    const other = 'e'.repeat(43);
    await here.read(acme, other, true);
    await shared.set(keys.session('acme', other), recordOf(['a']), 60_000);
    expect(await here.read(acme, other, true)).toBeDefined();
  });

  it('after announcements may have been missed', async () => {
    await here.read(acme, ID, true);
    let tell: (changed: string | undefined) => void = () => {};
    const listen: Store['listen'] = (listener) => {
      tell = listener;
      return () => true;
    };
    const cut = createSessionCache({ ...line(), listen }, clock);
    await cut.read(acme, ID, true);
    expect(groupsOf(cut)).toEqual(['a']);
    tell(undefined);
    expect(groupsOf(cut)).toBeUndefined();
  });
});
