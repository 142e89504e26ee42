/**
 * Who a link means, where the tenant wants its own list or its app to say so: by the identifier that the link names, a name, an e-mail and
 * roles. Not found is a refusal; an app that cannot be asked is an outage, never a person without roles.
 */
import type { PeopleConfig } from '../../config/links.ts';
import { readDataFile } from '../../config/yaml-file.ts';
import type { Clock } from '../../kernel/clock.ts';
import { GatewayFailure } from '../../kernel/failure.ts';
import { isJsonObject, type JsonObject, member } from '../../kernel/json.ts';
import { ok, type Result, refuse } from '../../kernel/result.ts';
import { type Outbound, OutboundError } from '../outbound.ts';

/** A change at the source is seen after this long. */
const FRESH_MS = 10_000;
const KEPT_MAX = 1_000;
const RETRY_AFTER_SECONDS = '5';

/** What of a link's claims the source replaces: only what it names. */
export type FoundPerson = { readonly name?: unknown; readonly email?: unknown; readonly roles?: unknown };

export type People = {
  /** Throws `idp_unavailable` when the source cannot be asked. */
  readonly find: (source: PeopleConfig, id: string) => Promise<Result<FoundPerson>>;
};

type Kept = { readonly found: Promise<JsonObject | undefined>; readonly atMs: number };

export function createPeople(outbound: Pick<Outbound, 'getJson'>, clock: Clock): People {
  const kept = new Map<string, Kept>();

  /** One question at a time for each thing that is asked, and its answer for a moment; no failure is kept. */
  function remember(key: string, ask: () => Promise<JsonObject | undefined>): Promise<JsonObject | undefined> {
    const before = kept.get(key);
    const ageMs = clock.nowMs() - (before?.atMs ?? 0);
    if (before !== undefined && ageMs >= 0 && ageMs < FRESH_MS) return before.found;
    if (kept.size >= KEPT_MAX) kept.delete(kept.keys().next().value ?? '');
    const entry = { found: ask(), atMs: clock.nowMs() };
    kept.delete(key);
    kept.set(key, entry);
    entry.found.catch(() => {
      if (kept.get(key) === entry) kept.delete(key);
    });
    return entry.found;
  }

  async function inFile(path: string, id: string): Promise<JsonObject | undefined> {
    const all = await remember(`file ${path}`, async () => {
      const value = await readDataFile(path);
      if (!isJsonObject(value)) throw new Error('is no table of people');
      return value;
    });
    const person = all === undefined ? undefined : member(all, id);
    return isJsonObject(person) ? person : undefined;
  }

  function fromApp({ url, header }: Extract<PeopleConfig, { url: string }>, id: string) {
    const asked = url.replace('{id}', encodeURIComponent(id));
    const [, name, value] = /^([^:]+): (.*)$/.exec(header?.reveal() ?? '') ?? [];
    // two tenants may ask the same address with different rights: what one is told is not the other's (CVE-2026-33496)
    return remember(JSON.stringify(['url', asked, header?.reveal() ?? null]), () =>
      outbound.getJson(asked, name === undefined ? {} : { [name]: value ?? '' }).catch((error: unknown) => {
        if (error instanceof OutboundError && error.status === 404) return undefined;
        throw error;
      }),
    );
  }

  return {
    async find(source, id) {
      try {
        if (/^\.{1,2}$/.test(id)) return refuse('person_unknown'); // in an address that is no name but a way
        const person = 'file' in source ? await inFile(source.file, id) : await fromApp(source, id);
        if (person === undefined) return refuse('person_unknown');
        const { name, email, roles } = person;
        return ok({
          ...(name === undefined ? {} : { name }),
          ...(email === undefined ? {} : { email }),
          ...(roles === undefined ? {} : { roles }),
        });
      } catch (error) {
        throw new GatewayFailure('idp_unavailable', {
          reason: 'people_unavailable',
          cause: error,
          headers: { 'Retry-After': RETRY_AFTER_SECONDS },
        });
      }
    },
  };
}
