import { readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';

/**
 * The house keeps its own rules: a room imports only from rooms above it, rooms on one line do not know each other, and
 * some libraries have one door. Why: data flows one way, and a topic is found in one place.
 */
const ROOMS: readonly (readonly string[])[] = [
  ['kernel'],
  ['config'],
  ['storage'],
  ['connections'],
  ['identity'],
  ['tenants'],
  ['sessions'],
  ['edge'],
  ['sign-in', 'sign-out'],
  ['gateway'],
  ['ops'],
  ['handlers.ts'],
  ['app.ts'],
  ['serve.ts'],
  ['workers.ts'],
  ['main.ts'],
  ['cli'],
];

/** A library that is named here may be imported only from there. */
const DOORS: Readonly<Record<string, RegExp>> = {
  ioredis: /^storage\/(?:connect|limiter|redis)\.ts$/,
  'rate-limiter-flexible': /^storage\/limiter\.ts$/,
  'koa-session': /^sessions\/koa-session\.ts$/,
  'openid-client': /^connections\/oidc\//,
  undici: /^(connections\/outbound|gateway\/proxy)\.ts$/,
  jose: /^(connections\/|cli\/link\.ts|kernel\/seal\.ts|identity\/assertion\.ts)/,
  yaml: /^config\/yaml-file\.ts$/,
  helmet: /^edge\/headers\.ts$/,
  'raw-body': /^edge\/form\.ts$/,
  pino: /^(ops\/log\.ts|serve\.ts)$/,
  '@koa/router': /^app\.ts$/,
  commander: /^cli\//,
  'prom-client': /^ops\/metrics\.ts$/,
  koa: /^(app\.ts|handlers\.ts|edge\/|ops\/access-log\.ts|sessions\/koa-session\.ts)/,
};

const SOURCE = resolve(import.meta.dirname, '../src');
const files = walk(SOURCE).map((path) => relative(SOURCE, path));

function walk(folder: string): string[] {
  return readdirSync(folder).flatMap((name) => {
    const path = join(folder, name);
    return statSync(path).isDirectory() ? walk(path) : [path];
  });
}

function importsOf(file: string): string[] {
  const text = readFileSync(join(SOURCE, file), 'utf8');
  return [...text.matchAll(/^(?:import|export)\b[^'";]*?(?:from )?'([^']+)';$/gm)].map((match) => match[1] ?? '');
}

function floorOf(file: string): { floor: number; room: string } {
  const room = file.split('/')[0] ?? file;
  return { floor: ROOMS.findIndex((line) => line.includes(room)), room };
}

describe('the rooms', () => {
  it('are all known', () => {
    expect(files.filter((file) => floorOf(file).floor === -1)).toEqual([]);
  });

  it.each(files)('%s imports only from above', (file) => {
    const here = floorOf(file);
    const wrong = importsOf(file)
      .filter((specifier) => specifier.startsWith('.'))
      .map((specifier) => relative(SOURCE, resolve(SOURCE, dirname(file), specifier)))
      .filter((target) => floorOf(target).room !== here.room && floorOf(target).floor >= here.floor);
    expect(wrong).toEqual([]);
  });

  it('have no circles', () => {
    const seen = new Set<string>();
    const visit = (file: string, path: readonly string[]): void => {
      if (path.includes(file)) throw new Error(`a circle: ${[...path, file].join(' -> ')}`);
      if (seen.has(file)) return;
      for (const specifier of importsOf(file))
        if (specifier.startsWith('.'))
          visit(relative(SOURCE, resolve(SOURCE, dirname(file), specifier)), [...path, file]);
      seen.add(file);
    };
    for (const file of files) visit(file, []);
  });
});

describe('the doors', () => {
  it.each(files)('%s uses libraries where they belong', (file) => {
    const wrong = importsOf(file).filter((specifier) => DOORS[specifier] !== undefined && !DOORS[specifier].test(file));
    expect(wrong).toEqual([]);
  });

  it('lead to every dependency that is installed for production', () => {
    const { dependencies } = JSON.parse(readFileSync(resolve(SOURCE, '../package.json'), 'utf8'));
    const used = new Set(
      files.flatMap(importsOf).map((specifier) => specifier.replace(/^((?:@[^/]+\/)?[^/]+).*$/, '$1')),
    );
    expect(Object.keys(dependencies).filter((name) => !used.has(name))).toEqual([]);
  });
});

describe('the habits', () => {
  it.each(files)('%s keeps them', (file) => {
    const text = readFileSync(join(SOURCE, file), 'utf8');
    expect(text.split('\n').length).toBeLessThanOrEqual(260);
    expect(text).toMatch(/^(#!.*\n)?\/\*\*/); // opens with what it promises
    expect(text).not.toMatch(/\bany\b(?=[;,)>\]])|console\./);
    if (!/^(main|cli\/)/.test(file)) expect(text).not.toMatch(/process\.env\./);
    const code = text.split('\n').filter((line) => !/^\s*(\/?\*|\/\/|import )/.test(line));
    const casts = code.filter((line) =>
      /\bas (?!const\b)[A-Za-z{]/.test(line.replace(/ \/\/ .*|'[^']*'|>[^<]*</g, '')),
    );
    expect(casts.length).toBeLessThanOrEqual(/verified-claims|return-path|edge\/path/.test(file) ? 1 : 0);
  });
});
