import { askedBy, currentAsker } from '../miss.ts';
import { type CallName, type DoneCall, isRemembered, keyOf } from '../journal/call-table.ts';
import type { Volume } from '../volume.ts';
import { type CallTag, Forgotten, type SharedCall, type SharedMethod } from './calls.ts';
import { answerIncluded, includes, isRecorded, recorded } from './done-calls.ts';

/**
 * Other hosts' calls of which the volume itself says whether they were done: for one that was first made before its outcome was remembered here, at this host or at one that
 * had the volume before.
 */
export class RecordedCalls {
  readonly #volume: Pick<Volume, 'calls' | 'callOutcome'>;
  /** Of which the volume will say that they were done. */
  readonly #underWay = new Set<string>();

  constructor(volume: Pick<Volume, 'calls' | 'callOutcome'>) {
    this.#volume = volume;
  }

  /** By which name the volume notes the call; undefined: it does not. */
  nameOf(peer: string, { method, args, tag }: SharedCall): (CallName & { readonly host: string }) | undefined {
    if (tag?.calls === undefined || !isRemembered(tag) || !isRecorded(method, args)) return undefined;
    return { host: peer, asker: tag.asker, number: tag.number };
  }

  /** Does a call of which the volume will say that it was done. */
  async making<T>(tag: CallTag | undefined, work: () => Promise<T>): Promise<T> {
    if (tag?.calls === undefined) return work();
    const key = keyOf(tag);
    this.#underWay.add(key);
    try {
      return await work();
    } finally {
      this.#underWay.delete(key);
    }
  }

  /** What to do for a call that changes names and was first made before its outcome was remembered here: it was done, or nothing is left of it. undefined: nobody knows. */
  earlier<T>(method: SharedMethod, tag: CallTag | undefined, perform: (done?: DoneCall) => T): (() => T) | undefined {
    if (tag?.calls === undefined || !recorded.has(method) || this.#underWay.has(keyOf(tag))) return undefined;
    const outcome = this.#volume.calls.outcomeOf(tag, tag.calls);
    return outcome === undefined ? undefined : () => perform(outcome === 'not done' ? undefined : outcome);
  }

  /** Likewise, of one that the inode includes which it changed. */
  included<T>(method: SharedMethod, args: readonly unknown[], tag: CallTag | undefined, perform: () => Promise<T>): (() => Promise<T>) | undefined {
    if (tag?.calls === undefined || !includes(method, args)) return undefined;
    const { calls: memory } = tag;
    return async () => {
      const asker = currentAsker();
      const outcome = await this.#volume.callOutcome(args[0] as number, tag, memory);
      if (outcome === undefined || this.#underWay.has(keyOf(tag))) throw new Forgotten();
      return outcome === 'done' ? (answerIncluded(method, args) as T) : askedBy(asker, perform);
    };
  }
}
