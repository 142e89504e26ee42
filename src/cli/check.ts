/** `gatehouse check`: every problem of every file, as an editor finds it (file, line, key). Reads files, starts nothing. */
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { gatewayFileSchema } from '../config/gateway-file.ts';
import { formatProblem, type Problem } from '../config/problem.ts';
import type { Environment } from '../config/settings.ts';
import { createTenantFolder } from '../config/tenant-folder.ts';
import { readYamlFile } from '../config/yaml-file.ts';

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
  const changes = await folder.scan();
  const problems: Problem[] = [
    ...(await gatewayProblems(join(configDir, 'gatehouse.yaml'), environment)),
    ...changes.flatMap((change) => (change.kind === 'refused' ? change.problems : [])),
  ];
  const tenants = folder.files().length;
  if (options.json) print(`${JSON.stringify({ ok: problems.length === 0, tenants, problems }, null, 2)}\n`);
  else if (problems.length === 0) print(`No problems: ${tenants} ${tenants === 1 ? 'tenant' : 'tenants'}.\n`);
  else print(problems.map((problem) => `${formatProblem(problem)}\n`).join(''));
  return problems.length === 0 ? 0 : 1;
}

async function gatewayProblems(path: string, environment: Environment): Promise<readonly Problem[]> {
  const exists = await access(path).then(
    () => true,
    () => false,
  );
  return exists ? (await readYamlFile(path, gatewayFileSchema, environment)).problems : [];
}
