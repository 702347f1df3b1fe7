import { assert, InfinitError } from '../../base/index.ts';
import { type Address, ownerOf } from '../../block/index.ts';
import type { SealedBlock, Stage, Update } from '../../store/index.ts';
import { commitOver } from './commit-over.ts';
import type { ContentFlush, ContentPlan } from '../content/content-flush.ts';
import type { ContentJournal, JournalMark } from './content-journal.ts';
import type { VolumeContext } from '../context.ts';
import type { BlockUse } from '../extents/index.ts';
import { versionsOf } from '../failure.ts';
import { decodeInode, encodeInode } from '../inodes/inode-codec.ts';
import type { Inode } from '../inodes/inode.ts';
import type { BlockVersion } from './named-block.ts';
import type { Unsettled } from './unsettled.ts';
import type { VolumeUsage } from '../usage.ts';

/** What goes into the store together with records: the journal's block, after them. */
export interface JournalWrite {
  readonly block: BlockVersion;
  /** Sealed as late as possible: figures are what they are then. */
  readonly payload: () => Uint8Array;
  /** The block is durable, and with it all of the inodes. */
  readonly committed: () => void;
  /** The block may be durable, now or later, though the commit is not done. */
  readonly doubted?: () => void;
  /** Link count and parent as the journal's block will have them, for inodes that are new with it. */
  readonly linksOf: (inode: Inode) => { readonly links: number; readonly parent: number } | undefined;
  /** New files are written empty, for want of room: their content stays in memory and is written like that of any other. */
  readonly empty?: boolean;
}

/** What is neither content nor links. */
type Attributes = Pick<Inode, 'mode' | 'uid' | 'gid' | 'accessed' | 'modified' | 'changed' | 'xattrs' | 'calls'>;

/** An inode as it is at the cut; what changes while its content is prepared is the next commit's. */
interface Prepared {
  readonly inode: Inode;
  readonly attributes: Attributes;
  readonly size: number;
  readonly plan: ContentPlan | undefined;
  readonly revision: number;
  /** The record covers the content journal up to here. */
  readonly mark: JournalMark;
}

/**
 * Makes inodes durable: contents, then records, then the journal's block, as the stages of ONE commit. One commit of an inode at a
 * time; commits of different inodes run in parallel.
 */
export class RecordCommitter {
  readonly #context: VolumeContext;
  readonly #usage: VolumeUsage;
  readonly #unsettled: Unsettled;
  readonly #contents: ContentJournal;
  /** Told when an inode has nothing more to write. */
  readonly #onClean: (inode: Inode) => void;
  /** A cut that is written later, since it failed or goes in steps, goes with the attributes of its time. */
  readonly #cutAs = new WeakMap<ContentFlush, Attributes>();

  constructor(context: VolumeContext, usage: VolumeUsage, unsettled: Unsettled, contents: ContentJournal, onClean: (inode: Inode) => void) {
    this.#context = context;
    this.#usage = usage;
    this.#unsettled = unsettled;
    this.#contents = contents;
    this.#onClean = onClean;
  }

  /** All that is in memory of these inodes at the call is durable afterwards. @throws InfinitError; then everything is still in memory and may be tried again. */
  async commit(inodes: Iterable<Inode>, journal?: JournalWrite): Promise<void> {
    const all = [...new Set(inodes)].sort((a, b) => a.number - b.number);
    const release = await lockAll(all);
    try {
      if (all.length === 0 && journal === undefined) return;
      let left = all;
      do left = await this.#round(left, journal);
      while (left.length > 0);
    } finally {
      release();
    }
  }

  /**
   * As {@link commit}, of inodes that have nothing to do with each other: where they do not go together each is tried for itself, so that one that
   * cannot be written is no failure of another. Returns what failed.
   * @param together whether this is to count as a failure of all.
   */
  async commitEach(inodes: readonly Inode[], together: (error: unknown) => boolean = () => false): Promise<ReadonlyMap<Inode, unknown>> {
    const failed = new Map<Inode, unknown>();
    try {
      await this.commit(inodes);
    } catch (error) {
      if (inodes.length === 1 || together(error)) return new Map(inodes.map((inode) => [inode, error]));
      await Promise.all(inodes.map((inode) => this.commit([inode]).catch((own: unknown) => failed.set(inode, own))));
    }
    return failed;
  }

