import { codeOf, commitLeavesUnchanged } from '../../base/index.ts';
import type { CallOptions, CommitResult, Stage } from '../../store/index.ts';
import type { VolumeContext } from '../context.ts';
import type { BlockVersion } from './named-block.ts';

/** Each block meets one late write of each earlier session at the most; so many attempts are for those that come one after another. */
const maxAttempts = 8;

/**
 * Commits what was decided of blocks that only this session writes. A write that an earlier session had on its way when it lost the volume may take effect after this one
 * has read the block. Nobody was told that it is done, and no stage of its commit follows, so nothing that it refers to was given up: what is in memory here, which is
 * made of what was acknowledged, goes over it.
 * @param stages made anew for each attempt, with the blocks' versions of the moment.
 * @param onDoubt told of each attempt that is not done though the first update of its last stage may be, now or later. What is thrown does not say that: it may be another block's failure, or a later attempt's.
 * @throws InfinitError `conflict` where a later session has the volume.
 */
export async function commitOver(
  context: VolumeContext,
  blocks: readonly BlockVersion[],
  stages: () => readonly Stage[],
  onDoubt?: () => void,
  options?: Pick<CallOptions, 'tell'>,
): Promise<CommitResult> {
  for (let attempt = 1; ; attempt++) {
    await Promise.all(blocks.map((block) => block.learn()));
    const now = stages();
    if (now.length === 0) return { done: true, versions: [] };
    const result = await context.store.commit(now, options).catch((error: unknown) => {
      if (!commitLeavesUnchanged(codeOf(error))) onDoubt?.();
      throw error;
    });
    if (mayHaveLast(result, now.length - 1)) onDoubt?.();
    if (result.done || attempt === maxAttempts || !result.outcomes.some(({ status }) => status === 'conflict')) return result;
    context.logger.info('a late write of an earlier session is written over', { blocks: blocks.length });
    for (const block of blocks) block.doubt();
  }
}

function mayHaveLast(result: CommitResult, last: number): boolean {
  if (result.done || result.stage < last) return false;
  const status = result.outcomes[0]?.status;
  return status === 'committed' || status === 'unknown';
}
