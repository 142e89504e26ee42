/** wrk against loopback, bounded in time: interleaved rounds, the median of each. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

export type Target = {
  readonly name: string;
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** seconds that the server has spent so far */
  readonly cpu?: () => number;
};
export type Figure = {
  readonly name: string;
  readonly perSecond: number;
  readonly p50: string;
  readonly p99: string;
  /** of the server, for each request; 0 when it is not measured */
  readonly cpuMicroseconds: number;
};

const SECONDS = 4;
const ROUNDS = 3;

export async function compare(targets: readonly Target[]): Promise<Figure[]> {
  const rounds: Figure[][] = targets.map(() => []);
  for (let round = 0; round < ROUNDS; round++)
    for (const [index, target] of targets.entries()) rounds[index]?.push(await measure(target));
  return rounds.map((figures) => figures.sort((a, b) => a.perSecond - b.perSecond)[Math.floor(ROUNDS / 2)] as Figure);
}

async function measure({ name, url, headers: sent = {}, cpu = () => 0 }: Target): Promise<Figure> {
  const headers = Object.entries(sent).flatMap(([header, value]) => ['-H', `${header}: ${value}`]);
  const before = cpu();
  const figure = await wrk([...headers, url]);
  return { ...figure, name, cpuMicroseconds: ((cpu() - before) / figure.requests) * 1e6 };
}

type Run = Omit<Figure, 'name' | 'cpuMicroseconds'> & { readonly requests: number };

/** @param more wrk's arguments, the URL last */
export async function wrk(more: readonly string[]): Promise<Run> {
  const { stdout } = await promisify(execFile)('wrk', ['-t1', '-c64', `-d${SECONDS}s`, '--latency', ...more]);
  if (/Non-2xx/.test(stdout)) throw new Error(`not all answers of ${more.at(-1)} were good\n${stdout}`);
  const find = (pattern: RegExp): string => pattern.exec(stdout)?.[1] ?? '?';
  return {
    perSecond: Number(find(/Requests\/sec:\s+([\d.]+)/)),
    p50: find(/ 50%\s+(\S+)/),
    p99: find(/ 99%\s+(\S+)/),
    requests: Number(find(/(\d+) requests in/)),
  };
}

export function table(figures: readonly Figure[]): string[] {
  const base = figures[0]?.perSecond ?? 1;
  return figures.map(
    ({ name, perSecond, p50, p99, cpuMicroseconds }) =>
      `${name.padEnd(48)} ${perSecond.toFixed(0).padStart(7)}/s  ${(perSecond / base).toFixed(2)}  p50 ${p50} p99 ${p99}${cpuMicroseconds > 0 ? `  ${cpuMicroseconds.toFixed(0)} µs` : ''}`,
  );
}
