/** `gatehouse check`: every problem of every file, as an editor finds it (file, line, key). Reads files, starts nothing. */
import { join } from 'node:path';
import { readGatewayFile } from '../config/gateway-file.ts';
import { formatProblem, type Problem } from '../config/problem.ts';
import type { Environment } from '../config/settings.ts';
import { createTenantFolder } from '../config/tenant-folder.ts';

type Options = { readonly configDir?: string; readonly json?: boolean };

/** @returns the exit code: 1 when there are problems */
export async function runCheck(
  options: Options,
  environment: Environment,
  print: (text: string) => void,
): Promise<number> {
  const configDir = options.configDir ?? (environment.CONFIG_DIR || 'config');
  const folder = createTenantFolder({
    configDir,
    environment,
    production: environment.NODE_ENV === 'production',
    publicHost: URL.parse(environment.PUBLIC_URL ?? '')?.hostname ?? '',
  });
  const changes = await folder.scan().catch((error: unknown) => {
    if (error instanceof Error && 'code' in error) return String(error.code);
    throw error;
  });
  const missing = typeof changes === 'string' ? [noFolder(join(configDir, 'tenants'), changes)] : [];
  const problems: Problem[] = [
    ...missing,
    ...(await readGatewayFile(configDir, environment)).problems,
    ...(typeof changes === 'string' ? [] : changes).flatMap((change) =>
      change.kind === 'refused' ? change.problems : [],
    ),
  ];
  const tenants = folder.files().length;
  if (options.json) print(`${JSON.stringify({ ok: problems.length === 0, tenants, problems }, null, 2)}\n`);
  else if (problems.length === 0) print(`No problems: ${tenants} ${tenants === 1 ? 'tenant' : 'tenants'}.\n`);
  else print(problems.map((problem) => `${formatProblem(problem)}\n`).join(''));
  return problems.length === 0 ? 0 : 1;
}

function noFolder(file: string, code: string): Problem {
  return { file, line: 1, key: '', message: `cannot be read (${code})` };
}
