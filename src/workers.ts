/**
 * Several processes that share the port (WORKERS): this one, the primary, answers nothing but the private listener. It starts the workers,
 * replaces those that end, and lets them finish when it is told to go. They share Redis and the keys, and nothing else.
 */
import cluster, { type Worker } from 'node:cluster';
import { createOpsApp } from './app.ts';
import type { Environment, Settings } from './config/settings.ts';
import { systemClock } from './kernel/clock.ts';
import { createHealth } from './ops/health.ts';
import { openListener } from './ops/listener.ts';
import { createLog } from './ops/log.ts';
import { createWorkersMetrics } from './ops/metrics.ts';
import { openStore } from './serve.ts';

/** What the primary says to a worker. Signals of a terminal reach all processes at once, so they cannot say it. */
export const DRAIN = 'gatehouse: drain';
const RESTART_AFTER_MS = 1_000;

export type Workers = { readonly drain: () => Promise<void>; readonly end: () => void };

/** Resolves when all serve. @throws a `WorkerFailed` when one cannot start */
export async function startWorkers(settings: Settings, environment: Environment): Promise<Workers> {
  const { logger } = createLog(settings.logLevel);
  const store = openStore(settings, systemClock, logger);
  const health = createHealth(store, systemClock);
  health.configured(); // the workers read the tenants
  const serving = new Set<Worker>();
  let draining = false;
  // in development the keys are made up: once, for all
  cluster.setupPrimary({ serialization: 'json' });
  const own = { COOKIE_KEYS: settings.cookieKeys.map((key) => key.reveal()).join(',') };

  function fork(): Promise<Worker> {
    const worker = cluster.fork({ ...environment, ...own });
    const started = new Promise<Worker>((resolve, reject) => {
      worker.once('listening', () => {
        serving.add(worker);
        resolve(worker);
      });
      worker.once('exit', (code: number | null) => reject(new WorkerFailed(code ?? 1)));
    });
    worker.once('exit', (code, signal) => {
      if (!serving.delete(worker) || draining) return;
      logger.error({ event: 'worker.ended', worker: worker.id, code, signal }, 'a worker ended and is replaced');
      replaceLater();
    });
    return started;
  }

  /** Again and again: what kept one from starting may pass. */
  function replaceLater(): void {
    const replace = (): void => {
      if (draining) return;
      fork().catch((error: Error) => {
        logger.error({ event: 'worker.failed', reason: error.message }, 'a worker could not start');
        replaceLater();
      });
    };
    setTimeout(replace, RESTART_AFTER_MS).unref();
  }

  await Promise.all(Array.from({ length: settings.workers }, fork));
  const ready = {
    ...health,
    ready: async () => (serving.size > 0 ? health.ready() : { ready: false, reason: 'no worker' }),
  };
  const ops = await openListener(
    createOpsApp(ready, createWorkersMetrics()).callback(),
    settings.opsHost,
    settings.opsPort,
  );
  logger.info(
    { event: 'listening', workers: serving.size, ops: ops.url, public_url: settings.publicUrl.origin },
    'listening',
  );

  return {
    async drain() {
      draining = true;
      health.drain();
      const gone = [...serving].map((worker) => new Promise((resolve) => worker.once('exit', resolve)));
      for (const worker of serving) if (worker.isConnected()) worker.send(DRAIN);
      await Promise.all(gone);
      await ops.drain(1_000);
      await store.close();
    },
    end() {
      for (const worker of serving) worker.process.kill('SIGKILL');
    },
  };
}

/** It has said why. */
export class WorkerFailed extends Error {
  override readonly name = 'WorkerFailed';
  readonly code: number;

  constructor(code: number) {
    super(`a worker could not start (${code})`);
    this.code = code;
  }
}
