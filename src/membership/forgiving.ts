import { InfinitError } from '../base/index.ts';
import type { PeerId } from '../overlay/index.ts';
import { forgive, joinLosses } from './losses.ts';
import type { MembershipStore } from './membership.ts';
import { decodeRosterState, encodeRosterState, lossesOf, rosterAddress, type RosterState } from './roster-state.ts';

const deadlineMs = 5000;
/** How often the roster block is read anew where others changed it meanwhile. */
const maxTries = 5;

/** Has it agreed on in the roster block that a person accepts what was lost with these hosts. @param state What this host knows. */
export async function agreeToForgive(store: MembershipStore, clusterId: string, state: RosterState, hosts: readonly PeerId[]): Promise<RosterState> {
  const address = rosterAddress(clusterId);
  for (let tries = 1; tries <= maxTries; tries++) {
    const block = await store.fetch(address, { deadlineMs });
    const agreed = block === undefined ? undefined : decodeRosterState(block.payload, state);
    if (block === undefined || agreed === undefined || agreed.serial < state.serial)
      throw new InfinitError('conflict', 'the roster block does not say what this host knows of the roster');
    const losses = forgive(joinLosses(lossesOf(agreed), lossesOf(state)), hosts);
    if (!('list' in losses)) throw new InfinitError('bad-argument', `${losses.join(', ')} were lost along with them: name these too`);
    // What is made anew where such a block was is above any version that it can have had.
    const floor = Math.max(agreed.floor, state.floor, store.housekeeping.aboveLost);
    const next = { ...agreed, serial: agreed.serial + 1, floor, losses };
    const result = await store.commit([{ update: [{ address, expect: block.version, payload: encodeRosterState(next) }] }], { deadlineMs });
    if (result.done) return next;
    const [outcome] = result.outcomes;
    if (outcome?.status === 'failed') throw new InfinitError(outcome.code, outcome.message);
    // Its code says what came between, not that nothing was changed.
    if (outcome?.status === 'unknown') throw new InfinitError('unknown-outcome', outcome.message);
  }
  throw new InfinitError('conflict', 'the roster changes all the time: say it again');
}
