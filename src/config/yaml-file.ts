/**
 * One YAML file -> a typed value, or everything that is wrong with it, each with line and key. `${NAME}` becomes an
 * environment variable and `${file:PATH}` a file's content before the schema looks; a missing one is a problem that names
 * the variable, never a value.
 */
import { readFile, stat } from 'node:fs/promises';
import { type Document, isMap, isNode, isScalar, LineCounter, parseDocument } from 'yaml';
import type { z } from 'zod';
import type { Problem } from './problem.ts';
import type { Environment } from './settings.ts';

const DEPTH_MAX = 16;
const FILE_MAX_BYTES = 1024 * 1024; // no tenant needs more; a larger file is a mistake

export type FileResult<T> = {
  readonly value: T | undefined;
  readonly problems: readonly Problem[];
  /** the files that `${file:…}` named: a change there is a change of this file */
  readonly references: readonly string[];
};

/** A file of data that an operator keeps beside the configuration, YAML or JSON. Throws what says why it cannot be read. */
export async function readDataFile(path: string): Promise<unknown> {
  const text = await readText(path);
  const read = 'refusal' in text ? text : parseText(text.text);
  if ('refusal' in read) throw new Error(read.refusal[0]?.message ?? 'cannot be read');
  return read.value;
}

type Path = readonly PropertyKey[];
export type Located = { readonly path: Path; readonly message: string };

export async function readYamlFile<S extends z.ZodType>(
  path: string,
  schema: S,
  environment: Environment,
  checkFurther: (value: unknown) => readonly Located[] = () => [],
): Promise<FileResult<z.output<S>>> {
  const text = await readText(path);
  const read = 'refusal' in text ? text : parseText(text.text);
  if ('refusal' in read) {
    const problems = read.refusal.map(({ line, message }) => ({ file: path, line, key: '', message }));
    return { value: undefined, problems, references: [] };
  }
  const filled = await fillPlaceholders(read.value, environment);
  const parsed = schema.safeParse(filled.value);
  const located = [
    ...filled.problems,
    ...issuesOf(parsed.error?.issues ?? [], filled.problems),
    ...checkFurther(filled.value),
  ];
  const problems = located.map(({ path: key, message }) => ({
    file: path,
    line: read.lineOf(key),
    key: key.map(String).join('.'),
    message,
  }));
  return {
    value: parsed.success && located.length === 0 ? parsed.data : undefined,
    problems: problems.sort((a, b) => a.line - b.line),
    references: filled.references,
  };
}

type Refused = { readonly refusal: readonly { readonly line: number; readonly message: string }[] };

async function readText(path: string): Promise<{ readonly text: string } | Refused> {
  const read = await readSmallFile(path);
  return 'problem' in read ? { refusal: [{ line: 1, message: read.problem }] } : read;
}

/** Files only, and small ones: a pipe would never end, a device neither. */
async function readSmallFile(path: string): Promise<{ readonly text: string } | { readonly problem: string }> {
  try {
    const found = await stat(path);
    if (!found.isFile()) return { problem: 'is no file' };
    if (found.size > FILE_MAX_BYTES) return { problem: 'is larger than 1 MiB' };
    return { text: await readFile(path, 'utf8') };
  } catch (error) {
    return { problem: `cannot be read (${errorCode(error)})` };
  }
}

function parseText(text: string): { readonly value: unknown; readonly lineOf: (path: Path) => number } | Refused {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines });
  const refusal = document.errors.map((error) => ({
    line: lines.linePos(error.pos[0]).line,
    message: error.message.split('\n')[0]?.replace(/ at line \d+, column \d+:?$/, '') ?? 'is not YAML',
  }));
  if (refusal.length > 0) return { refusal };
  try {
    return { value: document.toJS(), lineOf: (path) => lineOf(document, lines, path) };
  } catch (error) {
    // aliases of aliases that would fill the memory, or aliases of nothing
    return { refusal: [{ line: 1, message: error instanceof Error ? error.message : 'is not YAML' }] };
  }
}

/** zod's issues, one per unknown key, without those that only follow from a missing placeholder. */
function issuesOf(issues: readonly z.core.$ZodIssue[], missing: readonly Located[]): Located[] {
  const known = new Set(missing.map(({ path }) => path.map(String).join('.')));
  return issues.flatMap((issue): Located[] => {
    if (known.has(issue.path.map(String).join('.'))) return [];
    if (issue.code !== 'unrecognized_keys') return [{ path: issue.path, message: sentence(issue) }];
    return issue.keys.map((key) => ({ path: [...issue.path, key], message: 'is not a known key' }));
  });
}

function sentence(issue: z.core.$ZodIssue): string {
  if (issue.code === 'invalid_type' && issue.input === undefined && /received undefined$/.test(issue.message))
    return 'is required';
  return issue.message.replace(/^Invalid input: /, '').replace(/^Invalid option: /, '');
}

/** The line of the key, or of the nearest thing around it that exists in the file. */
function lineOf(document: Document, lines: LineCounter, path: Path): number {
  for (let depth = path.length; depth > 0; depth--) {
    const parent = depth === 1 ? document.contents : document.getIn(path.slice(0, depth - 1), true);
    const name = path[depth - 1];
    const pair = isMap(parent)
      ? parent.items.find(({ key }) => isScalar(key) && String(key.value) === String(name))
      : undefined;
    const node = pair === undefined ? document.getIn(path.slice(0, depth), true) : pair.key;
    if (isNode(node) && node.range) return lines.linePos(node.range[0]).line;
  }
  return 1;
}

type Filled = { value: unknown; problems: Located[]; references: string[] };

async function fillPlaceholders(root: unknown, environment: Environment): Promise<Filled> {
  const problems: Located[] = [];
  const references: string[] = [];

  async function fillText(text: string, path: Path): Promise<string> {
    let result = '';
    let end = 0;
    for (const match of text.matchAll(/\$\{([^{}$]{0,512})\}/g)) {
      const name = match[1] ?? '';
      const filled = await lookUp(name, path);
      result += text.slice(end, match.index) + (filled ?? '');
      end = match.index + match[0].length;
    }
    return result + text.slice(end);
  }

  async function lookUp(name: string, path: Path): Promise<string | undefined> {
    if (!name.startsWith('file:')) {
      const value = Object.hasOwn(environment, name) ? environment[name] : undefined;
      if (value === undefined || value === '')
        problems.push({ path, message: `environment variable ${name} is not set` });
      return value;
    }
    const file = name.slice('file:'.length);
    references.push(file);
    const read = await readSmallFile(file);
    if ('text' in read) return read.text.replace(/\r?\n$/, ''); // editors and `echo` end a file with a newline
    problems.push({ path, message: `file ${file} ${read.problem}` });
    return undefined;
  }

  async function fill(value: unknown, path: Path): Promise<unknown> {
    if (path.length > DEPTH_MAX) {
      problems.push({ path: path.slice(0, 1), message: 'is nested too deeply' }); // perhaps an alias of itself
      return undefined;
    }
    if (typeof value === 'string') return value.includes('${') ? fillText(value, path) : value;
    if (Array.isArray(value)) return Promise.all(value.map((item, index) => fill(item, [...path, index])));
    if (typeof value !== 'object' || value === null) return value;
    const entries = Object.entries(value).map(async ([key, item]) => [key, await fill(item, [...path, key])] as const);
    return Object.fromEntries(await Promise.all(entries));
  }

  return { value: await fill(root, []), problems, references };
}

function errorCode(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
}
