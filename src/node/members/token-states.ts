import type { TokenState } from '../../api/index.ts';
import type { KnownToken } from '../../overlay/index.ts';

/** What several hosts know of invitations, put together: one entry a token, those that end last first. @param nowMs This host's wall clock. */
export function tokenStates(known: readonly KnownToken[], nowMs: number): readonly TokenState[] {
  const byId = Map.groupBy(known, ({ id }) => id);
  return [...byId.values()]
    .map((same) => ({
      ...same[0]!,
      revoked: same.some(({ revoked }) => revoked),
      hosts: joined(same),
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

/** Names, one for each identity: a use is an identity's, and a host that joined anew is another by the same name. */
function joined(same: readonly KnownToken[]): readonly string[] {
  const names = new Map<string, string>();
  for (const { hosts, peers } of same)
    for (const [index, peer] of (peers ?? []).entries()) {
      const name = hosts[index]!;
      // Not every host knows the name of one that left.
      if (!names.has(peer) || name !== peer) names.set(peer, name);
    }
  const known = new Set([...names.values(), ...names.keys()]);
  // Hosts of an earlier version tell names only.
  const others = same.flatMap(({ hosts, peers }) => (peers === undefined ? hosts.filter((host) => !known.has(host)) : []));
  return [...names.values(), ...new Set(others)].toSorted();
}
