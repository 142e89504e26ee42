/**
 * Every key in the store: who owns it, what it holds, how long it lives. All of a tenant's keys carry its id, in braces,
 * so that they share one slot of a Redis Cluster; ids hold neither braces nor colons, so no tenant can name another's key.
 *
 * | key | holds | lives |
 * | --- | --- | --- |
 * | `gatehouse:{tenant}:session:<digest of the id>` | the session record (sessions/record.ts), JSON | idle limit, anew with each use; never past the absolute limit |
 * | `gatehouse:{tenant}:attempt:<attempt id>` | `1`: this attempt was answered | until the attempt would have expired |
 * | `gatehouse:{tenant}:browser:<digest of the attempt cookie>` | digest of the session that this browser got last | 15 minutes, longer than an attempt |
 */
type TenantId = string;

const prefix = (tenant: TenantId): string => `gatehouse:{${tenant}}:`;

export const keys = {
  session: (tenant: TenantId, idDigest: string): string => `${prefix(tenant)}session:${idDigest}`,
  attempt: (tenant: TenantId, attemptId: string): string => `${prefix(tenant)}attempt:${attemptId}`,
  browser: (tenant: TenantId, bindingDigest: string): string => `${prefix(tenant)}browser:${bindingDigest}`,
};
