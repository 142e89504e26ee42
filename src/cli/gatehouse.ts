#!/usr/bin/env node
/** The `gatehouse` command: `serve`, and what operators need beside it. Arguments are commander's matter. */
import { Command } from 'commander';
import { main } from '../main.ts';
import { runCheck } from './check.ts';
import { EXIT } from './desk.ts';
import { listEvents } from './events.ts';
import { explain } from './explain.ts';
import { type LinkOptions, makeLink } from './link.ts';
import { runSchema } from './schema.ts';
import { endSessions, listSessions } from './sessions.ts';
import { listTenants } from './tenants.ts';
import { listUsers, removeUsers } from './users.ts';

const say = (text: string): void => void process.stdout.write(text);

const program = new Command('gatehouse')
  .description('A sign-in gateway for software with many customers.')
  .showHelpAfterError()
  // commander would say 1, which is for what was looked at and is wrong
  .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? EXIT.done : EXIT.usage))
  .allowExcessArguments(false)
  .action(main);

program.command('serve').description('run the gateway (the default); settings come from the environment').action(main);

program
  .command('check')
  .description('read all configuration files and say everything that is wrong; exit code 1 when something is')
  .option('--config-dir <dir>', 'the folder to check (default: CONFIG_DIR, or config)')
  .option('--json', 'print JSON')
  .action(async (options: { configDir?: string; json?: boolean }) => {
    process.exitCode = await runCheck(options, process.env, say);
  });

program
  .command('schema')
  .description("print the JSON Schema of a tenant's file, for editors")
  .option('--json', 'print JSON (it always does)')
  .action(() => runSchema(say));

program
  .command('tenants')
  .description(
    'the state of each tenant: its file, its provider, and what to register there; exit code 1 when something is wrong',
  )
  .option('--offline', 'ask no provider')
  .option('--json', 'print JSON')
  .action(async (options: { offline?: boolean; json?: boolean }) => {
    process.exitCode = await listTenants(options, process.env, say);
  });

const sessions = program.command('sessions').description('who is signed in; needs REDIS_URL');

sessions
  .command('list')
  .description("list a tenant's sessions")
  .requiredOption('--tenant <id>', "the tenant's id")
  .option('--sub <sub>', 'of this person only')
  .option('--json', 'print JSON')
  .action(async (options: { tenant: string; sub?: string; json?: boolean }) => {
    process.exitCode = await listSessions(options, process.env, say);
  });

sessions
  .command('end')
  .description('end sessions, everywhere and at once')
  .requiredOption('--tenant <id>', "the tenant's id")
  .option('--sub <sub>', 'all of this person')
  .option('--session <session>', 'this one, as `list` calls it')
  .option('--all', 'all of the tenant')
  .option('--json', 'print JSON')
  .action(async (options: { tenant: string; sub?: string; session?: string; all?: boolean; json?: boolean }) => {
    process.exitCode = await endSessions(options, process.env, say);
  });

program
  .command('events')
  .description('the last events of a tenant, where audit.keep keeps them; needs REDIS_URL')
  .requiredOption('--tenant <id>', "the tenant's id")
  .option('--last <number>', 'how many', '50')
  .option('--json', 'print JSON')
  .action(async (options: { tenant: string; last: string; json?: boolean }) => {
    process.exitCode = await listEvents(options, process.env, say);
  });

const users = program.command('users').description('the people who came by signed links; needs REDIS_URL');

users
  .command('list', { isDefault: true })
  .description("list a tenant's users")
  .requiredOption('--tenant <id>', "the tenant's id")
  .option('--sub <sub>', 'this person only')
  .option('--json', 'print JSON')
  .action(async (options: { tenant: string; sub?: string; json?: boolean }) => {
    process.exitCode = await listUsers(options, process.env, say);
  });

users
  .command('remove')
  .description('forget users and end their sessions')
  .requiredOption('--tenant <id>', "the tenant's id")
  .option('--sub <sub>', 'this person')
  .option('--all', 'all of the tenant')
  .option('--json', 'print JSON')
  .action(async (options: { tenant: string; sub?: string; all?: boolean; json?: boolean }) => {
    process.exitCode = await removeUsers(options, process.env, say);
  });

program
  .command('link')
  .description('make a signed link, good for five minutes, to try a tenant out')
  .requiredOption('--tenant <id>', "the tenant's id")
  .requiredOption('--dialect <dialect>', 'invoiced, chargely, frill or issuely')
  .option('--id <id>', 'what the sender calls the person (invoiced, chargely, frill)')
  .option('--email <email>')
  .option('--name <name>')
  .option('--role <role>')
  .option('--return-to <path>', 'where to arrive')
  .option('--json', 'print JSON')
  .action(async (options: LinkOptions) => {
    process.exitCode = await makeLink(options, process.env, say);
  });

program
  .command('explain')
  .description('read claims from standard input and say what they would give: identity and groups, or every refusal')
  .argument('<tenant>', "the tenant's id")
  .option('--json', 'print JSON')
  .action(async (tenant: string, options: { json?: boolean }) => {
    const chunks: Buffer[] = [];
    for await (const chunk of process.stdin) chunks.push(Buffer.from(chunk));
    process.exitCode = await explain(tenant, options, process.env, Buffer.concat(chunks), say);
  });

await program.parseAsync();