  /** Writes links and parent alone, into the record as the store has it: what else is to be written of the inode finds no room. @throws InfinitError */
  async relink(inode: Inode): Promise<void> {
    const { block, number } = inode;
    const context = this.#context;
    const { store, sealer, volumeId } = context;
    await this.exclusively([inode], async () => {
      // Read anew, so that what is changed is what is there.
      block.doubt();
      await block.learn();
      const stored = await store.fetch(block.address);
      const was = stored === undefined ? inode.unplaced : sealer.openPayload(block.address, stored.payload).body;
      if (was === undefined) throw new InfinitError('damaged', `inode ${number} of volume ${volumeId} is gone`);
      const record = decodeInode(was, `inode ${number} of volume ${volumeId}`);
      const isOurs = stored !== undefined && ownerOf(stored.payload).session === context.session;
      // Nothing of an earlier session can come over one of this session's.
      if (isOurs && record.links === inode.durableLinks && record.parent === inode.durableParent) return;
      const body = encodeInode({ ...record, links: inode.durableLinks, parent: inode.durableParent });
      const update = block.update(sealer.sealPayload(block.address, context.owner(number), body));
      block.doubt();
      block.written(versionsOf(await store.commit([{ update: [update] }]))[0]![0]!);
      inode.unplaced = undefined;
    });
  }

  /** The record of an inode that is new, for the journal's block that makes it: a file whose content is not durable is empty in it. `revision`: what it has of the inode. */
  recordOf(inode: Inode, links: number, parent: number): { readonly record: Uint8Array; readonly revision: number } {
    const isEmpty = inode.content?.changed === true;
    const attributes = isEmpty ? { ...attributesOf(inode), ...inode.firstTimes, calls: undefined } : attributesOf(inode);
    const { device, target, previous, revision } = inode;
    const record = encodeInode({
      ...attributes,
      links,
      device,
      epoch: this.#context.epoch,
      size: isEmpty ? 0 : inode.size,
      allocated: 0,
      parent,
      target,
      inline: undefined,
      extents: undefined,
      truncating: false,
      journaled: this.#contents.mark().stamp,
      previous,
    });
    return { record: Uint8Array.from(record), revision: isEmpty ? 0 : revision };
  }

  /** Keeps other commits away from the inodes while `work` runs. */
  async exclusively<T>(inodes: readonly Inode[], work: () => Promise<T>): Promise<T> {
    const release = await lockAll([...inodes].sort((a, b) => a.number - b.number));
    try {
      return await work();
    } finally {
      release();
    }
  }

