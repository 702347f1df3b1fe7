import { codeOf, type Logger, messageOf } from '../../base/index.ts';
import type { Carried } from './carried.ts';
import { type ContentBlock, type ContentEntry, isCovered } from './content-journal-codec.ts';
import type { VolumeCore } from '../core.ts';
import { isPassing, isReadLater } from '../failure.ts';
import type { Inode } from '../inodes/inode.ts';
import type { JournalBlock, JournalInode, JournalName } from './journal-codec.ts';
import { inParallel } from '../parallel.ts';
import { redo } from '../redo/held-changes.ts';
import type { RedoStanding } from '../redo/redo-records.ts';
import { NoticeTeller } from '../notice-teller.ts';
import type { UnreadNotice } from './unread-notice.ts';
import type { UnsettledInode } from './unsettled.ts';

const parallelReads = 64;
/** In the background, so many at once; so many failures in a row, and the rest are left to the next attempt. */
const parallelRetries = 8;
const maxFailures = 8;
const maxExamples = 3;

/** What a mount has to do with an inode once its record is read. */
interface Unread {
  /** Of the last block of the journal of names that has it; 0: none has. */
  sequence: number;
  /** Final values, where it is a directory. */
  readonly names: Map<string, JournalName>;
  /** Likewise. */
  links: JournalInode | undefined;
  /** Its record, should its place be empty. */
  record: Uint8Array | undefined;
  contents: { readonly block: Pick<ContentBlock, 'stamp' | 'position'>; readonly entry: ContentEntry }[];
  /** The volume's figures lack it. `late`: the journal's last block made it. */
  made: 'early' | 'late' | undefined;
  /** What the figures count for it may not be what its record says. */
  counted: UnsettledInode | undefined;
  /** A crash may have left it without anything that names it. */
  stray: boolean;
  /** What a process before had in memory of it is lost. */
  lost: boolean;
  /** Programs that had it open are gone: `everywhere` those of this host, too, which may have some open otherwise. */
  unused: 'elsewhere' | 'everywhere' | undefined;
}

/**
 * Inodes that a mount has to do something with, until their records have been read: what the journals have of them comes over the record in the very moment in which it does, so
 * nobody ever sees the record without it, and none is written without it.
 *
 * A record that is out of reach holds up its inode alone. Whoever asks for that one is told so, the volume goes on, and the journals keep what they have of it: the checkpoint writes names
 * and links anew behind the rest, contents stay where they are, and the figures say that it is unsettled. So another mount finds all of it again. It is tried again in the background, and
 * whenever somebody asks for it.
 */
export class UnreadInodes {
  readonly #core: VolumeCore;
  readonly #unread = new Map<number, Unread>();
  readonly #logger: Logger;
  readonly teller: NoticeTeller<UnreadNotice>;
  #failure: unknown;

