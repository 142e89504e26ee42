/** wrk against loopback, bounded in time: interleaved rounds, the median of each. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

export type Target = {
  readonly name: string;
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
};
export type Figure = { readonly name: string; readonly perSecond: number; readonly p50: string; readonly p99: string };

const SECONDS = 4;
const ROUNDS = 3;

export async function compare(targets: readonly Target[]): Promise<Figure[]> {
  const rounds: Figure[][] = targets.map(() => []);
  for (let round = 0; round < ROUNDS; round++)
    for (const [index, target] of targets.entries()) rounds[index]?.push(await measure(target));
  return rounds.map((figures) => figures.sort((a, b) => a.perSecond - b.perSecond)[Math.floor(ROUNDS / 2)] as Figure);
}

async function measure({ name, url, headers: sent = {} }: Target): Promise<Figure> {
  const headers = Object.entries(sent).flatMap(([header, value]) => ['-H', `${header}: ${value}`]);
  const args = ['-t1', '-c64', `-d${SECONDS}s`, '--latency', ...headers, url];
  const { stdout } = await promisify(execFile)('wrk', args);
  if (/Non-2xx/.test(stdout)) throw new Error(`${name}: not all answers were good\n${stdout}`);
  const find = (pattern: RegExp): string => pattern.exec(stdout)?.[1] ?? '?';
  return {
    name,
    perSecond: Number(find(/Requests\/sec:\s+([\d.]+)/)),
    p50: find(/ 50%\s+(\S+)/),
    p99: find(/ 99%\s+(\S+)/),
  };
}

export function table(figures: readonly Figure[]): string[] {
  const base = figures[0]?.perSecond ?? 1;
  return figures.map(
    ({ name, perSecond, p50, p99 }) =>
      `${name.padEnd(48)} ${perSecond.toFixed(0).padStart(7)}/s  ${(perSecond / base).toFixed(2)}  p50 ${p50} p99 ${p99}`,
  );
}
