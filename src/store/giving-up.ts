import { InfinitError } from '../base/index.ts';
import { type Address, kindOf } from '../block/index.ts';
import { type AcceptorState, decodeState, encodeState, lostState } from '../consensus/index.ts';
import type { Disk, DiskOperation } from '../disk/index.ts';
import { isDamaged } from './failures.ts';

/** Registers that are marked lost in one group. */
const group = 512;

/**
 * Marks every register on the disk as lost. The promise stays in the mark, so that it is known which floor covers it; of a damaged record it is
 * not known. Returns the highest round that was promised or accepted.
 */
export async function markAllLost(disk: Disk): Promise<number> {
  let round = 0;
  let after: Address | undefined;
  for (;;) {
    const entries = await disk.list(after, group);
    const operations: DiskOperation[] = [];
    for (const { address } of entries) {
      if (kindOf(address) === 'immutable') continue;
      const state = await stored(disk, address);
      if (state === undefined) continue;
      const promised = state.promised ?? state.accepted?.ballot ?? null;
      round = Math.max(round, promised?.round ?? 0, state.accepted?.ballot.round ?? 0);
      operations.push({ type: 'put', address, bytes: encodeState({ promised, accepted: null, lost: true }) });
    }
    await disk.write(operations);
    if (entries.length < group) return round;
    after = entries.at(-1)!.address;
  }
}

/** Why nothing is served meanwhile. */
export function givingUp(): InfinitError {
  return new InfinitError('unavailable', 'this host was counted out and is giving up what it held');
}

async function stored(disk: Disk, address: Address): Promise<AcceptorState | undefined> {
  try {
    const bytes = await disk.read(address);
    return bytes === undefined ? undefined : decodeState(bytes);
  } catch (error) {
    if (isDamaged(error)) return lostState;
    throw error;
  }
}
