/** `gatehouse events --tenant <id>`: the last events of a tenant, where `audit.keep` has them kept. It changes nothing. */
import type { Environment } from '../config/settings.ts';
import { keys } from '../storage/keys.ts';
import { atDesk, EXIT, type Print } from './desk.ts';

type Options = { readonly tenant: string; readonly last: string; readonly json?: boolean };

/** @returns the exit code */
export async function listEvents(options: Options, environment: Environment, print: Print): Promise<number> {
  const last = Number(options.last);
  if (!Number.isInteger(last) || last < 1) {
    print('--last must be a number from 1.\n');
    return EXIT.usage;
  }
  return atDesk(options.tenant, environment, print, async ({ store, tenant }) => {
    const entries = await store.tail(keys.audit(tenant.id), last);
    if (options.json) print(`[${entries.join(',\n')}]\n`);
    // JSON lets pass what a terminal obeys
    else for (const entry of entries) print(`${entry.replace(/[\u007f-\u009f]/g, '?')}\n`);
    return EXIT.done;
  });
}