  constructor(core: VolumeCore) {
    this.#core = core;
    this.#logger = core.context.logger;
    this.teller = new NoticeTeller(() => this.#notice(), core.context.setup.onUnread);
    core.table.unplaced = (number) => this.#unread.get(number)?.record;
    core.table.beforeRead = (number, content) => core.held.prepare(number, content);
    core.table.onRead = (number, inode) => this.#wasRead(number, inode);
  }

  get size(): number {
    return this.#unread.size;
  }

  /** Their numbers. */
  all(): Iterable<number> {
    return this.#unread.keys();
  }

  /** Why the last one that was tried could not be read. */
  get failure(): unknown {
    return this.#failure;
  }

  /** Numbers that a crash may have left something under count only where something else is known of them. */
  #notice(): UnreadNotice | undefined {
    const numbers = [...this.#unread].filter(([, { stray }]) => !stray).map(([number]) => number);
    if (numbers.length === 0) return undefined;
    return { inodes: numbers.length, held: this.#core.held.size, examples: numbers.slice(0, maxExamples), reason: messageOf(this.#failure) };
  }

  /** The journal of contents is needed for one. */
  get hasContents(): boolean {
    for (const { contents } of this.#unread.values()) if (contents.length > 0) return true;
    return false;
  }

  /** What a block of the journal of names has, as if this mount had just made it durable. */
  stage({ sequence, names, inodes }: JournalBlock): void {
    for (const name of names) {
      const directory = this.#of(name.directory);
      directory.sequence = sequence;
      directory.names.set(name.name, name);
    }
    for (const last of inodes) {
      const unread = this.#of(last.number);
      // One that is gone is carried on as one with links until it is carried on as gone.
      const inode = unread.links?.gone === true && !last.made ? unread.links : last;
      unread.sequence = sequence;
      unread.links = inode;
      unread.record = inode.gone ? undefined : (inode.record ?? unread.record);
      this.#core.orphans.set(inode.number, inode.links === 0 && !inode.gone);
    }
  }

  /** What a block of the journal of contents has. */
  restore(block: ContentBlock): void {
    for (const entry of block.entries) {
      const unread = this.#of(entry.inode);
      unread.contents.push({ block, entry });
      this.#core.contents.needed(unread, block.position);
    }
  }

  /** It is to be in memory. */
  seen(number: number): void {
    this.#of(number);
  }

  /** The journal has it, and the volume's figures do not. @param late the last block that makes any has it. */
  made(number: number, late: boolean): void {
    this.#of(number).made = late ? 'late' : 'early';
  }

  /** The volume's figures count it so, and an earlier session may have its record on its way still: one of this session's goes over it. */
  unsettled(counted: UnsettledInode): void {
    this.#of(counted.inode).counted = counted;
  }

  /** Nothing names it, should it be there. */
  stray(number: number): void {
    this.#of(number).stray = true;
  }

  /** Its next fsync says so. */
  lost(number: number): void {
    this.#of(number).lost = true;
  }

  /** Programs that had it open are gone: it is to be removed if it has no name. */
  unused(number: number, where: 'elsewhere' | 'everywhere'): void {
    this.#of(number).unused = where;
  }

  /**
   * Reads these. What cannot be read waits: one inode must not keep the volume from being opened.
   * @param root nobody can do without that one.
   * @throws InfinitError
   */
  async read(numbers: Iterable<number>, root?: number): Promise<void> {
    const failed = new Map<number, unknown>();
    await inParallel([...numbers], parallelReads, async (number) => {
      const failure = await this.#read(number);
      if (failure === undefined) return;
      if (number === root && isPassing(failure)) throw failure;
      failed.set(number, failure);
    });
    this.#left(failed);
  }

  /** These could not be read: what a killed daemon left of them waits as well. */
  wait(failed: ReadonlyMap<number, unknown>): void {
    for (const number of failed.keys()) this.#of(number);
    this.#left(failed);
  }

  /** Stands for an inode that has to wait, in operations on names. @param standing as it was before; undefined: none changes its record. */
  standIn(number: number, mode: number, standing: RedoStanding | undefined, failure: unknown): Inode {
    const { table, checkpoint } = this.#core;
    const unread = this.#of(number);
    const inode = table.standIn(number, mode);
    if (standing !== undefined && inode.isRegular && unread.counted === undefined) {
      unread.counted = { inode: number, counted: standing.bytes };
      this.#count(number);
    }
    const known = unread.links ?? standing;
    inode.standIn = { linked: known !== undefined, bytes: unread.counted?.counted ?? 0 };
    inode.links = inode.durableLinks = known?.links ?? 0;
    inode.parent = inode.durableParent = known?.parent ?? 0;
    // What the journal has of its names and links is for the checkpoint, as if this mount had made it.
    this.#stageNames(inode, unread);
    if (unread.links !== undefined) checkpoint.touched(inode, unread.sequence);
    inode.unplaced = unread.record;
    unread.names.clear();
    unread.links = undefined;
    unread.sequence = 0;
    checkpoint.standsIn(inode, failure);
    return inode;
  }

  #left(failed: ReadonlyMap<number, unknown>): void {
    const [first] = failed;
    if (first === undefined) return;
    for (const number of failed.keys()) this.#count(number);
    this.teller.changed();
    const details = { inodes: failed.size, inode: first[0], error: messageOf(first[1]) };
    this.#logger.warn(
      'inodes whose records cannot be read have to wait for what the journals have of them; asking for them fails until then',
      details,
    );
    this.#core.flusher.retryStuck();
  }

  /** Tries them again, in turn. Never rejects. */
  async retry(): Promise<void> {
    let failures = 0;
    const before = this.#unread.size;
    await inParallel([...this.#unread.keys()], parallelRetries, async (number) => {
      const unread = this.#unread.get(number);
      if (failures >= maxFailures || unread === undefined) return;
      if ((await this.#read(number).catch((error: unknown) => error)) === undefined) return;
      failures++;
      // The others come first the next time.
      if (this.#unread.delete(number)) this.#unread.set(number, unread);
    });
    const read = before - this.#unread.size;
    if (read > 0)
      this.#logger.info('inodes whose records could not be read have what the journals have of them', { inodes: read, left: this.#unread.size });
  }

  /** What the journal of names has of them. */
  *carried(): Iterable<Carried> {
    for (const { names, links, record } of this.#unread.values()) {
      if (names.size === 0 && links === undefined) continue;
      const kept = record === undefined ? {} : { record };
      yield { names: [...names.values()], inodes: links === undefined ? [] : [{ ...links, made: false, bytes: 0, counted: links.gone, ...kept }] };
    }
  }

  /** What it failed with. @throws InfinitError where that is not the record's own trouble. */
  async #read(number: number): Promise<unknown> {
    try {
      const inode = await this.#core.table.load(number);
      // It was in memory.
      this.#wasRead(number, inode);
      return undefined;
    } catch (error) {
      if (!isReadLater(error)) throw error;
      this.#failure = error;
      this.#core.held.failed(number, error);
      // Nobody brings it back.
      if (codeOf(error) === 'lost') this.#core.held.drop(number);
      return error;
    }
  }

  #of(number: number): Unread {
    let unread = this.#unread.get(number);
    if (unread === undefined) {
      unread = {
        sequence: 0,
        names: new Map(),
        links: undefined,
        record: undefined,
        contents: [],
        made: undefined,
        counted: undefined,
        stray: false,
        lost: false,
        unused: undefined,
      };
      this.#unread.set(number, unread);
    }
    return unread;
  }

  /** It is counted without its content as long as nobody knows that. */
  #count(number: number): void {
    const unread = this.#unread.get(number);
    if (unread === undefined) return;
    // What waits is no part of blocks any more, which have other files' bytes: all of them together are no more than the ring has.
    unread.contents = unread.contents.map(({ block: { stamp, position }, entry }) => ({ block: { stamp, position }, entry: ownEntry(entry) }));
    if (unread.stray) unread.links ??= { number, links: 0, parent: 0, gone: true, made: false, bytes: 0 };
    if (unread.made !== undefined) {
      unread.made = undefined;
      unread.counted = { inode: number, counted: 0 };
      this.#core.usage.count(0, 1);
    }
    if (unread.counted !== undefined) this.#core.unsettled.inherit(unread.counted, unread.counted.counted);
  }

  #wasRead(number: number, inode: Inode | undefined): void {
    const unread = this.#unread.get(number);
    if (unread === undefined) return;
    this.#unread.delete(number);
    if (this.#failure !== undefined) this.teller.changed();
    if (inode === undefined) this.#isAbsent(number, unread);
    else this.#apply(inode, unread);
    this.#core.contents.forget(unread);
  }

  #isAbsent(number: number, { lost }: Unread): void {
    const { orphans, context, checkpoint, held, table } = this.#core;
    orphans.set(number, false);
    held.drop(number);
    const stood = table.takeStandIn(number);
    if (stood !== undefined) {
      stood.gone = true;
      checkpoint.absent(stood);
    }
    if (lost) context.setup.onSaid?.(number);
  }

