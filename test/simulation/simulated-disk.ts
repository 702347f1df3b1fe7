import type { SeededRandom } from './random.ts';

/** What lies on the medium under a block; `rotten`: unreadable, which the disk's checksum notices. */
export type Stored = Uint8Array | 'rotten';

interface Write {
  readonly block: string;
  /** undefined: deleted. */
  readonly bytes: Uint8Array | undefined;
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
  write(block: string, bytes: Uint8Array | undefined, floor: number): Group<T> {
    this.#next.writes.push({ block, bytes, floor });
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
    for (const write of group.writes) this.#apply(write);
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
    for (let index = 0; index < kept; index++) this.#apply(writes[index]!);
    this.#syncing = undefined;
    this.#next = new Group();
  }

  /** Makes a record unreadable. False where there is none. */
  rot(block: string): boolean {
    if (!this.#durable.has(block)) return false;
    this.#durable.set(block, 'rotten');
    return true;
  }

  #apply({ block, bytes, floor }: Write): void {
    if (floor >= 0) this.floor = Math.max(this.floor, floor);
    if (bytes === undefined) this.#durable.delete(block);
    else this.#durable.set(block, bytes);
  }
}
