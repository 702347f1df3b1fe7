import { programPatienceMs } from '../base/index.ts';
import { type Attributes, type FileTime, isSameTime, type SoleUseEnd } from '../filesystem/index.ts';
import { EarlierPages } from './earlier-pages.ts';
import { GuardedFiles } from './guarded-files.ts';
import { MappedPages } from './mapped-pages.ts';
import type { PageNotes } from './page-notes.ts';
import type { Notifier } from './notifier.ts';
import { ToldTime } from './told-time.ts';
import { lateMs, longestTrustMs, marginMs, maxTrustMs, slackMs } from './trust-times.ts';
import { type Validity, validity } from './wire/index.ts';

/** How often a page of a mapped file asks whether the lease has come back, in ms. */
const lapsePauseMs = 50;
/** Inodes known to have nothing old in the kernel's cache; beyond it all are forgotten, and dropped once more when opened. */
const maxCurrent = 65_536;
/** Pages of files of so many bytes are kept beyond the name's next look-up as well. */
const keptBytes = 262_144;
/** Closed files of which the kernel was not told a write of its own. */
const maxKept = 4096;
/** Inodes that are dropped in one turn of the event loop where it may be all that are open. */
const dropsPerTurn = 128;

const nothing = validity(0, 0, 0);
const longest = validity(maxTrustMs / 1000, maxTrustMs / 1000, maxTrustMs / 1000);

/** A time in which nobody but this kernel changes the volume. */
interface Sole {
  readonly forMs: () => number;
  /** Nothing was opened before: all that the kernel has cached is of this time. */
  readonly first: boolean;
  /** Inodes of which the kernel has cached nothing from before. */
  readonly current: Set<number>;
}

/** An inode that is open with a cache, or was. */
interface CachedInode {
  handles: number;
  /** As the kernel was told last, which was when its cached pages were right. */
  changed: FileTime;
  /** While what is cached is being dropped. */
  dropping: Promise<void> | undefined;
  readonly toldTime: ToldTime;
}

/**
 * What the kernel may keep of a volume that other hosts may come to change: docs/decisions/kernel-caches.md. While this host has it alone, the kernel trusts
 * names and attributes until just before the lease ends and no longer, so it has to ask even where this process stands still; and as it compares a file's
 * time and size before it reads cached pages, these are bounded in the same way. Otherwise it trusts nothing, and files are opened without a cache: except for
 * reading, where the file is guarded, as we are told before another host changes it. The kernel keeps pages of it then and asks, at each read, whether they are right.
 */
export class KernelTrust {
  readonly #notifier: Notifier;
  #sole: Sole | undefined;
  /** False after a takeover: an earlier daemon's files may be open with a cache. */
  readonly #allKnown: boolean;
  readonly #earlier: EarlierPages | undefined;
  readonly #mapped: MappedPages;
  readonly #notes: PageNotes | undefined;
  /** After a takeover: inodes of which nothing is cached that an earlier daemon gave. */
  readonly #dropped = new Set<number>();
  /** Something may have been cached before the next time alone begins. */
  #used: boolean;
  /** Until when the kernel may trust something, as performance.now() counts. */
  #trustedUntilMs: number;
  /** Handles of files and directories that are open with a cache. These three are bounded by the kernel's open files. */
  readonly #handles = new Map<number, number>();
  readonly #inodes = new Map<number, CachedInode>();
  /** The same of closed files, the latest last: whoever opens them again finds their pages. */
  readonly #kept = new Map<number, CachedInode>();
  /** Handles whose opening drops what the kernel had cached; once they are used that is done. */
  readonly #opening = new Map<number, Sole>();
  readonly #guarded = new GuardedFiles(maxCurrent);
  #closed = false;
  /** Open files that programs may have changed in mapped memory under a lease that was lost. */
  readonly #lost = new Set<number>();
  /** Pages of the file are refused until all have closed it. */
  readonly isLost = (inode: number): boolean => this.#lost.has(inode);

  /**
   * @param adopted the mount is an earlier daemon's: what is open, and cached, is not known.
   * @param earlierMs for how long the kernel may trust yet what that one told it; absent: it did not say.
   * @param notes for the next daemon, and of the earlier one; absent: there are none.
   */
  constructor(notifier: Notifier, adopted: boolean, earlierMs = longestTrustMs, notes?: PageNotes) {
    this.#notifier = notifier;
    this.#allKnown = !adopted;
    this.#notes = notes;
    this.#earlier = adopted
      ? new EarlierPages(
          (inode) => this.#drop(inode),
          (inode) => notes?.areGood(inode) ?? false,
        )
      : undefined;
    this.#mapped = new MappedPages((inode) => this.#drop(inode), adopted);
    this.#used = adopted;
    // What the earlier daemon told just before it ended holds for a while.
    this.#trustedUntilMs = adopted ? performance.now() + Math.min(earlierMs, longestTrustMs) : 0;
  }

