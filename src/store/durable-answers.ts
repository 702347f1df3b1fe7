import type { PeerId, Reply } from '../consensus/index.ts';
import type { DurableFloor } from './durable-floor.ts';
import type { Register } from './register-cache.ts';

/** An answer to one of several requests. */
export interface Served {
  readonly register: Register;
  readonly reply: Reply;
  readonly to: PeerId;
}

const ignore = (): void => {};

/**
 * Each reply leaves when what its register holds is durable, and the floor, which every reply tells; a read of what is here tells the floor of before, and does not wait
 * for another. Where the disk refuses, nothing is said.
 */
export function answerWhenDurable(
  served: readonly Served[],
  floor: Pick<DurableFloor, 'durable' | 'saved'>,
  answer: (reply: Reply, to: PeerId) => void,
): void {
  const waiting = new Map<Promise<void>, Served[]>();
  for (const each of served) {
    const { durable } = each.register;
    if (durable === undefined) {
      if (floor.durable === undefined) answer(each.reply, each.to);
      else if (isOfWhatIsHere(each.reply)) answer({ ...each.reply, floor: floor.saved }, each.to);
      else floor.durable.then(() => answer(each.reply, each.to), ignore);
      continue;
    }
    const others = waiting.get(durable);
    if (others === undefined) waiting.set(durable, [each]);
    else others.push(each);
  }
  for (const [durable, all] of waiting) {
    const ready = floor.durable === undefined ? durable : Promise.all([durable, floor.durable]);
    ready.then(() => {
      for (const { reply, to } of all) answer(reply, to);
    }, ignore);
  }
}

/** The floor is about blocks that are not here: of this one it says nothing that its record does not, and a reply of before it was raised would have said the same. */
function isOfWhatIsHere({ type, accepted }: Reply): boolean {
  return type === 'value' && accepted !== null;
}
