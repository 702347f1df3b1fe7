import type { PeerId } from '../overlay/index.ts';
import { joinLosses } from './losses.ts';
import { isCountedOut, isInForce, isOnNotice, isSettledOut, lossesOf, newestView, type RosterState } from './roster-state.ts';

/**
 * What a host is to the others.
 * `stranger`: it has not entered the cluster yet, and may hold blocks of the time when it was alone.
 * `fresh`: it holds no state that could contradict anybody, and may be taken into a view. `member`: views that it knows have it, its acceptor has a say.
 * `outcast`: it was counted out and nobody relies on it any longer, or it left the views, and its states count as lost: it says nothing until it has given them up, and is fresh then.
 */
export type Standing = 'stranger' | 'fresh' | 'member' | 'outcast';

/** What a host knows, durably, before it acts on it or tells that it knows it. */
export interface Knowledge {
  readonly standing: Standing;
  /** undefined: it has not been told yet. */
  readonly state: RosterState | undefined;
}

/**
 * What a host knows once it is told of a state. The same object where that is no news.
 * The floor only rises, and losses stay until a person accepts them, whichever state says it: one that came through a host of before these has lost it.
 */
export function adopt(known: Knowledge, state: RosterState, self: PeerId): Knowledge {
  const before = known.state;
  const floor = Math.max(before?.floor ?? 0, state.floor);
  if (before === undefined) return { standing: standingIn(known, state, self), state: { ...state, floor } };
  const losses = before.losses === undefined && state.losses === undefined ? undefined : joinLosses(lossesOf(before), lossesOf(state));
  const kept = losses === undefined ? { floor } : { floor, losses };
  if (state.serial > before.serial) return { standing: standingIn(known, state, self), state: { ...state, ...kept } };
  return floor === before.floor && losses === before.losses ? known : { ...known, state: { ...before, ...kept } };
}

function standingIn({ standing, state: before }: Knowledge, state: RosterState, self: PeerId): Standing {
  switch (standing) {
    case 'fresh':
      return isInForce(state, self) && !isCountedOut(state, self) ? 'member' : 'fresh';
    case 'stranger':
    case 'outcast':
      return standing;
    case 'member': {
      // A view is retired only when all hosts that count know a newer one: whoever does not, did not count. That holds however long it was away,
      // also where the list of those that were counted out has forgotten it.
      const missed = before !== undefined && newestView(before).number < state.views[0]!.number;
      // No view is retired without a host that may come back as it is; members of before did not know that.
      const passed = before !== undefined && isOnNotice(state, self) && before.views[0]!.number < state.views[0]!.number;
      return isInForce(state, self) && !isSettledOut(state, self) && !missed && !passed ? 'member' : 'outcast';
    }
  }
}
