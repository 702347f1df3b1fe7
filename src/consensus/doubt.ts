import type { Ballot } from './ballot.ts';
import type { Purpose } from './decision.ts';
import type { Operation } from './operation.ts';

/**
 * What may live on somewhere of what an operation sent. Even where all acceptors rejected it: one may have accepted it, its answer may have been lost,
 * a rival may have carried it on, and only then was the repeated request rejected.
 */
export class Doubt {
  #version = Infinity;
  #upon = 0;
  #ballot: Ballot | null = null;
  #changeSent = false;

  /** The lowest version under which our value may have been accepted somewhere; ∞: nowhere. */
  get version(): number {
    return this.#version;
  }

  /** The highest version of a record upon which it was sent; 0: of none. */
  get upon(): number {
    return this.#upon;
  }

  /** The highest ballot at which it was sent. */
  get ballot(): Ballot | null {
    return this.#ballot;
  }

  /** A change of replicas of ours, a salvage or a giving-up, may have been accepted somewhere. */
  get changeSent(): boolean {
    return this.#changeSent;
  }

  /** An accept was sent and its outcome is not known. `upon`: the version of the record that it was built on; 0: it founds the block. */
  note(purpose: Purpose, version: number, upon: number, ballot: Ballot): void {
    if (purpose === 'joint' || purpose === 'final' || purpose === 'salvaged' || purpose === 'given-up') this.#changeSent = true;
    if (purpose !== 'value') return;
    this.#version = Math.min(this.#version, version);
    this.#upon = Math.max(this.#upon, upon);
    this.#ballot = ballot;
  }

  /** The value can no longer come to life. */
  end(): void {
    this.#version = Infinity;
    this.#upon = 0;
    this.#ballot = null;
  }

  /** Whether the operation may have had an effect, now or later. */
  mayHaveActed({ kind }: Operation): boolean {
    return kind === 'write' ? this.#version !== Infinity : (kind === 'change' || kind === 'salvage' || kind === 'give-up') && this.#changeSent;
  }
}
