import { type Ballot, compareBallots, type PeerId, sameBallot } from './ballot.ts';
import type { Reply } from './messages.ts';
import type { Accepted, ReplicaSet, View } from './record.ts';
import { isQuorum, type Rules } from './rules.ts';

/** What the answers to a read or a prepare say so far. */
export interface Survey {
  /** The highest record accepted anywhere; null: none. */
  readonly best: Accepted | null;
  /** The sets that decide about it. */
  readonly sets: readonly ReplicaSet[];
  /** A majority of each of them has answered. */
  readonly complete: boolean;
  /** A majority of each of them has accepted it at this very ballot: it is chosen. */
  readonly held: boolean;
  /** Some answer may be of another time than the others (`Reply.unsure`): whoever answers besides, they prove nothing together. */
  readonly unsure: boolean;
  /** A pointer was passed over: see {@link survey}. */
  readonly forgotten: boolean;
  /** Where others decide: the highest pointer, where it is above the best record. */
  readonly pointer: Accepted | null;
}

/**
 * The rule on which changes of replicas rest: whoever is asked, the *highest record* among the answers names the sets that must answer.
 * A pointer that leads to a quorum that knows nothing of it speaks of a block that was removed and forgotten:
 * nothing lower counts any longer. Only promises above the pointer prove that; answers to a read may be older than the pointer is.
 * @param deciding The sets that decide whatever the highest record names: of a block whose own majority is lost. There a pointer leads to nobody who is left, and proves nothing of the records below it.
 */
export function survey(
  rules: Rules,
  answers: ReadonlyMap<PeerId, Reply>,
  known: Accepted | null,
  views: readonly View[],
  deciding?: readonly ReplicaSet[],
): Survey {
  const unsure = !rules.mayCombine() && answers.values().some((answer) => answer.unsure);
  if (deciding !== undefined) return surveyOfLost(rules, answers, known, deciding, unsure);
  let forgotten: Ballot | null = null;
  for (;;) {
    const best = highest(rules, answers, known, forgotten);
    const sets = best === null ? rules.foundingSets(views) : rules.setsOf(best.record);
    const complete = isQuorum(rules, sets, (peer) => answers.has(peer));
    if (best === null || !best.pointer || !complete)
      return {
        best,
        sets,
        complete,
        held: complete && isHeld(rules, answers, best, sets, unsure),
        unsure,
        forgotten: forgotten !== null,
        pointer: null,
      };
    forgotten = best.ballot;
  }
}

function surveyOfLost(
  rules: Rules,
  answers: ReadonlyMap<PeerId, Reply>,
  known: Accepted | null,
  sets: readonly ReplicaSet[],
  unsure: boolean,
): Survey {
  const records = new Map([...answers].filter(([, { accepted }]) => accepted?.pointer !== true));
  const [best, top] = [highest(rules, records, known, null), highest(rules, answers, known, null)];
  const complete = isQuorum(rules, sets, (peer) => answers.has(peer));
  const pointer = top?.pointer === true ? top : null;
  return { best, sets, complete, held: complete && isHeld(rules, answers, best, sets, unsure), unsure, forgotten: false, pointer };
}

function highest(rules: Rules, answers: ReadonlyMap<PeerId, Reply>, known: Accepted | null, above: Ballot | null): Accepted | null {
  let best: Accepted | null = null;
  for (const { accepted, same } of answers.values()) {
    if (accepted === null || (above !== null && compareBallots(accepted.ballot, above) <= 0)) continue;
    const fuller = best !== null && best.pointer && !accepted.pointer && sameBallot(accepted.ballot, best.ballot);
    if (fuller || rules.isNewer(accepted.ballot, best?.ballot ?? null)) best = same && known !== null && !accepted.pointer ? known : accepted;
  }
  return best;
}

function isHeld(rules: Rules, answers: ReadonlyMap<PeerId, Reply>, best: Accepted | null, sets: readonly ReplicaSet[], unsure: boolean): boolean {
  if (best === null) return true;
  if (unsure) return false;
  return isQuorum(rules, sets, (peer) => {
    const accepted = answers.get(peer)?.accepted ?? null;
    return accepted !== null && !accepted.pointer && sameBallot(accepted.ballot, best.ballot);
  });
}