  #apply(inode: Inode, unread: Unread): void {
    const { checkpoint, orphans, usage, held } = this.#core;
    // Removed, and counted out, before its record was read.
    if (inode.gone) {
      if (unread.lost) this.#core.context.setup.onSaid?.(inode.number);
      return;
    }
    if (unread.sequence > 0) checkpoint.touched(inode, unread.sequence);
    this.#stageNames(inode, unread);
    // What only the journal has is to be written into its place.
    if (inode.unplaced !== undefined) inode.journaledRevision = ++inode.revision;
    if (unread.links !== undefined && !unread.stray) this.#link(inode, unread.links);
    const accounted = inode.content?.accounted ?? 0;
    if (unread.made !== undefined) usage.count(accounted, 1);
    if (unread.made === 'late') this.#inherit(inode, { inode: inode.number, counted: accounted });
    if (unread.counted !== undefined) this.#inherit(inode, unread.counted);
    for (const { block, entry } of unread.contents) this.#restore(inode, block, entry);
    if (inode.gone) held.drop(inode.number);
    // What the log has still that a process before left is no more to be logged again.
    const { redo: log } = this.#core;
    for (const change of held.take(inode.number, log?.resumed === true ? log : undefined))
      redo(inode, change, (changed) => this.#core.touch(changed));
    // One that is not born yet was left in memory by the process before.
    if (unread.stray && inode.born) {
      inode.gone = true;
      checkpoint.gone(inode);
    }
    if (unread.lost) this.#core.failed(inode, 'EIO');
    if (unread.unused === undefined) return;
    if (unread.unused === 'everywhere') {
      inode.uncounted = false;
      // One that has a name all the same was left on the list by a program that did not know what became of its write.
      if (inode.links > 0) orphans.set(inode.number, false);
    }
    this.#core.retireUnused(inode);
  }

