/**
 * Senders of signed links as customers write them: the samples of ../shared's seeds, run by the libraries that they name. Each signs what
 * it is given, with what its library adds by itself.
 */
import { execFile } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { promisify } from 'node:util';
import jsonwebtoken from 'jsonwebtoken';

export type Payload = Record<string, unknown>;
export type Sender = { readonly name: string; readonly sign: (payload: Payload, key: string) => Promise<string> };

const run = async (command: string, args: readonly string[]): Promise<string> =>
  (await promisify(execFile)(command, args)).stdout.trim();

export const SENDERS: readonly Sender[] = [
  {
    name: 'jsonwebtoken',
    sign: async (payload, key) => jsonwebtoken.sign(payload, key, { algorithm: 'HS256' }),
  },
  {
    name: 'PyJWT',
    sign: (payload, key) =>
      run('/usr/bin/python3', [
        '-c',
        "import jwt, json, sys\nprint(jwt.encode(json.loads(sys.argv[1]), sys.argv[2], algorithm='HS256'))",
        JSON.stringify(payload),
        key,
      ]),
  },
  {
    name: 'ruby-jwt',
    sign: (payload, key) =>
      run('ruby', [
        '-e',
        "require 'jwt'; require 'json'\nputs JWT.encode(JSON.parse(ARGV[0]), ARGV[1], 'HS256')",
        JSON.stringify(payload),
        key,
      ]),
  },
];

/** One that adds nothing: what it is given is what is signed, and whatever it says is what it says. */
export function signExactly(payload: Payload, key: string, header: Payload = { alg: 'HS256', typ: 'JWT' }): string {
  const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const input = `${part(header)}.${part(payload)}`;
  return `${input}.${createHmac('sha256', key).update(input).digest('base64url')}`;
}
