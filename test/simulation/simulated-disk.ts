import { type AcceptorState, encodeState } from '../../src/consensus/index.ts';
import type { SeededRandom } from './random.ts';

/** What lies on the medium under a block; `rotten`: unreadable, which the disk's checksum notices. */
export type Stored = Uint8Array | 'rotten';

interface Write {
  readonly block: string;
  /** undefined: deleted. */
  readonly state: AcceptorState | undefined;
  /** The host's floor, where not −1. */
  readonly floor: number;
}

/** A group of writes that becomes durable at once, and what may be said only then. */
export class Group<T> {
  readonly writes: Write[] = [];
  readonly waiting: T[] = [];
  done = false;
}

/**
 * A host's medium. Writes gather in a group while the one before is being synced; a crash keeps a prefix of what was not synced yet. A record that was
 * cut in the middle is the end of that prefix: its checksum fails, so it counts as never written.
 */
export class SimulatedDisk<T> {
  readonly #durable = new Map<string, Stored>();
  #syncing: Group<T> | undefined;
  #next = new Group<T>();
  /** Small facts that are on the medium before anything depends on them. */
  incarnation = 0;
  floor = 0;
  earlierHolders: readonly { readonly peer: string; readonly incarnation: number }[] = [];

  /** Adds to the group that is gathering and returns it. */
  write(block: string, state: AcceptorState | undefined, floor: number): Group<T> {
    this.#next.writes.push({ block, state, floor });
    return this.#next;
  }

  /** Starts to sync what has gathered. False where a sync is under way or there is nothing to do. */
  start(): boolean {
    if (this.#syncing !== undefined || this.#next.writes.length === 0) return false;
    this.#syncing = this.#next;
    this.#next = new Group();
    return true;
  }

  /** The group under way is on the medium. */
  finish(): Group<T> {
    const group = this.#syncing!;
    this.#syncing = undefined;
    this.#apply(group.writes, group.writes.length);
    group.done = true;
    return group;
  }

  read(block: string): Stored | undefined {
    return this.#durable.get(block);
  }

  blocks(): IterableIterator<string> {
    return this.#durable.keys();
  }

  /** Power is gone: a prefix of what was not synced survives. */
  crash(random: SeededRandom): void {
    const writes = [...(this.#syncing?.writes ?? []), ...this.#next.writes];
    const kept = random.below(writes.length + 1);
    this.#apply(writes, kept);
    this.#syncing = undefined;
    this.#next = new Group();
  }

  /** Makes a record unreadable. False where there is none. */
  rot(block: string): boolean {
    if (!this.#durable.has(block)) return false;
    this.#durable.set(block, 'rotten');
    return true;
  }

  /** The first so many writes reach the medium. States are laid out by the production codec; what a later write of these replaces need not be. */
  #apply(writes: readonly Write[], count: number): void {
    for (let index = count - 1; index >= 0; index--) {
      const { block, state, floor } = writes[index]!;
      if (floor > this.floor) this.floor = floor;
      if (isReplaced(writes, index, count)) continue;
      if (state === undefined) this.#durable.delete(block);
      else this.#durable.set(block, encodeState(state));
    }
  }
}

function isReplaced(writes: readonly Write[], at: number, count: number): boolean {
  const { block } = writes[at]!;
  for (let later = at + 1; later < count; later++) if (writes[later]!.block === block) return true;
  return false;
}
