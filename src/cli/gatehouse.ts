#!/usr/bin/env node
/** The `gatehouse` command: `serve`, and what operators need beside it. Arguments are commander's matter. */
import { Command } from 'commander';
import { main } from '../main.ts';
import { runCheck } from './check.ts';
import { runSchema } from './schema.ts';

const program = new Command('gatehouse')
  .description('A sign-in gateway for software with many customers.')
  .showHelpAfterError();

program
  .command('serve', { isDefault: true })
  .description('run the gateway; settings come from the environment')
  .action(main);

program
  .command('check')
  .description('read all configuration files and say everything that is wrong; exit code 1 when something is')
  .option('--config-dir <dir>', 'the folder to check (default: CONFIG_DIR, or config)')
  .option('--json', 'print JSON')
  .action(async (options: { configDir?: string; json?: boolean }) => {
    process.exitCode = await runCheck(options, process.env, (text) => void process.stdout.write(text));
  });

program
  .command('schema')
  .description("print the JSON Schema of a tenant's file, for editors")
  .option('--json', 'print JSON (it always does)')
  .action(() => runSchema((text) => void process.stdout.write(text)));

await program.parseAsync();
