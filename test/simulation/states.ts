import { codeOf } from '../../src/base/index.ts';
import { type AcceptorState, decodeState, type Hint, lostState } from '../../src/consensus/index.ts';
import type { HostEvent } from './events.ts';
import type { SeededRandom } from './random.ts';
import { type Group, SimulatedDisk } from './simulated-disk.ts';

/** What a process has of a block. */
export interface Kept {
  state: AcceptorState | undefined;
  /** `state` is what the disk has, or newer. */
  loaded: boolean;
  /** The group of writes that makes the state durable; undefined: it is, or it is unsaved. */
  unsynced: Group<HostEvent> | undefined;
  /** The last write failed or was refused: what is in memory must be written again before anything is said about it. */
  unsaved: boolean;
  hint: Hint | undefined;
}

/** A host's states in memory and on its disk: what `Replica` of src/store does in production. */
export class HostStates {
  readonly disk = new SimulatedDisk<HostEvent>();
  readonly #blocks = new Map<string, Kept>();
  /** The floor that could not be written; −1: it was. */
  #unsavedFloor = -1;
  /** The group that makes the floor durable; undefined: it is, or it is unsaved. */
  #floorGroup: Group<HostEvent> | undefined;
  /** A mutant takes a failed write for one that was made. */
  readonly #forgetsUnsaved: boolean;
  /** Something waits to be synced. */
  readonly #onWrite: () => void;

  constructor(onWrite: () => void, forgetsUnsaved: boolean) {
    this.#onWrite = onWrite;
    this.#forgetsUnsaved = forgetsUnsaved;
  }

  /** What memory has, loaded or not. */
  of(block: string): Kept {
    let kept = this.#blocks.get(block);
    if (kept === undefined)
      this.#blocks.set(block, (kept = { state: undefined, loaded: false, unsynced: undefined, unsaved: false, hint: undefined }));
    return kept;
  }

  load(block: string): Kept {
    const kept = this.of(block);
    if (kept.loaded) return kept;
    try {
      const stored = this.disk.read(block);
      kept.state = stored === undefined ? undefined : decodeState(stored);
      kept.loaded = true;
    } catch (error) {
      if (codeOf(error) !== 'damaged') throw error;
      this.save(block, kept, lostState, -1, true);
    }
    return kept;
  }

  /** What is in memory and was never said to anybody may be lost, but for what a full disk has a reserve for. */
  save(block: string, kept: Kept, state: AcceptorState | undefined, floor: number, reserved = false): void {
    kept.state = state;
    kept.loaded = true;
    const raised = Math.max(floor, this.#unsavedFloor);
    const group = this.disk.write(block, state, raised, reserved);
    kept.unsynced = group;
    kept.unsaved = group === undefined && !this.#forgetsUnsaved;
    if (raised >= 0) {
      this.#floorGroup = group;
      this.#unsavedFloor = group === undefined ? raised : -1;
    }
    if (group !== undefined) this.#onWrite();
  }

  /** Whether something must be written before anything is said of the block: every reply tells the floor. */
  isUnsaved({ unsaved }: Kept): boolean {
    return unsaved || this.#unsavedFloor >= 0;
  }

  /** What must be on the medium before something is said of the block. */
  awaited({ unsynced }: Kept): Group<HostEvent> | undefined {
    const floor = this.#floorGroup;
    return unsynced === undefined || (floor !== undefined && floor.number > unsynced.number) ? floor : unsynced;
  }

  /** The group under way is on the medium. */
  synced(): readonly HostEvent[] {
    const group = this.disk.finish();
    if (group === undefined) return [];
    for (const { block } of group.writes) {
      const kept = this.of(block);
      if (kept.unsynced === group) kept.unsynced = undefined;
    }
    if (this.#floorGroup === group) this.#floorGroup = undefined;
    return group.waiting;
  }

  /** The disk fails. What was stepped stays in memory, as in production, and nothing waits for it any longer. */
  fail(random: SeededRandom): void {
    for (const { block, floor } of this.disk.fail(random)) {
      const kept = this.of(block);
      kept.unsynced = undefined;
      kept.unsaved = !this.#forgetsUnsaved;
      if (floor > this.#unsavedFloor) this.#unsavedFloor = floor;
    }
    this.#floorGroup = undefined;
  }

  crash(random: SeededRandom): void {
    this.disk.crash(random);
    this.#blocks.clear();
    this.#unsavedFloor = -1;
    this.#floorGroup = undefined;
  }

  /** The record on the medium became unreadable, and what memory held of it is gone too. */
  rot(block: string, random: SeededRandom): void {
    const kept = this.of(block);
    if (kept.unsynced === undefined && !kept.unsaved && this.disk.rot(block, random)) kept.loaded = false;
  }

  /** What is on the medium anyway leaves memory. */
  dropClean(): void {
    for (const kept of this.#blocks.values()) if (kept.unsynced === undefined && !kept.unsaved) kept.loaded = false;
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
      this.save(block, kept, { promised: promised ?? accepted?.ballot ?? null, accepted: null, lost: true }, -1, true);
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
