/**
 * Who may open which path of a tenant: the rules of its file, the first that matches wins; without a match any signed-in person
 * may. Pure. Judged on the canonical path and nothing else, never on a query.
 */
export type AccessRule = {
  /** `/a/b` exactly, `*` for one segment, `/**` at the end for the path itself and all below it */
  readonly path: string;
  readonly groups?: readonly string[] | undefined;
  readonly anonymous?: boolean | undefined;
};

export type AccessDecision = 'allow' | 'sign_in' | 'deny';

/**
 * @param path canonical and relative to the tenant URL
 * @param groups of the person; `undefined`: nobody is signed in
 */
export function decideAccess(
  rules: readonly AccessRule[],
  path: string,
  groups: readonly string[] | undefined,
): AccessDecision {
  const rule = rules.find((candidate) => matches(candidate.path, path));
  if (rule?.anonymous === true) return 'allow';
  if (groups === undefined) return 'sign_in';
  if (rule?.groups === undefined) return 'allow';
  return rule.groups.some((group) => groups.includes(group)) ? 'allow' : 'deny';
}

/** Compared decoded, segment by segment, in the case that they have. */
function matches(pattern: string, path: string): boolean {
  const wanted = pattern.split('/');
  const given = path.split('/').map(decodeURIComponent);
  const open = wanted.at(-1) === '**';
  if (open) wanted.pop();
  if (open ? given.length < wanted.length : given.length !== wanted.length) return false;
  return wanted.every((segment, at) => segment === given[at] || (segment === '*' && given[at] !== ''));
}
