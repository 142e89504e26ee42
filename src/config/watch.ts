/**
 * Calls `scan` when files change. The kernel's notice (fs.watch) makes it prompt; a scan at intervals makes it certain,
 * since network file systems, bind mounts and Kubernetes' symlink swaps give no notice or an odd one.
 */
import { type FSWatcher, watch } from 'node:fs';

const SETTLE_MS = 100; // an editor writes a file in several steps
const INTERVAL_MS = 1_000; // a change is promised to be applied within 2 s
const SHARE_OF_TIME = 8; // with very many files, scanning takes at most an eighth of the time

export type Watch = { readonly close: () => Promise<void> };

/** @param scan never runs twice at once; what it throws goes to `onError` and watching goes on */
export function watchFolder(folder: string, scan: () => Promise<void>, onError: (error: unknown) => void): Watch {
  let closed = false;
  let noticed = false; // since the scan under way began
  let running: Promise<void> = Promise.resolve();
  let timer: NodeJS.Timeout | undefined;
  let watcher: FSWatcher | undefined;

  function schedule(delayMs: number): void {
    clearTimeout(timer);
    if (!closed) timer = setTimeout(run, delayMs).unref();
  }

  function run(): void {
    running = running.then(async () => {
      const started = performance.now();
      noticed = false;
      watcher ??= notice(); // the folder may have come into being since
      await scan().catch(onError);
      schedule(noticed ? SETTLE_MS : Math.max(INTERVAL_MS, (performance.now() - started) * SHARE_OF_TIME));
    });
  }

  function notice(): FSWatcher | undefined {
    try {
      const opened = watch(folder, { persistent: false }, () => {
        noticed = true;
        schedule(SETTLE_MS);
      });
      opened.on('error', () => {
        opened.close();
        watcher = undefined;
      });
      return opened;
    } catch {
      return undefined;
    }
  }

  watcher = notice();
  schedule(INTERVAL_MS);
  return {
    async close() {
      closed = true;
      clearTimeout(timer);
      watcher?.close();
      await running;
    },
  };
}
