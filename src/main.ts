/**
 * The process: settings from the environment, the gateway, signals. Exit codes: 78 for a wrong configuration (EX_CONFIG),
 * 0 after SIGTERM or SIGINT was obeyed, 1 for anything else.
 */
import cluster from 'node:cluster';
import { parseSettings } from './config/settings.ts';
import { ConfigurationError, serve } from './serve.ts';
import { DRAIN, startWorkers, WorkerFailed } from './workers.ts';

const EXIT_CONFIGURATION = 78;

export async function main(): Promise<void> {
  if (Number(process.versions.node.split('.')[0]) < 26)
    stop('Gatehouse needs Node 26: run it through npm (`npm start`).', 1);
  const settings = parseSettings(process.env);
  if ('problems' in settings)
    return stop(
      `The environment is not right:\n${settings.problems.map((p) => `  ${p.variable}: ${p.message}`).join('\n')}`,
      EXIT_CONFIGURATION,
    );
  try {
    if (settings.workers > 1 && cluster.isPrimary) {
      const workers = await startWorkers(settings, process.env);
      return obey(workers.drain, workers.end);
    }
    const gateway = await serve({ settings, environment: process.env });
    obey(gateway.drain, () => {});
  } catch (error) {
    if (error instanceof WorkerFailed) process.exit(error.code);
    if (error instanceof ConfigurationError) return stop(error.message, EXIT_CONFIGURATION);
    stop(`Gatehouse could not start: ${error instanceof Error ? error.message : String(error)}`, 1);
  }
}

/** The first signal drains, a second one ends at once. A worker's primary says it by a message, or by being gone. */
function obey(drain: () => Promise<void>, end: () => void): void {
  let leaving = false;
  const leave = (): void => {
    if (leaving) return;
    leaving = true;
    drain().then(
      () => process.exit(0),
      () => process.exit(1),
    );
  };
  let asked = false;
  const obeySignal = (): void => {
    if (asked) {
      end();
      process.exit(1);
    }
    asked = true;
    leave();
  };
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT'] as const) process.on(signal, obeySignal);
  if (!cluster.isWorker) return;
  process.on('message', (message) => {
    if (message === DRAIN) leave();
  });
  process.on('disconnect', leave);
}

function stop(message: string, code: number): never {
  process.stderr.write(`${message}\n`);
  process.exit(code);
}

if (import.meta.main) await main();
