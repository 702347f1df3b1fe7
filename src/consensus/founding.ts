import type { PeerId } from './ballot.ts';
import type { Reply } from './messages.ts';
import { type BlockRecord, type Origin, sameReplicas, type View } from './record.ts';
import type { Rules } from './rules.ts';

/** The record that founds a block: joint over all views in force, with the newest's set to keep it (docs/consensus.md, “Genesis”). */
export function foundingRecord(rules: Rules, views: readonly View[], version: number, origin: Origin, value: Uint8Array | null): BlockRecord {
  const { replicas } = views.at(-1)!;
  const others = rules.foundingSets(views).filter((set) => !sameReplicas(set, replicas));
  return { version, epoch: rules.firstEpoch(version), replicas, previous: others, unsettled: [...new Set(others.flat())], origin, value };
}

/** The highest floor that the answers tell. */
export function highestFloor(answers: ReadonlyMap<PeerId, Reply>): number {
  let floor = 0;
  for (const reply of answers.values()) floor = Math.max(floor, reply.floor);
  return floor;
}
