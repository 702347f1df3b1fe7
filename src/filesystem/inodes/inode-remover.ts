import type { Address } from '../../block/index.ts';
import type { Stage } from '../../store/index.ts';
import { commitOver } from '../journal/commit-over.ts';
import type { VolumeContext } from '../context.ts';
import { asFileSystemError, versionsOf } from '../failure.ts';
import type { Inode } from './inode.ts';
import type { InodeTable } from './inode-table.ts';
import type { BlockVersion } from '../journal/named-block.ts';
import type { RecordCommitter } from '../journal/record-committer.ts';

/** Inodes that one commit removes, and blocks that it drops at the most before it is sent. */
const inodesPerCommit = 64;
const dropsPerCommit = 4096;

/**
 * Takes inodes that nobody can reach any more out of the store: record and data blocks, or record and tree. The journal knows of them
 * until that is done, so an interrupted removal is taken up again; what it dropped already is dropped once more then.
 */
export class InodeRemover {
  readonly #context: VolumeContext;
  readonly #records: RecordCommitter;
  readonly #table: InodeTable;

  constructor(context: VolumeContext, records: RecordCommitter, table: InodeTable) {
    this.#context = context;
    this.#records = records;
    this.#table = table;
  }

  /** Returns what failed; those may be tried again. */
  async remove(inodes: readonly Inode[]): Promise<ReadonlyMap<Inode, unknown>> {
    const failed = new Map<Inode, unknown>();
    const remove = (group: readonly Inode[]): Promise<void> => this.#records.exclusively(group, () => this.#removeGroup(group));
    for (let at = 0; at < inodes.length; at += inodesPerCommit) {
      const group = inodes.slice(at, at + inodesPerCommit);
      const error = await remove(group).then(
        () => undefined,
        (reason: unknown) => reason,
      );
      if (error === undefined) continue;
      // One that cannot be removed keeps no other.
      if (group.length > 1) await Promise.all(group.map((inode) => remove([inode]).catch((own: unknown) => failed.set(inode, own))));
      else failed.set(group[0]!, error);
      if (!group.every((inode) => failed.has(inode))) continue;
      for (const inode of inodes.slice(at + inodesPerCommit)) failed.set(inode, error);
      break;
    }
    return failed;
  }

  async #removeGroup(group: readonly Inode[]): Promise<void> {
    for (const inode of group) await inode.directory?.tree.destroy();
    let drops: Address[] = [];
    for (const inode of group) {
      for await (const address of this.#blocksOf(inode)) {
        drops.push(address);
        if (drops.length < dropsPerCommit) continue;
        await this.#commit([{ drop: drops }]);
        drops = [];
      }
    }
    const blocks = group.map((inode) => inode.block);
    try {
      versionsOf(await commitOver(this.#context, blocks, () => stagesOf(blocks, drops)));
    } catch (error) {
      for (const block of blocks) block.doubt();
      throw error;
    }
    for (const inode of group) {
      inode.block.removed();
      this.#table.forget(inode);
    }
  }

  async #commit(stages: readonly Stage[]): Promise<void> {
    versionsOf(await this.#context.store.commit(stages));
  }

  async *#blocksOf(inode: Inode): AsyncIterable<Address> {
    const { content } = inode;
    if (content === undefined) return;
    content.discard();
    // Of an attempt that failed as well: the map does not name them.
    for (const block of content.vain) {
      await block.putting;
      yield block.address;
    }
    if (content.map === undefined) return;
    try {
      for await (const { address, epoch } of content.map.allBlocks()) if (epoch >= this.#context.epoch) yield address;
    } catch (error) {
      // A removal that was interrupted may have dropped nodes: what only they named is left to scrub.
      this.#context.logger.warn('some blocks of a removed file are left to scrub', { inode: inode.number, error: asFileSystemError(error) });
    }
  }
}

/** Removes those that are there. */
function stagesOf(blocks: readonly BlockVersion[], drop: readonly Address[]): Stage[] {
  const update = blocks.filter(({ absent }) => !absent).map((block) => block.update(null));
  return [...(update.length === 0 ? [] : [{ update }]), ...(drop.length === 0 ? [] : [{ drop }])];
}
