import type { TokenState } from '../api/index.ts';
import type { KnownToken } from '../overlay/index.ts';

/** What several hosts know of invitations, put together: one entry a token, those that end last first. @param nowMs This host's wall clock. */
export function tokenStates(known: readonly KnownToken[], nowMs: number): readonly TokenState[] {
  const byId = Map.groupBy(known, ({ id }) => id);
  return [...byId.values()]
    .map((same) => ({
      ...same[0]!,
      revoked: same.some(({ revoked }) => revoked),
      hosts: [...new Set(same.flatMap(({ hosts }) => hosts))].toSorted(),
    }))
    .toSorted((a, b) => b.expiresMs - a.expiresMs)
    .map(({ id, rights, expiresMs, uses, hosts, revoked }) => ({
      id,
      rights,
      expiresAt: new Date(expiresMs).toISOString(),
      uses,
      hosts,
      state: revoked ? 'revoked' : hosts.length >= uses ? 'used up' : expiresMs <= nowMs ? 'expired' : 'open',
    }));
}
