/**
 * The folder `config/tenants/`, as it is now and as it changes. A file that is wrong changes nothing: its tenant goes on
 * with what it had. One file never touches another tenant, except that two may not claim the same slug or host: then the
 * one that has it keeps it.
 */
import { existsSync } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Problem } from './problem.ts';
import type { Environment } from './settings.ts';
import { checkTenantFile, TENANT_ID, type TenantFile, tenantFileSchema } from './tenant-file.ts';
import { readYamlFile } from './yaml-file.ts';

const PARALLEL_READS = 64;
/** A file that names others anew each time it is read is looked at again with the next scan. */
const REFERENCE_TRIES = 3;

export type TenantChange =
  | { readonly kind: 'added' | 'changed' | 'removed'; readonly file: TenantFile }
  | { readonly kind: 'refused'; readonly id: string; readonly problems: readonly Problem[]; readonly kept: boolean };

export type TenantFolder = {
  /** Reads what is new since the last scan. @returns what changed; an empty list when nothing did */
  readonly scan: () => Promise<readonly TenantChange[]>;
  /** Whether there is a folder of configuration, with tenants in it or without. */
  readonly isThere: () => boolean;
  /** every tenant's file that is in force, in the order of the ids */
  readonly files: () => readonly TenantFile[];
};

type Options = {
  readonly configDir: string;
  readonly environment: Environment;
  readonly production: boolean;
  /** the host of PUBLIC_URL: no tenant's own */
  readonly publicHost: string;
};

/** What is known of one file: `active` is in force; `waiting` was read well but clashes with another tenant's. */
type Entry = {
  readonly path: string;
  fingerprint: string;
  references: readonly string[];
  active: TenantFile | undefined;
  waiting: TenantFile | undefined;
  /** the clash that was told last, so that it is told once */
  clash: string;
};

export function createTenantFolder(options: Options): TenantFolder {
  const folder = join(options.configDir, 'tenants');
  const entries = new Map<string, Entry>();

  async function scan(): Promise<readonly TenantChange[]> {
    // what cannot be listed now is not gone: nothing changes but what a good look shows
    const names = (await readdir(folder)).filter((name) => /^[^.].*\.ya?ml$/.test(name)).sort();
    const changes: TenantChange[] = removeMissing(new Set(names));
    for (let start = 0; start < names.length; start += PARALLEL_READS) {
      const batch = names.slice(start, start + PARALLEL_READS);
      for (const change of await Promise.all(batch.map(readIfChanged))) if (change !== undefined) changes.push(change);
    }
    return [...changes, ...activateWaiting()];
  }

  function removeMissing(present: ReadonlySet<string>): TenantChange[] {
    const removed: TenantChange[] = [];
    for (const [name, entry] of entries) {
      if (present.has(name)) continue;
      entries.delete(name);
      if (entry.active !== undefined) removed.push({ kind: 'removed', file: entry.active });
    }
    return removed;
  }

  async function readIfChanged(name: string): Promise<TenantChange | undefined> {
    const known = entries.get(name);
    const path = join(folder, name);
    const { environment, production, publicHost } = options;
    const read = () =>
      readYamlFile(path, tenantFileSchema, environment, (value) =>
        checkTenantFile(value, { name: idOf(name), production, publicHost }),
      );
    let references = known?.references ?? [];
    // looked at before it is read, so that whatever changes from here on is seen the next time
    let fingerprint = await fingerprintOf([path, ...references]);
    if (known?.fingerprint === fingerprint) return undefined;
    let result = await read();
    for (let tries = 0; tries < REFERENCE_TRIES && !isSame(result.references, references); tries++) {
      references = result.references; // which files it names is known only now: once more, in the same order
      fingerprint = await fingerprintOf([path, ...references]);
      result = await read();
    }
    const entry = known ?? { path, fingerprint: '', references: [], active: undefined, waiting: undefined, clash: '' };
    entry.references = references;
    entry.fingerprint = isSame(result.references, references) ? fingerprint : '';
    entry.waiting = result.value;
    entry.clash = '';
    entries.set(name, entry);
    return result.value === undefined ? refused(entry, result.problems) : undefined;
  }

  /**
   * Puts what was read into force, as a whole: two tenants may swap their slugs. Where two would hold the same, the one that
   * has it keeps it and the other waits, until it is free.
   */
  function activateWaiting(): TenantChange[] {
    const candidates = [...entries.values()].filter(({ waiting }) => waiting !== undefined);
    if (candidates.length === 0) return [];
    const accepted = new Set(candidates.sort((a, b) => (a.path < b.path ? -1 : 1)));
    const changes: TenantChange[] = [];
    for (let clash = findClash(accepted); clash !== undefined; clash = findClash(accepted)) {
      accepted.delete(clash.loser);
      const told = `${clash.claim} ${clash.holder.path}`;
      if (clash.loser.clash === told) continue;
      clash.loser.clash = told;
      const [key = '', value = ''] = clash.claim.split(' ');
      const message = `${value} belongs to ${basename(clash.holder.path)} already`;
      changes.push(refused(clash.loser, [{ file: clash.loser.path, line: 1, key, message }]));
    }
    for (const entry of accepted) {
      const { active, waiting } = entry;
      if (waiting === undefined) continue;
      entry.active = waiting;
      entry.waiting = undefined;
      changes.push({ kind: active === undefined ? 'added' : 'changed', file: waiting });
    }
    return changes;
  }

  /** Two that would hold the same if all of `accepted` came into force. */
  function findClash(accepted: ReadonlySet<Entry>): { claim: string; loser: Entry; holder: Entry } | undefined {
    const holders = new Map<string, Entry>();
    for (const entry of entries.values()) {
      const file = accepted.has(entry) ? entry.waiting : entry.active;
      for (const claim of file === undefined ? [] : claimsOf(file)) {
        const other = holders.get(claim);
        if (other === undefined) holders.set(claim, entry);
        else return judgeClash(claim, entry, other, accepted);
      }
    }
    return undefined;
  }

  return {
    scan,
    isThere: () => existsSync(options.configDir),
    files: () => [...entries.values()].flatMap(({ active }) => active ?? []).sort((a, b) => (a.id < b.id ? -1 : 1)),
  };
}

