/** The gateway as a process of its own, as operators run it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { resolve } from 'node:path';

export const ROOT = resolve(import.meta.dirname, '../..');

export type Run = {
  readonly child: ChildProcess;
  readonly output: () => string;
  readonly errors: () => string;
  readonly exited: Promise<number | null>;
  readonly waitForLine: (part: string) => Promise<void>;
};

export function run(args: readonly string[], environment: Record<string, string> = {}, input?: string): Run {
  const child = spawn(process.execPath, args, {
    cwd: ROOT,
    env: { PATH: process.env.PATH ?? '', ...environment },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  let output = '';
  let errors = '';
  const waiters: { part: string; done: () => void }[] = [];
  const look = (): void => {
    for (const waiter of waiters) if ((output + errors).includes(waiter.part)) waiter.done();
  };
  child.stdout?.on('data', (chunk) => {
    output += chunk;
    look();
  });
  child.stderr?.on('data', (chunk) => {
    errors += chunk;
    look();
  });
  child.stdin?.end(input);
  return {
    child,
    output: () => output,
    errors: () => errors,
    exited: new Promise((done) => child.once('close', done)),
    waitForLine: (part) =>
      new Promise((done, reject) => {
        waiters.push({ part, done });
        child.once('close', () => reject(new Error(`ended without saying "${part}": ${errors}${output}`)));
        look();
      }),
  };
}