  /** From now on nobody else changes the volume for `forMs()`, asked at each answer. */
  begin(forMs: () => number): void {
    this.#sole = { forMs, first: !this.#used, current: new Set() };
    this.#used = true;
    // What programs write goes into them, too.
    this.#mapped.anyMayHave();
  }

  /** Nobody else changes the volume. */
  get isSole(): boolean {
    return this.#sole !== undefined;
  }

  /** Whether the volume is as the earlier daemon of the mount left it. */
  settle(right: boolean): void {
    this.#earlier?.settle(right);
  }

  /** The kernel may have pages that are refused. */
  get hasStale(): boolean {
    return this.#earlier?.areStale === true || this.#lost.size > 0;
  }

  /** Others may change the volume from now on or, where the lease was lost, have done so already. */
  end(lost: boolean): SoleUseEnd {
    const wasSole = this.#sole !== undefined;
    this.#sole = undefined;
    this.#kept.clear();
    const leftMs = this.#trustedUntilMs - performance.now();
    const expired = leftMs > 0 ? new Promise<void>((resolve) => setTimeout(resolve, leftMs)) : undefined;
    const earlier = this.#earlier?.end(lost, wasSole) ?? [];
    const open = new Set([...(wasSole ? this.#inodes.keys() : []), ...earlier]);
    if (!lost) return { expired, dropped: this.#dropAll([...open]) };
    // Dropping them now would write what is dirty over what others wrote, and make the kernel ignore attributes that are on their way.
    for (const inode of open) if (this.#inodes.has(inode)) this.#lost.add(inode);
    return { expired, dropped: Promise.resolve() };
  }

  /** No answer gives any trust from now on. Returns for how long the kernel may yet have some, in ms. */
  close(): number {
    this.#closed = true;
    return Math.max(0, Math.max(this.#trustedUntilMs, this.#guarded.trustedUntilMs) - performance.now());
  }

  /** For an answer that is about to leave, at `now`. */
  validityAt(now: number): Validity {
    const forMs = this.#closed ? 0 : this.#forMs();
    if (forMs <= 0) return nothing;
    this.#trustedUntilMs = Math.max(this.#trustedUntilMs, now + forMs + slackMs);
    return forMs >= maxTrustMs ? longest : validity(forMs / 1000, forMs / 1000, forMs / 1000);
  }

  /** An answer of `began` has left. False: so late that the kernel would trust it for too long. */
  leftInTime(began: number, given: Validity): boolean {
    if (given === nothing) return true;
    const now = performance.now();
    if (now - began <= lateMs) return true;
    this.#trustedUntilMs = Math.max(this.#trustedUntilMs, now + maxTrustMs + slackMs);
    return false;
  }

  /**
   * For the attributes of a file that is about to be read, where we are told before they change: {@link drop} and {@link distrust} take that trust back.
   * @param guardedMs for how long that is so, whatever happens; asked where it matters.
   */
  guardedValidity(inode: number, guardedMs: () => number): Validity | undefined {
    if (this.#closed || this.#sole !== undefined || !this.#guarded.has(inode) || !this.#inodes.has(inode)) return undefined;
    return this.#guarded.trust(guardedMs());
  }

  #forMs(): number {
    return this.#sole === undefined ? 0 : Math.min(maxTrustMs, Math.floor(this.#sole.forMs() - marginMs));
  }

  /**
   * How a file or directory is being opened: without a cache, or with one, and then whether what the kernel has of it already is kept.
   * @param attributes gives them as they are now; undefined where they are not known at once.
   * @param isGuarded for reading alone, and we are told before another host changes it: see {@link drop}.
   */
  opened(inode: number, handle: number, attributes: () => Attributes | undefined, isGuarded = false): 'direct' | 'cached' | 'kept' {
    this.#used = true;
    const sole = this.#sole;
    const now = sole === undefined && !isGuarded ? undefined : attributes();
    if (now === undefined) return 'direct';
    this.#handles.set(handle, inode);
    const known = this.#inodes.get(inode) ?? this.#kept.get(inode);
    this.#kept.delete(inode);
    if (known === undefined) {
      this.#inodes.set(inode, { handles: 1, changed: now.changed, dropping: undefined, toldTime: new ToldTime() });
    } else {
      known.handles++;
      this.#inodes.set(inode, known);
    }
    if (sole === undefined) return this.#guarded.opened(inode, now.changed);
    if (this.#isCurrent(sole, inode)) return 'kept';
    this.#opening.set(handle, sole);
    return 'cached';
  }

  /** To be awaited before a file is opened: what is changed in its mapped memory from then on is of this daemon's time. Where nobody else uses the volume the opening itself drops what was. undefined: there is nothing. */
  opening(inode: number): Promise<void> | undefined {
    return this.#sole === undefined ? this.#earlier?.opening(inode) : undefined;
  }

  /** Another host is about to change the file, or may have: resolves when the kernel has no page of it. undefined: it has none. */
  drop(inode: number): Promise<void> | undefined {
    const guarded = this.#guarded.changed(inode);
    return guarded || this.#inodes.has(inode) || this.#guarded.areTrusted ? this.#drop(inode) : undefined;
  }

  /** The kernel is given a page, by a file that is open for reading alone or not. Those of a guarded one are dropped when it changes. Before the page is read the promise is to be awaited; undefined: now. @param isNoted the kernel gets pages in no other way. */
  givesPage(inode: number, forReading: boolean, isNoted: boolean): Promise<void> | undefined {
    if (forReading && this.#guarded.has(inode)) return undefined;
    const hadNone = this.#mapped.given(inode) && !this.#inodes.has(inode) && !this.#guarded.has(inode);
    if (this.#sole !== undefined) return this.#notes?.giving(inode, false);
    // What is changed there from then on is of this daemon's time.
    if (hadNone && isNoted) this.#earlier?.gone(inode);
    return this.#notes?.giving(inode, hadNone && isNoted && !forReading);
  }

  /** The earlier daemon left a note of pages of the inode. */
  wasNoted(inode: number): boolean {
    return this.#notes?.wasNoted(inode) === true;
  }

  /** A lock of the file was taken, or is about to be given back: resolves when the kernel has none of the pages that nobody takes back. undefined: it has none. */
  dropMapped(inode: number): Promise<void> | undefined {
    return this.#sole === undefined ? this.#mapped.drop(inode) : undefined;
  }

  /** Attributes that may be trusted are about to change: resolves when the kernel asks for them again, its pages with them. undefined: it does. */
  distrust(inode: number): Promise<void> | undefined {
    return this.#guarded.areTrusted ? this.#notifier.invalidateAttributes(inode) : undefined;
  }

  /** All that is guarded and open may have changed. */
  dropOpen(): void {
    if (this.#sole !== undefined) return;
    const open = [...this.#inodes.keys()];
    // At once, so that whoever opens one before its turn keeps nothing of it.
    for (const inode of open) this.#guarded.changed(inode);
    void this.#dropAll(open);
  }

  /** A request through the handle: the kernel is through with opening it. */
  used(handle: number): void {
    const sole = this.#opening.get(handle);
    if (sole === undefined) return;
    this.#opening.delete(handle);
    this.#noteCurrent(sole, this.#handles.get(handle)!);
    this.#earlier?.gone(this.#handles.get(handle)!);
  }

  #noteCurrent(sole: Sole, inode: number): void {
    if (sole.current.size >= maxCurrent) sole.current.clear();
    sole.current.add(inode);
  }

  closed(handle: number): void {
    const inode = this.#handles.get(handle);
    if (inode === undefined) return;
    this.used(handle);
    this.#handles.delete(handle);
    const known = this.#inodes.get(inode)!;
    if (--known.handles > 0) return;
    this.#inodes.delete(inode);
    this.#lost.delete(inode);
    if (this.#sole === undefined || !known.toldTime.holds(this.#sole)) return;
    this.#kept.set(inode, known);
    if (this.#kept.size > maxKept) for (const [oldest] of this.#kept) return void this.#kept.delete(oldest);
  }

  /**
   * To be awaited before the kernel is told these attributes. It drops cached pages by itself where size or time of writing differ from those it knows; a file
   * that others wrote and gave its old time of writing differs in its time of change alone, which the kernel does not compare. Whether the size it knows is another one
   * cannot be told here: other answers carry sizes as well.
   */
  beforeAttributes({ inode, changed }: Attributes): Promise<void> | undefined {
    const known = this.#inodes.get(inode);
    if (known === undefined) return this.#dropInherited(inode);
    const unseen = !isSameTime(changed, known.changed);
    known.changed = changed;
    const sole = this.#sole;
    if (sole !== undefined && this.#isCurrent(sole, inode)) return undefined;
    if (unseen) {
      const dropping = Promise.all([known.dropping, this.#drop(inode)]).then(() => {
        if (known.dropping === dropping) known.dropping = undefined;
      });
      known.dropping = dropping;
    }
    if (known.dropping !== undefined) return known.dropping;
    if (sole !== undefined) this.#noteCurrent(sole, inode);
    return undefined;
  }

  /** An earlier daemon's file may be open with a cache, of which it is not known when it was right: dropped once. */
  #dropInherited(inode: number): Promise<void> | undefined {
    if (this.#allKnown || this.#sole !== undefined || this.#dropped.has(inode)) return undefined;
    if (this.#dropped.size >= maxCurrent) this.#dropped.clear();
    this.#dropped.add(inode);
    return this.#drop(inode);
  }

  /** A write is being served: through an open file with this handle, or of cached pages, which are right then. */
  wrote(inode: number, handle: number | undefined, pages: boolean): void {
    const past = !pages && (handle === undefined || !this.#handles.has(handle));
    this.#known(inode)?.toldTime.wrote(past);
  }

  /** The inode is being changed otherwise. */
  changedPast(inode: number): void {
    this.#known(inode)?.toldTime.changedPast();
  }

  /** The kernel is told these attributes. */
  told({ inode, modified }: Attributes): void {
    this.#known(inode)?.toldTime.tell(modified, this.#sole);
  }

  /**
   * The time of writing to tell the kernel that is about to read from an open file: the one that it was told before, while all that was changed since came through its own
   * cached pages, which it would drop for another one. For this read alone: whoever asks for the times hears the true one. undefined: the true one.
   */
  modifiedBefore(attributes: Attributes): FileTime | undefined {
    const { inode } = attributes;
    const known = this.#known(inode);
    const sole = this.#sole;
    if (known === undefined || sole === undefined || !this.#isCurrent(sole, inode)) return undefined;
    // Others may have changed it, though nobody has said so yet.
    if (this.#forMs() <= 0) return undefined;
    return known.toldTime.insteadOf(attributes, sole);
  }

  /** The same for who looks a name up: to open the file, or to ask for its attributes next. */
  modifiedBeforeName(attributes: Attributes): FileTime | undefined {
    return attributes.size < keptBytes ? undefined : this.modifiedBefore(attributes);
  }

  /**
   * To be awaited before the kernel is told the true time of writing for whoever asks for it. The kernel takes no attributes in, and so drops no pages for them, of
   * an inode of which it was told to forget attributes after it asked (`attr_version` in fuse_change_attributes, Linux 5.8); the program is told them. undefined: tell them plainly.
   */
  keepingPages(attributes: Attributes): Promise<void> | undefined {
    return this.modifiedBeforeName(attributes) === undefined ? undefined : this.#notifier.invalidateAttributes(attributes.inode);
  }

  #known(inode: number): CachedInode | undefined {
    return this.#inodes.get(inode) ?? this.#kept.get(inode);
  }

  /** Whether attributes of the inode may be trusted at all: with them go the pages that open files have cached, perhaps in another time. */
  mayTrust(inode: number): boolean {
    const sole = this.#sole;
    // Answers bear no trust then but those of {@link guardedValidity}.
    if (sole === undefined) return this.#guarded.has(inode);
    return this.#isCurrent(sole, inode) || (this.#allKnown && !this.#inodes.has(inode));
  }

  /** Whether a page of a mapped file may be written: it may have been changed under a lease that was lost since. */
  mayWriteMapped(inode: number): boolean | Promise<boolean> {
    const may = this.#earlier?.mayWrite(inode) ?? true;
    if (may === true) return this.#mayWriteNow(inode);
    return may === false ? false : may.then((still) => still && this.#mayWriteNow(inode));
  }

  #mayWriteNow(inode: number): boolean | Promise<boolean> {
    const sole = this.#sole;
    if (sole === undefined || this.#lost.has(inode)) return !this.#lost.has(inode);
    return this.#forMs() > 0 || this.#afterLapse(sole, inode);
  }

  async #afterLapse(sole: Sole, inode: number): Promise<boolean> {
    const deadline = performance.now() + programPatienceMs;
    while (this.#sole === sole && this.#forMs() <= 0) {
      if (performance.now() > deadline) return false;
      await new Promise((resolve) => setTimeout(resolve, lapsePauseMs));
    }
    return !this.#lost.has(inode);
  }

  #isCurrent(sole: Sole, inode: number): boolean {
    return sole.first || sole.current.has(inode);
  }

  /** A piece a turn: of all files that are open it takes tens of ms, and more notifications than may wait. */
  async #dropAll(inodes: readonly number[]): Promise<void> {
    for (let from = 0; from < inodes.length; from += dropsPerTurn) {
      await Promise.all(inodes.slice(from, from + dropsPerTurn).map((inode) => this.#drop(inode)));
      // The kernel may have answered before this turn is over.
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** Dirty pages are written back before. */
  #drop(inode: number): Promise<void> {
    return this.#notifier.invalidateInode(inode, 0, 0);
  }
}
