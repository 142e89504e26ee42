/**
 * The tokens of a session, sealed with COOKIE_KEYS: the refresh token (code flow), by which the IdP is asked again, and
 * the ID token, byte for byte, for the one use that is left for it: as `id_token_hint` towards the IdP that
 * issued it (RP-Initiated Logout 2, Core 3.1.2.1). Sealed with COOKIE_KEYS, so a dump of the store shows nothing of it, and kept
 * apart from the record, which every request reads.
 */
import type { RefreshGrant } from '../connections/verified-claims.ts';
import type { Sealer } from '../kernel/seal.ts';
import { keys } from '../storage/keys.ts';
import type { Store } from '../storage/store.ts';
import type { Tenant } from '../tenants/tenant.ts';

/** It travels in a URL: a longer one would be cut off by servers on the way, and nothing depends on it. */
const TOKEN_MAX_CHARACTERS = 6_000;

export type Hints = {
  readonly keep: (tenant: Tenant, idDigest: string, idToken: string | undefined, lifetimeMs: number) => Promise<void>;
  /** `undefined`: there is none, or none that can be sent */
  readonly read: (tenant: Tenant, idDigest: string) => Promise<string | undefined>;
  /** As long as the session may last; `undefined`: there is none, and nothing changes. */
  readonly keepRefresh: (
    tenant: Tenant,
    idDigest: string,
    grant: RefreshGrant | undefined,
    lifetimeMs: number,
  ) => Promise<void>;
  readonly readRefresh: (tenant: Tenant, idDigest: string) => Promise<RefreshGrant | undefined>;
  /** Both. */
  readonly forget: (tenant: Tenant, idDigest: string) => Promise<void>;
};

export function createHints(store: Store, sealer: Sealer): Hints {
  return {
    async keep(tenant, idDigest, idToken, lifetimeMs) {
      if (idToken === undefined || idToken.length > TOKEN_MAX_CHARACTERS) return;
      await store.set(keys.hint(tenant.id, idDigest), await sealer.seal([tenant.id, idToken]), lifetimeMs);
    },
    async read(tenant, idDigest) {
      const sealed = await store.get(keys.hint(tenant.id, idDigest));
      const opened = sealed === undefined ? undefined : await sealer.open(sealed);
      const [owner, token] = Array.isArray(opened) ? opened : [];
      return owner === tenant.id && typeof token === 'string' ? token : undefined;
    },
    async keepRefresh(tenant, idDigest, grant, lifetimeMs) {
      if (grant === undefined) return;
      const sealed = await sealer.seal([tenant.id, grant.token, grant.nonce]);
      await store.set(keys.refresh(tenant.id, idDigest), sealed, lifetimeMs);
    },
    async readRefresh(tenant, idDigest) {
      const sealed = await store.get(keys.refresh(tenant.id, idDigest));
      const opened = sealed === undefined ? undefined : await sealer.open(sealed);
      const [owner, token, nonce] = Array.isArray(opened) ? opened : [];
      const isOurs = owner === tenant.id && typeof token === 'string' && typeof nonce === 'string';
      return isOurs ? { token, nonce } : undefined;
    },
    async forget(tenant, idDigest) {
      await Promise.all([store.take(keys.hint(tenant.id, idDigest)), store.take(keys.refresh(tenant.id, idDigest))]);
    },
  };
}