  #stageNames(inode: Inode, { names }: Unread): void {
    if (inode.directory === undefined || names.size === 0) return;
    const changes = Array.from(names.values(), ({ name, inode: to, type }) => ({ name, dentry: to === 0 ? undefined : { inode: to, type } }));
    inode.directory.overlay.stage(changes);
    this.#core.checkpoint.names(inode);
  }

  #link(inode: Inode, { links, parent, gone }: JournalInode): void {
    if (inode.durableLinks !== links || inode.durableParent !== parent) inode.revision++;
    inode.links = inode.durableLinks = links;
    inode.parent = inode.durableParent = parent;
    if (!gone) return;
    inode.gone = true;
    this.#core.checkpoint.gone(inode);
  }

  #inherit(inode: Inode, known: UnsettledInode): void {
    const { usage, unsettled, flusher } = this.#core;
    if (inode.content === undefined) return;
    usage.add(inode.content.accounted - known.counted, 0);
    if (this.#core.context.options.readOnly === true) return;
    unsettled.inherit(known, inode.content.accounted);
    // Nothing of it is unsynced.
    inode.journaledRevision = ++inode.revision;
    flusher.add(inode);
  }

  /** Contents that were durable in the journal alone. */
  #restore(inode: Inode, { stamp, position }: Pick<ContentBlock, 'stamp' | 'position'>, entry: ContentEntry): void {
    if (inode.content === undefined || inode.gone || isCovered(stamp, inode.journaled)) return;
    for (const { offset, slices } of entry.pieces) for (const slice of slices) inode.content.rewrite(offset, slice);
    inode.become(entry);
    inode.calls = entry.calls ?? inode.calls;
    inode.journaledRevision = ++inode.revision;
    this.#core.contents.needed(inode, position);
    if (this.#core.context.options.readOnly !== true) this.#core.flusher.add(inode);
  }
}

function ownEntry(entry: ContentEntry): ContentEntry {
  return { ...entry, pieces: entry.pieces.map((piece) => ({ ...piece, slices: piece.slices.map((slice) => Uint8Array.from(slice)) })) };
}
