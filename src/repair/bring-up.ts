import type { Address } from '../block/index.ts';
import type { Accepted, PeerId } from '../consensus/index.ts';
import type { Standpoint } from './standpoint.ts';

/** What mending one block came to; `gone`: it was removed meanwhile. */
export type Mend = 'mended' | 'short' | 'gone';

/**
 * Tells what a quorum has of a register to those that are behind. A replica whose floor refuses the record as it is gets it by a ballot above the floor
 * (docs/consensus.md, “Who may forget what”); a tombstone needs that of nobody.
 */
export async function bringUp(
  { housekeeping }: Standpoint,
  address: Address,
  behind: (accepted: Accepted) => readonly PeerId[],
  signal: AbortSignal,
): Promise<Mend> {
  const found = await housekeeping.resolve(address, { signal });
  if (found.status !== 'resolved') return 'short';
  const { accepted } = found.outcome;
  if (accepted === null) return 'gone';
  const peers = behind(accepted);
  if ((await housekeeping.tell(address, accepted, peers, { signal })).length === peers.length || accepted.record.value === null) return 'mended';
  const renewed = await housekeeping.renew(address, { signal });
  if (renewed.status !== 'committed' || renewed.accepted === null) return 'short';
  return (await housekeeping.tell(address, renewed.accepted, peers, { signal })).length === peers.length ? 'mended' : 'short';
}
