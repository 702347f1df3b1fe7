import { randomUUID } from 'node:crypto';

import type { CallName } from '../journal/call-table.ts';
import type { KernelRequest } from '../file-system.ts';
import { AnsweredCalls } from './answered-calls.ts';
import type { CallMemory } from './call-memory.ts';
import type { CallTag, SharedMethod } from './calls.ts';
import { recorded } from './done-calls.ts';
import { remembered } from './repeating.ts';

/** A call as the host that serves the volume is told of it. */
export interface ToldCall {
  readonly tag: CallTag;
  /** Calls that will not be made again. */
  readonly numbers: readonly number[];
}

/** The names that calls of this host's programs bear, so that each is done once however often it is made, and what is known of who remembers them. */
export class CallNames {
  readonly #asker = randomUUID();
  #calls = 0;
  /** The kernel's request that is being served at this moment. */
  #request: KernelRequest | undefined;
  /** By asker, which are this process and the mount's kernel: the memory of outcomes that the holder has, as it last said. */
  readonly #memories = new Map<string, string>();
  /** The volume's memory of calls, as the holder last said; undefined: it knows nothing of such. */
  #callMemory: number | undefined;
  readonly #answered = new AnsweredCalls();
  readonly #memory: CallMemory;

  constructor(memory: CallMemory) {
    this.#memory = memory;
  }

  /** See {@link HolderLink.asking}. */
  asking(request: KernelRequest | undefined): void {
    this.#request = request;
  }

  get knowMemory(): boolean {
    return this.#callMemory !== undefined;
  }

  learnMemory(memory: number): void {
    this.#callMemory = memory;
    this.#memory.learn(memory);
  }

  /** Another host serves the volume. @param isHere it is this one, or was: what is done here is not named. */
  forgetMemory(isHere: boolean): void {
    this.#callMemory = undefined;
    if (isHere) this.#memory.spoil();
  }

  /** Names a call of this process's own. */
  newCall(): CallName {
    return { asker: this.#asker, number: ++this.#calls };
  }

  /** The kernel's request that is being served asks for what a process before this one may have made, and the volume may know of. */
  asksAgain(method: SharedMethod): boolean {
    return this.#request?.again === true && isKnown(method);
  }

  /** Names calls of a method that the holder remembers. Only the first of a kernel's request has its number. */
  nameFor(method: SharedMethod): (() => CallTag) | undefined {
    if (!remembered.has(method)) return undefined;
    const request = this.#request;
    this.#request = undefined;
    let again = request?.again === true && isKnown(method);
    return () => {
      const { asker, number } = request ?? this.newCall();
      if (again) {
        again = false;
        return { asker, number, memory: '', again: true, calls: this.#memory.left };
      }
      // Another name would be asked for again.
      if ((this.#callMemory === undefined || request === undefined) && isKnown(method)) this.#memory.spoil();
      return { asker, number, memory: this.#memories.get(asker) ?? '', again: false, calls: this.#callMemory ?? 0 };
    };
  }

  /** One of an earlier version takes no tag with more in it. */
  tell(tag: CallTag, again: boolean, gave: readonly number[]): ToldCall {
    const numbers = this.#answered.of(tag);
    const { calls, ...rest } = { ...tag, again, gave };
    return { numbers, tag: this.#callMemory === undefined || calls === undefined ? rest : { ...rest, calls, answered: numbers } };
  }

  /** It was answered. @param memory of outcomes, as the answer said. */
  heard({ tag, numbers }: ToldCall, memory: string | undefined): void {
    this.#answered.heard(tag, numbers);
    if (memory !== undefined) this.#memories.set(tag.asker, memory);
  }

  /** It will not be made again, once the kernel has the answer: that leaves in this turn. Should this process die before, the next one is asked for it. */
  answered(tag: CallTag): void {
    setImmediate(() => this.#answered.add(tag));
  }
}

/** Whether the volume may know of such calls whether they were made. */
function isKnown(method: SharedMethod): boolean {
  return recorded.has(method) || method === 'append';
}
