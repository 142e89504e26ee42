/**
 * Every key in the store: who owns it, what it holds, how long it lives. All of a tenant's own keys carry its id, in braces,
 * so that they share one slot of a Redis Cluster; ids hold neither braces nor colons, so no tenant can name another's key.
 *
 * | key | holds | lives |
 * | --- | --- | --- |
 * | `gatehouse:{tenant}:session:<digest of the id>` | the session record (sessions/record.ts), JSON | idle limit, anew with each use; past the absolute limit it counts for nothing |
 * | `gatehouse:{tenant}:hint:<digest of the id>` | the session's ID token, sealed, for the IdP (sessions/hint.ts) | until the session's absolute limit |
 * | `gatehouse:{tenant}:refresh:<digest of the id>` | the session's refresh token, sealed (sessions/hint.ts) | until the session's absolute limit |
 * | `gatehouse:{tenant}:person:<digest of issuer and sub>` | a set: digests of this person's sessions | until the last of them must end |
 * | `gatehouse:{tenant}:groups:<digest of issuer and sub>` | this person's groups and the time of their token, JSON: what all their sessions have | the absolute limit, anew with each sign-in |
 * | `gatehouse:{tenant}:sid:<digest of issuer and sid>` | a set: digests of the sessions of one session at the IdP | the same |
 * | `gatehouse:{tenant}:ended:<person or sid>:<digest>` | when the IdP says that it ended, seconds by its clock, and when that came in, ms by ours | 15 minutes, longer than a token that was asked for before can come in; by front channel a minute |
 * | `gatehouse:{tenant}:logout:<digest of the jti>` | `1`: this logout token has been obeyed | until it expires, a day at most |
 * | `gatehouse:{tenant}:renewal:<digest of the id>` | `1`: the identity is being asked for again | the tenant's `session.renew`; by refresh token 30 seconds |
 * | `gatehouse:{tenant}:attempt:<attempt id>` | `1`: this attempt was answered | until the attempt would have expired |
 * | `gatehouse:{tenant}:browser:<digest of the attempt cookie>` | digest of the session that this browser got last | 15 minutes, longer than an attempt |
 * | `gatehouse:{tenant}:link:<digest of jti or signature>` | `1`: this signed link was used | ten minutes longer than it could be used |
 * | `gatehouse:{tenant}:pending:<digest of the cookie>` | a signed link that waits for the person's word, sealed | 5 minutes |
 * | `gatehouse:{tenant}:limit:<what>:<address, IPv6 network, or *>` | how often that happened (storage/limiter.ts) | a minute |
 * | `gatehouse:{tenant}:last-sign-in` | when somebody signed in last, ms by our clock: for operators | 400 days |
 * | `gatehouse:{tenant}:audit` | a stream: the last events (ops/audit-stream.ts), `event` is one as JSON | a month, anew with each event |
 * | `gatehouse:{tenant}:account:<digest of issuer and sub>` | a person who came by signed links (sessions/accounts.ts), JSON | until it is removed by command |
 * | `gatehouse:email:<digest of the e-mail>` | the tenant whose it is, for Issuely's links | until it is removed by command |
 */
type TenantId = string;

const prefix = (tenant: TenantId): string => `gatehouse:{${tenant}}:`;

export const keys = {
  session: (tenant: TenantId, idDigest: string): string => `${prefix(tenant)}session:${idDigest}`,
  sessions: (tenant: TenantId): string => `${prefix(tenant)}session:`,
  refresh: (tenant: TenantId, idDigest: string): string => `${prefix(tenant)}refresh:${idDigest}`,
  hint: (tenant: TenantId, idDigest: string): string => `${prefix(tenant)}hint:${idDigest}`,
  /** `what` is the digest of a person or of a session at the IdP */
  index: (tenant: TenantId, kind: 'person' | 'sid', what: string): string => `${prefix(tenant)}${kind}:${what}`,
  ended: (tenant: TenantId, kind: 'person' | 'sid', what: string): string => `${prefix(tenant)}ended:${kind}:${what}`,
  groups: (tenant: TenantId, person: string): string => `${prefix(tenant)}groups:${person}`,
  logout: (tenant: TenantId, jtiDigest: string): string => `${prefix(tenant)}logout:${jtiDigest}`,
  renewal: (tenant: TenantId, idDigest: string): string => `${prefix(tenant)}renewal:${idDigest}`,
  attempt: (tenant: TenantId, attemptId: string): string => `${prefix(tenant)}attempt:${attemptId}`,
  link: (tenant: TenantId, digest: string): string => `${prefix(tenant)}link:${digest}`,
  pending: (tenant: TenantId, cookieDigest: string): string => `${prefix(tenant)}pending:${cookieDigest}`,
  limit: (tenant: TenantId, what: string, who: string): string => `${prefix(tenant)}limit:${what}:${who}`,
  lastSignIn: (tenant: TenantId): string => `${prefix(tenant)}last-sign-in`,
  audit: (tenant: TenantId): string => `${prefix(tenant)}audit`,
  account: (tenant: TenantId, person: string): string => `${prefix(tenant)}account:${person}`,
  accounts: (tenant: TenantId): string => `${prefix(tenant)}account:`,
  /** of no one tenant: that is what it is for */
  email: (emailDigest: string): string => `gatehouse:email:${emailDigest}`,
  browser: (tenant: TenantId, bindingDigest: string): string => `${prefix(tenant)}browser:${bindingDigest}`,
};
