/**
 * WebSockets and event streams that are open on the strength of a session: closed when it ends, wherever it was ended. Each replica
 * looks at the sessions of its own open streams twice a second, once for each session; while the store cannot be read nobody is
 * thrown out.
 */
import type { Session, Sessions } from '../sessions/sessions.ts';
import type { Tenant } from '../tenants/tenant.ts';

const LOOK_EVERY_MS = 400;

export type Streams = {
  /** @returns to be called when the stream is over by itself */
  readonly watch: (tenant: Tenant, session: Session | undefined, close: () => void) => () => void;
  /** For the end of the process: clients come back, to another replica. */
  readonly closeAll: () => void;
  readonly count: () => number;
};

type Watched = { readonly tenant: Tenant; readonly idDigest: string; readonly closers: Set<() => void> };

export function createStreams(sessions: Sessions): Streams {
  const watched = new Map<string, Watched>();
  const nobodys = new Set<() => void>();
  let timer: NodeJS.Timeout | undefined;

  async function look(): Promise<void> {
    await Promise.all(
      [...watched].map(async ([key, { tenant, idDigest, closers }]) => {
        const lives = await sessions.peek(tenant, idDigest).then(
          (session) => session !== undefined,
          () => true,
        );
        if (lives) return;
        watched.delete(key);
        for (const close of closers) close();
      }),
    );
    schedule();
  }

  function schedule(): void {
    timer = watched.size === 0 ? undefined : setTimeout(look, LOOK_EVERY_MS).unref();
  }

  return {
    watch(tenant, session, close) {
      if (session === undefined) {
        nobodys.add(close);
        return () => nobodys.delete(close);
      }
      const { idDigest } = session;
      const key = `${tenant.id} ${idDigest}`;
      const entry = watched.get(key) ?? { tenant, idDigest, closers: new Set() };
      watched.set(key, entry);
      entry.closers.add(close);
      if (timer === undefined) schedule();
      return () => {
        entry.closers.delete(close);
        if (entry.closers.size === 0) watched.delete(key);
      };
    },
    count() {
      let open = nobodys.size;
      for (const { closers } of watched.values()) open += closers.size;
      return open;
    },
    closeAll() {
      clearTimeout(timer);
      const open = [...nobodys, ...[...watched.values()].flatMap(({ closers }) => [...closers])];
      for (const close of open) close();
      watched.clear();
    },
  };
}