/** Who has it already keeps it; between two newcomers the name decides. */
function judgeClash(claim: string, one: Entry, other: Entry, accepted: ReadonlySet<Entry>) {
  const has = ({ active }: Entry): boolean => active !== undefined && claimsOf(active).includes(claim);
  const oneLoses = accepted.has(one) && (has(other) || !accepted.has(other) || (!has(one) && other.path < one.path));
  return oneLoses ? { claim, loser: one, holder: other } : { claim, loser: other, holder: one };
}

/** What a tenant occupies and no other may: names in URLs without regard to case, and Issuely's names for companies. */
function claimsOf(file: TenantFile): string[] {
  return [
    `id ${file.id}`,
    `slug ${(file.slug ?? file.id).toLowerCase()}`,
    ...file.hosts.map((host) => `hosts ${host}`),
    ...file.links.flatMap((link) => (link.dialect === 'issuely' ? `links.company_id ${link.company_id}` : [])),
  ];
}

function refused(entry: Entry, problems: readonly Problem[]): TenantChange {
  const id = idOf(basename(entry.path));
  return { kind: 'refused', id: TENANT_ID.test(id) ? id : '(not an id)', problems, kept: entry.active !== undefined };
}

function idOf(fileName: string): string {
  return fileName.replace(/\.ya?ml$/, '');
}

function isSame(one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && one.every((path, at) => path === other[at]);
}

/** Changes whenever one of the files does; a file that cannot be looked at counts too. */
async function fingerprintOf(paths: readonly string[]): Promise<string> {
  const parts = await Promise.all(
    paths.map(async (path) => {
      const found = await stat(path).catch(() => undefined);
      return found === undefined ? 'absent' : `${found.mtimeMs}:${found.ctimeMs}:${found.size}:${found.ino}`;
    }),
  );
  return parts.join('|');
}
