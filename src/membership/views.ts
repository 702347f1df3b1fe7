import type { PeerId } from '../overlay/index.ts';
import type { Roster } from '../placement/index.ts';

/** A numbered roster: the same number means the same hosts, and so the same places of blocks, on every host. */
export interface RosterView {
  readonly number: number;
  readonly roster: Roster;
  /** Copies wanted of each block; the roster may have fewer hosts. Part of the view, since it is part of where a block belongs. */
  readonly replicas: number;
}

/** The views of the roster that are in force, as this host knows them: what places blocks, and what moves them. */
export interface Views {
  /** Settles once this host knows the views of its cluster; at once on a host alone. @throws InfinitError `cancelled` by the signal. */
  whenKnown(signal?: AbortSignal): Promise<void>;
  /** Oldest first; at least one. The same array until it changes. @throws InfinitError `unavailable` before they are known. */
  inForce(): readonly RosterView[];
  /**
   * The oldest views, where every storing host that counts knows the one after them: what they placed is to be resolved and moved to that one's sets.
   * undefined: nothing to do.
   */
  retiring(): { readonly from: readonly RosterView[]; readonly to: RosterView } | undefined;
  /**
   * This host resolved everything that it holds, registers and immutable blocks, since the views up to this one were retiring, and it is where the
   * next one wants it. Not durable: to be said again after a restart. What it says about other views than those that retire now is ignored.
   */
  resolved(through: number): Promise<void>;
  /** Hosts that never speak again under this identity (revoked), or whose states count as lost (counted out): left out of what settle and forget wait for. */
  countedOut(): ReadonlySet<PeerId>;
  /** Tells of each change of any of the above. Returns the way to stop listening. */
  onChange(listener: () => void): () => void;
}

/** One view that never changes: a host alone, and tests. */
export function staticViews(view: RosterView): Views {
  const views = [view];
  const nobody = new Set<PeerId>();
  const done = (): Promise<void> => Promise.resolve();
  return { whenKnown: done, inForce: () => views, retiring: () => undefined, resolved: done, countedOut: () => nobody, onChange: () => () => {} };
}
