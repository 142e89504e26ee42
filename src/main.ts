/**
 * The process: settings from the environment, the gateway, signals. Exit codes: 78 for a wrong configuration (EX_CONFIG),
 * 0 after SIGTERM or SIGINT was obeyed, 1 for anything else.
 */
import { parseSettings } from './config/settings.ts';
import { ConfigurationError, type Gateway, serve } from './serve.ts';

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
    obeySignals(await serve({ settings, environment: process.env }));
  } catch (error) {
    if (error instanceof ConfigurationError) return stop(error.message, EXIT_CONFIGURATION);
    stop(`Gatehouse could not start: ${error instanceof Error ? error.message : String(error)}`, 1);
  }
}

/** The first signal drains, a second one ends at once. */
function obeySignals(gateway: Gateway): void {
  let asked = false;
  const obey = (): void => {
    if (asked) process.exit(1);
    asked = true;
    gateway.drain().then(
      () => process.exit(0),
      () => process.exit(1),
    );
  };
  process.on('SIGTERM', obey);
  process.on('SIGINT', obey);
  process.on('SIGHUP', obey);
  process.on('SIGQUIT', obey);
}

function stop(message: string, code: number): never {
  process.stderr.write(`${message}\n`);
  process.exit(code);
}

if (import.meta.main) await main();
