import type { PeerId, Reply } from '../consensus/index.ts';
import type { Register } from './register-cache.ts';

/** An answer to one of several requests. */
export interface Served {
  readonly register: Register;
  readonly reply: Reply;
  readonly to: PeerId;
}

const ignore = (): void => {};

/**
 * Each reply leaves when what its register holds is durable, and the floor, which every reply tells. Where the disk refuses, nothing is said.
 * @param floor Resolves when the floor is durable; undefined: it is.
 */
export function answerWhenDurable(served: readonly Served[], floor: Promise<void> | undefined, answer: (reply: Reply, to: PeerId) => void): void {
  const waiting = new Map<Promise<void>, Served[]>();
  for (const each of served) {
    const { durable } = each.register;
    if (durable === undefined) {
      if (floor === undefined) answer(each.reply, each.to);
      else floor.then(() => answer(each.reply, each.to), ignore);
      continue;
    }
    const others = waiting.get(durable);
    if (others === undefined) waiting.set(durable, [each]);
    else others.push(each);
  }
  for (const [durable, all] of waiting) {
    const ready = floor === undefined ? durable : Promise.all([durable, floor]);
    ready.then(() => {
      for (const { reply, to } of all) answer(reply, to);
    }, ignore);
  }
}
