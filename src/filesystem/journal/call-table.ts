import { randomInt } from 'node:crypto';

/** A call of another host that must not be made twice, named alike each time it is made. */
export interface CallName {
  readonly asker: string;
  readonly number: number;
}

/** A call that was done, and the inode that it made or named (0: none). */
export interface DoneCall extends CallName {
  readonly inode: number;
}

/** What a block of the journal says of calls. */
export interface CallRecord {
  /** Names the memory: of calls that were first made while it was this one, those that are not in it were not done. */
  readonly memory: number;
  readonly calls: readonly DoneCall[];
}

/** Calls that are remembered, of all hosts: one is forgotten when its asker has the answer. A journal's block has room for these, and for those of its own operations. */
export const maxDoneCalls = 192;
/** An asker whose name is longer is not remembered. */
const maxAskerLength = 36;
/** A journal that has no block yet was written by nobody. */
const firstMemory = 1;

/**
 * Which calls of other hosts were done that changed names. Each is durable in the same block of the journal as its operation, and each later block says it again until the asker has its
 * answer. So the newest block says it all: a host that comes to serve the volume answers from there a call whose answer was lost with the host before, and one that is not there has left nothing behind.
 */
export class CallTable {
  #memory = firstMemory;
  /** By key, those that were done first come first. */
  readonly #durable = new Map<string, DoneCall>();
  /** Done in memory only. */
  readonly #pending = new Map<string, DoneCall>();
  /** Of these the asker has the answer already. */
  readonly #answered = new Set<string>();

  get memory(): number {
    return this.#memory;
  }

  /** What the newest block of the journal says; undefined: it was written by an earlier version, which knows nothing of calls. */
  restore(record: CallRecord | undefined): void {
    this.#durable.clear();
    if (record === undefined) return this.doubt();
    this.#memory = record.memory;
    for (const call of record.calls) this.#durable.set(keyOf(call), call);
  }

  /** Something may have been done that is not here. */
  doubt(): void {
    this.#memory = randomInt(firstMemory + 1, 2 ** 47);
  }

  /** The call's operation was done, and is not durable yet. */
  did(call: DoneCall): void {
    this.#pending.set(keyOf(call), call);
  }

  /** What the block says that makes these durable. */
  recordWith(calls: readonly DoneCall[]): CallRecord {
    return { memory: this.#memory, calls: [...this.#durable.values(), ...calls] };
  }

  /** That block is durable. */
  committed(calls: readonly DoneCall[]): void {
    for (const call of calls) {
      const key = keyOf(call);
      this.#pending.delete(key);
      if (!this.#answered.delete(key)) this.#durable.set(key, call);
    }
    while (this.#durable.size > maxDoneCalls) {
      this.#durable.delete(this.#durable.keys().next().value!);
      this.doubt();
    }
  }

  /** These will not be asked for again. */
  answered(asker: string, numbers: readonly number[]): void {
    for (const number of numbers) {
      const key = keyOf({ asker, number });
      if (this.#pending.has(key)) this.#answered.add(key);
      else this.#durable.delete(key);
    }
  }

  /** What came of a call that may have been made before. @param memory when it was first made. undefined: nobody knows. */
  outcomeOf(call: CallName, memory: number): DoneCall | 'not done' | undefined {
    const key = keyOf(call);
    const done = this.#durable.get(key) ?? this.#pending.get(key);
    return done ?? (memory === this.#memory && isRemembered(call) ? 'not done' : undefined);
  }
}

/** Whether the table has room for the call's name. */
export function isRemembered({ asker }: CallName): boolean {
  return asker.length <= maxAskerLength;
}

/** One key a call. */
export function keyOf({ asker, number }: CallName): string {
  return `${asker} ${number}`;
}