  /**
   * One commit; the inodes that need another: a flush that had failed before was finished first, or a large truncation goes in steps. The journal's block comes with the
   * last: a name must not become durable with a part of what was written to its file before, as where a new file replaces an old one.
   */
  async #round(inodes: readonly Inode[], journal: JournalWrite | undefined): Promise<Inode[]> {
    const again: Inode[] = [];
    const prepared: Prepared[] = [];
    const cuts = inodes
      // One that is gone by now is still needed by the journal's block that makes it: the block that removes it comes later.
      .filter((inode) => !inode.gone || (!inode.born && journal?.linksOf(inode) !== undefined))
      .map((inode) => {
        const now = attributesOf(inode);
        if (journal?.empty === true && !inode.born && inode.content?.changed === true)
          return {
            inode,
            attributes: { ...now, ...inode.firstTimes, calls: undefined },
            inherited: false,
            size: 0,
            revision: inode.writtenRevision,
            flush: undefined,
            mark: this.#contents.mark(),
          };
        const inherited = inode.content?.flushing !== undefined && !inode.content.widen(inode.size);
        const flush = inode.content?.cut(inode.size);
        const attributes = (inherited ? this.#cutAs.get(flush!) : undefined) ?? now;
        if (flush !== undefined) this.#cutAs.set(flush, attributes);
        return { inode, attributes, inherited, size: inode.size, revision: inode.revision, flush, mark: flush?.mark ?? this.#contents.mark() };
      });
    // While contents are sealed and put.
    const covered = this.#unsettled.cover(cuts.filter(({ inode, flush }) => inode.born && flush !== undefined).map(({ inode }) => inode));
    covered.catch(() => {});
    try {
      for (const { inode, attributes, inherited, size, revision, flush, mark } of cuts) {
        // What a commit that failed wrote of a new one has the links of then.
        const making = !inode.born && journal?.linksOf(inode) !== undefined;
        if (flush === undefined && inode.revision === inode.writtenRevision && !making) continue;
        const plan = await flush?.plan();
        // The size is as of an earlier cut then, so the record is not what the inode is now.
        const partly = plan !== undefined && (inherited || !plan.last);
        if (partly) again.push(inode);
        prepared.push({ inode, attributes, size, plan, revision: partly ? inode.writtenRevision : revision, mark });
      }
      const put = prepared.flatMap(({ plan }) => plan?.put ?? []);
      const blocks = prepared.map(({ inode }) => inode.block);
      const last = again.length === 0;
      if (journal !== undefined && last) blocks.push(journal.block);
      await covered;
      // Of a directory, and of a file without new content, attributes are written, which names do not depend on: beside the journal's block, not before it.
      const beside = ({ inode, plan }: Prepared): boolean => journal !== undefined && last && inode.born && plan === undefined;
      const [before, together] = [prepared.filter((one) => !beside(one)), prepared.filter(beside)];
      const stages = (): Stage[] => this.#stages(before, together, put, journal, last);
      const versions = versionsOf(await commitOver(this.#context, blocks, stages, last ? journal?.doubted : undefined));
      this.#succeeded(before, before.length === 0 ? [] : versions[put.length > 0 ? 1 : 0]!);
      if (journal !== undefined && last) {
        const [written, ...others] = versions.at(-1)!;
        this.#succeeded(together, others);
        journal.block.written(written!);
        journal.committed();
      }
    } catch (error) {
      for (const { inode, plan } of prepared) {
        plan?.failed();
        inode.block.doubt();
      }
      journal?.block.doubt();
      throw error;
    }
    return again;
  }

  /** Stages by what they hold; a stage without anything is left out. */
  #stages(
    before: readonly Prepared[],
    together: readonly Prepared[],
    put: readonly SealedBlock[],
    journal: JournalWrite | undefined,
    withJournal: boolean,
  ): Stage[] {
    const update: Update[] = before.map((one) => this.#record(one, journal));
    const drop = this.#drops(before.flatMap(({ plan }) => plan?.drop ?? []));
    const stages: Stage[] = [];
    if (put.length > 0) stages.push({ put });
    if (update.length > 0) stages.push({ update });
    const last: Stage = {
      ...(journal === undefined || !withJournal
        ? {}
        : { update: [journal.block.update(journal.payload()), ...together.map((one) => this.#record(one, journal))] }),
      ...(drop.length === 0 ? {} : { drop }),
    };
    if (last.update !== undefined || last.drop !== undefined) stages.push(last);
    return stages;
  }

  #record(one: Prepared, journal: JournalWrite | undefined): Update {
    const { inode, plan, attributes } = one;
    // An old inode's links change with the journal's block, which is durable only after this record.
    const fresh = inode.born ? undefined : journal?.linksOf(inode);
    assert(fresh !== undefined || inode.born, 'a new inode becomes durable with the operation that made it');
    const { content } = inode;
    const inline = plan === undefined ? content?.inline : plan.inline;
    const extents = plan === undefined ? content?.committedExtents : plan.extents;
    const body = encodeInode({
      ...attributes,
      links: fresh?.links ?? inode.durableLinks,
      device: inode.device,
      epoch: this.#context.epoch,
      size: plan?.size ?? (inode.isRegular ? one.size : inode.size),
      allocated: plan?.allocated ?? content?.accounted ?? 0,
      parent: fresh?.parent ?? inode.durableParent,
      target: inode.target,
      inline,
      extents,
      truncating: plan?.last === false,
      journaled: one.mark.stamp,
      previous: inode.previous,
    });
    return inode.block.update(this.#context.sealer.sealPayload(inode.block.address, this.#context.owner(inode.number), body));
  }

  /** Blocks that snapshots do not need. */
  #drops(uses: readonly BlockUse[]): Address[] {
    return uses.filter(({ epoch }) => epoch >= this.#context.epoch).map(({ address }) => address);
  }

  #succeeded(prepared: readonly Prepared[], versions: readonly number[]): void {
    prepared.forEach(({ inode, plan, revision, mark }, index) => {
      inode.block.written(versions[index]!);
      inode.writtenRevision = Math.max(inode.writtenRevision, revision);
      inode.unplaced = undefined;
      plan?.succeeded();
      this.#contents.covered(inode, mark);
      const { content } = inode;
      if (content !== undefined && plan !== undefined) {
        // One that is gone was counted out already.
        if (!inode.gone) this.#usage.add(plan.allocated - content.accounted, 0);
        content.accounted = plan.allocated;
        content.committedExtents = plan.extents;
      }
      if (content !== undefined) this.#unsettled.written(inode.number, content.accounted);
      if (!inode.dirty) this.#onClean(inode);
    });
  }
}

/** With its content as it is then, and not with what is written meanwhile: the times tell which state of a file it is. */
function attributesOf({ mode, uid, gid, accessed, modified, changed, calls, xattrs }: Inode): Attributes {
  return { mode, uid, gid, accessed, modified, changed, calls, xattrs: xattrs === undefined ? undefined : new Map(xattrs) };
}

/** Waits for its turn at each inode, in the order of their numbers, so that nobody waits in a circle. */
async function lockAll(inodes: readonly Inode[]): Promise<() => void> {
  let unlock!: () => void;
  const until = new Promise<void>((resolve) => (unlock = resolve));
  for (const inode of inodes) {
    while (inode.busy !== undefined) await inode.busy;
    inode.busy = until;
  }
  return () => {
    for (const inode of inodes) inode.busy = undefined;
    unlock();
  };
}
