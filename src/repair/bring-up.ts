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
  { housekeeping }: Pick<Standpoint, 'housekeeping'>,
  address: Address,
  behind: (accepted: Accepted) => readonly PeerId[],
  signal: AbortSignal,
): Promise<Mend> {
  const found = await housekeeping.resolve(address, { signal });
  if (found.status !== 'resolved') return 'short';
  const { accepted } = found.outcome;
  if (accepted === null) return 'gone';
  const peers = behind(accepted);
  const told = await housekeeping.tell(address, accepted, peers, { signal });
  if (told.refuse === 0 || accepted.record.value === null) return told.silent === 0 ? 'mended' : 'short';
  const renewed = await housekeeping.renew(address, { signal });
  if (renewed.status !== 'committed' || renewed.accepted === null) return 'short';
  const again = await housekeeping.tell(address, renewed.accepted, peers, { signal });
  return again.have === peers.length ? 'mended' : 'short';
}
