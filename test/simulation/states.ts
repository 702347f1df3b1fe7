import { type AcceptorState, decodeState, type Hint, lostState } from '../../src/consensus/index.ts';
import type { HostEvent } from './events.ts';
import type { SeededRandom } from './random.ts';
import { type Group, SimulatedDisk } from './simulated-disk.ts';

/** What a process has of a block. */
export interface Kept {
  state: AcceptorState | undefined;
  /** `state` is what the disk has, or newer. */
  loaded: boolean;
  /** The group of writes that makes the state durable; undefined: it is. */
  unsynced: Group<HostEvent> | undefined;
  hint: Hint | undefined;
}

/** A host's states in memory and on its disk: what `Replica` of src/store does in production. */
export class HostStates {
  readonly disk = new SimulatedDisk<HostEvent>();
  readonly #blocks = new Map<string, Kept>();
  /** Something waits to be synced. */
  readonly #onWrite: () => void;

  constructor(onWrite: () => void) {
    this.#onWrite = onWrite;
  }

  /** What memory has, loaded or not. */
  of(block: string): Kept {
    let kept = this.#blocks.get(block);
    if (kept === undefined) this.#blocks.set(block, (kept = { state: undefined, loaded: false, unsynced: undefined, hint: undefined }));
    return kept;
  }

  load(block: string): Kept {
    const kept = this.of(block);
    if (kept.loaded) return kept;
    const stored = this.disk.read(block);
    if (stored === 'rotten') {
      this.save(block, kept, lostState, -1);
    } else {
      kept.state = stored === undefined ? undefined : decodeState(stored);
      kept.loaded = true;
    }
    return kept;
  }

  save(block: string, kept: Kept, state: AcceptorState | undefined, floor: number): void {
    kept.state = state;
    kept.loaded = true;
    kept.unsynced = this.disk.write(block, state, floor);
    this.#onWrite();
  }

  /** The group under way is on the medium. */
  synced(): Group<HostEvent> {
    const group = this.disk.finish();
    for (const { block } of group.writes) {
      const kept = this.of(block);
      if (kept.unsynced === group) kept.unsynced = undefined;
    }
    return group;
  }

  crash(random: SeededRandom): void {
    this.disk.crash(random);
    this.#blocks.clear();
  }

  /** The record on the medium became unreadable, and what memory held of it is gone too. */
  rot(block: string): void {
    const kept = this.of(block);
    if (kept.unsynced === undefined && this.disk.rot(block)) kept.loaded = false;
  }

  /** All states count as lost. Returns the highest round that was promised or accepted in the name of any of them. */
  loseEverything(): number {
    let round = 0;
    for (const block of new Set([...this.disk.blocks(), ...this.#blocks.keys()])) {
      const kept = this.load(block);
      kept.hint = undefined;
      if (kept.state === undefined) continue;
      const { promised, accepted } = kept.state;
      round = Math.max(round, promised?.round ?? 0, accepted?.ballot.round ?? 0);
      this.save(block, kept, { promised: promised ?? accepted?.ballot ?? null, accepted: null, lost: true }, -1);
    }
    return round;
  }

  /** Gives up a lost state whose promise the floor covers; false: it has to stay. */
  dropLost(block: string, floor: number): boolean {
    const kept = this.load(block);
    if (kept.state === undefined) return true;
    const { lost, promised } = kept.state;
    if (!lost || promised === null || promised.round > floor) return false;
    this.save(block, kept, undefined, -1);
    return true;
  }
}
