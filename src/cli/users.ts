/** `gatehouse users list|remove`: the people who came by signed links, as the gateway remembers them. */
import type { Environment } from '../config/settings.ts';
import { type Account, createAccounts } from '../sessions/accounts.ts';
import { atDesk, type Desk, EXIT, type Print } from './desk.ts';

type Options = { readonly tenant: string; readonly sub?: string; readonly json?: boolean };

/** @returns the exit code */
export async function listUsers(options: Options, environment: Environment, print: Print): Promise<number> {
  return atDesk(options.tenant, environment, print, async (desk) => {
    const rows = [];
    for await (const account of accountsOf(desk, options.sub)) rows.push(rowOf(account));
    if (options.json) print(`${JSON.stringify(rows, null, 2)}\n`);
    for (const row of options.json ? [] : rows)
      print(`${row.sub}  ${row.name ?? ''}  ${row.connection}  since ${row.first_seen}  last seen ${row.last_seen}\n`);
    if (!options.json) print(`${rows.length} ${rows.length === 1 ? 'user' : 'users'}.\n`);
    return EXIT.done;
  });
}

type RemoveOptions = Options & { readonly all?: boolean };

/** Forgets people, and ends their sessions. @returns the exit code */
export async function removeUsers(options: RemoveOptions, environment: Environment, print: Print): Promise<number> {
  if (options.sub === undefined && options.all !== true) {
    print('Say which: --sub or --all.\n');
    return EXIT.usage;
  }
  return atDesk(options.tenant, environment, print, async (desk) => {
    const { store, tenant, persons } = desk;
    const accounts = createAccounts(store);
    let removed = 0;
    for await (const account of accountsOf(desk, options.sub)) {
      if (await accounts.remove(tenant, account)) removed += 1;
      await persons.endAll(tenant, account, 'ended_by_operator');
    }
    print(options.json ? `${JSON.stringify({ removed })}\n` : `Removed ${removed}.\n`);
    return EXIT.done;
  });
}

async function* accountsOf({ store, tenant }: Desk, sub: string | undefined): AsyncIterable<Account> {
  for await (const account of createAccounts(store).list(tenant))
    if (sub === undefined || account.sub === sub) yield account;
}

function rowOf({ connection, sub, name, email, first_seen_ms, last_seen_ms }: Account) {
  const [first_seen, last_seen] = [first_seen_ms, last_seen_ms].map((ms) => new Date(ms).toISOString());
  return { connection, sub, name, email, first_seen, last_seen };
}
