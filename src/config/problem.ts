/** One thing that is wrong in a file, with the place where an editor finds it. */
export type Problem = {
  readonly file: string;
  /** counted from 1 */
  readonly line: number;
  /** `oidc.issuer`, `groups.0.id`; empty for the file as a whole */
  readonly key: string;
  readonly message: string;
};

export function formatProblem({ file, line, key, message }: Problem): string {
  return `${file}:${line}: ${key === '' ? '' : `${key}: `}${message}`;
}
