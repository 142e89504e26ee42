import { readdirSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { EVENTS, type shapeOf } from '../src/kernel/events.ts';
import { FAILURES } from '../src/kernel/failure.ts';

/** The README says what is true: exactly the codes, events, variables, keys and libraries that there are. */
const ROOT = resolve(import.meta.dirname, '..');
const read = (path: string): string => readFileSync(resolve(ROOT, path), 'utf8');
const README = read('README.md');

/** The first cells of the table under a heading. */
function firstCells(heading: string): string[] {
  const section = README.split(new RegExp(`^#+ ${heading}.*$`, 'm'))[1]?.split(/^#/m)[0] ?? '';
  return [...section.matchAll(/^\| (.+?) \|/gm)]
    .map((match) => (match[1] ?? '').trim())
    .filter((cell) => !/^-+$/.test(cell))
    .slice(1);
}
const names = (cells: readonly string[]): string[] =>
  cells.flatMap((cell) => [...cell.matchAll(/`([^`]+)`/g)].map((match) => match[1] ?? '')).sort();

describe('the README', () => {
  it('lists exactly the error codes, with their statuses', () => {
    const rows = [...README.matchAll(/^\| `(\w+)` \| (\d{3}) \|/gm)].map(([, code, status]) => [code, Number(status)]);
    expect(Object.fromEntries(rows)).toEqual(
      Object.fromEntries(Object.entries(FAILURES).map(([code, { status }]) => [code, status])),
    );
  });

  it('lists exactly the events', () => {
    const declared = Object.keys(EVENTS).sort();
    expect(names(firstCells('Log'))).toEqual(declared);
  });

  it('lists exactly the lines about the process', () => {
    const said = ['serve', 'workers'].flatMap((file) =>
      [...read(`src/${file}.ts`).matchAll(/event: '([\w.]+)'/g)].map((match) => match[1] ?? ''),
    );
    expect(names(firstCells('The process'))).toEqual([...new Set(said)].sort());
  });

  it('says of each event how loud it is and what it has', () => {
    for (const [event, { level, fields, ...shape }] of Object.entries<ReturnType<typeof shapeOf>>(EVENTS)) {
      const row = README.split('\n').find((line) => line.startsWith(`| \`${event}\` |`)) ?? '';
      expect(row).toContain(`| ${level} |`);
      for (const field of [...fields, ...(shape.may ?? [])]) expect(row).toContain(`\`${field}\``);
      if (shape.evidence) expect(row).toContain('and what the reason needs');
    }
  });

  it('lists exactly the variables', () => {
    const declared = [...read('src/config/settings.ts').matchAll(/^ {2}([A-Z_]+): /gm)].map((match) => match[1] ?? '');
    expect(names(firstCells('Settings'))).toEqual(declared.sort());
  });

  it('names every top-level key of a tenant’s file', () => {
    const schema =
      read('src/config/tenant-file.ts').split('export const tenantFileSchema')[1]?.split('export type')[0] ?? '';
    const declared = [...schema.matchAll(/^ {2}(\w+)[:,]/gm)].map((match) => match[1] ?? '');
    expect(declared.length).toBeGreaterThan(10);
    const listed = names(firstCells('Every key of a tenant')).map((name) => name.split(/[.[]/)[0]);
    for (const key of declared) expect(listed).toContain(key);
  });

  it('says why for every dependency', () => {
    const { dependencies } = JSON.parse(read('package.json'));
    const listed = firstCells('Why these libraries').flatMap((cell) => cell.split(', '));
    expect(listed.sort()).toEqual(Object.keys(dependencies).sort());
  });

  it('leads to files that are there', () => {
    for (const [, target] of README.matchAll(/\]\(([^)#]+)\)/g))
      expect(() => readdirSync(resolve(ROOT, target ?? '', target?.includes('.') ? '..' : '.'))).not.toThrow();
  });
});
