/**
 * The people who came by signed links: no IdP remembers them, so the gateway does. One record for each person and tenant, without an end;
 * the name is kept as it was first given. And for Issuely: an e-mail belongs to one tenant, the first that it came to.
 */
import { z } from 'zod';
import { DIALECTS } from '../config/links.ts';
import { digest } from '../kernel/random.ts';
import { keys } from '../storage/keys.ts';
import type { Store } from '../storage/store.ts';
import type { Tenant } from '../tenants/tenant.ts';

const text = z.string().nullable();
const schema = z.object({
  v: z.literal(1),
  connection: z.enum(DIALECTS),
  issuer: z.string(),
  sub: z.string(),
  email: text,
  name: text,
  first_seen_ms: z.number(),
  last_seen_ms: z.number(),
});

export type Account = Readonly<z.output<typeof schema>>;
type Person = Pick<Account, 'issuer' | 'sub'>;
type AtTenant = Pick<Tenant, 'id'>;

export type Accounts = {
  readonly find: (tenant: AtTenant, person: Person) => Promise<Account | undefined>;
  /** @returns whether this is the first time */
  readonly seen: (
    tenant: AtTenant,
    person: Omit<Account, 'v' | 'first_seen_ms' | 'last_seen_ms'>,
    nowMs: number,
  ) => Promise<boolean>;
  /** Whether the e-mail is this tenant's, which it is from now on if it was nobody's. Without regard to case. */
  readonly holdsEmail: (tenant: AtTenant, email: string) => Promise<boolean>;
  readonly list: (tenant: AtTenant) => AsyncIterable<Account>;
  /** @returns whether there was one */
  readonly remove: (tenant: AtTenant, account: Account) => Promise<boolean>;
};

/** Another replica may write the same account at the same moment; more often than this is no coincidence. */
const TRIES = 5;

export function createAccounts(store: Store): Accounts {
  return {
    async find(tenant, person) {
      return parse(await store.get(keyOf(tenant, person)));
    },
    async seen(tenant, { connection, issuer, sub, email, name }, nowMs) {
      const key = keyOf(tenant, { issuer, sub });
      const fresh: Account = { v: 1, connection, issuer, sub, email, name, first_seen_ms: nowMs, last_seen_ms: nowMs };
      for (let tries = 0; tries < TRIES; tries++) {
        const stored = await store.get(key);
        const before = parse(stored);
        if (stored === undefined) {
          if (await store.add(key, JSON.stringify(fresh), 'forever')) return true;
          continue;
        }
        const kept =
          before === undefined ? fresh : { ...before, email, name: before.name ?? name, last_seen_ms: nowMs };
        if (await store.replaceIf(key, stored, JSON.stringify(kept))) return false;
      }
      return false; // whoever else was faster has just seen the person too
    },
    async holdsEmail({ id }, email) {
      const key = keys.email(digest(email.toLowerCase()));
      if (await store.add(key, id, 'forever')) return true;
      return (await store.get(key)) === id;
    },
    async *list({ id }) {
      const prefix = keys.accounts(id);
      const told = new Set<string>();
      for await (const key of store.scan(prefix)) {
        if (told.has(key)) continue;
        told.add(key);
        const account = parse(await store.get(key));
        if (account !== undefined) yield account;
      }
    },
    async remove(tenant, account) {
      const removed = await store.take(keyOf(tenant, account));
      const email = keys.email(digest(account.sub.toLowerCase()));
      if (account.connection === 'issuely' && (await store.get(email)) === tenant.id) await store.take(email);
      return removed !== undefined;
    },
  };
}

function keyOf({ id }: AtTenant, { issuer, sub }: Person): string {
  return keys.account(id, digest(JSON.stringify([issuer, sub])));
}

function parse(stored: string | undefined): Account | undefined {
  try {
    return stored === undefined ? undefined : schema.safeParse(JSON.parse(stored)).data;
  } catch {
    return undefined;
  }
}
