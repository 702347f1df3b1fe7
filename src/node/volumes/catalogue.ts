import { InfinitError, type Logger } from '../../base/index.ts';
import { namedAddress } from '../../block/index.ts';
import type { Disk } from '../../disk/index.ts';
import type { BlockStore } from '../../store/index.ts';
import { BLinkTree, type Entry, ifAbsent } from '../../tree/index.ts';
import { type CatalogueEntry, readEntry } from './catalogue-entry.ts';
import { type CatalogueCopy, decodeCopy, encodeCopy } from './catalogue-copy.ts';
import { encode, gonePrefix, liveKey, livePrefix, trashPrefix } from './catalogue-keys.ts';
import { founding, putBack } from './catalogue-loss.ts';
import { plainNodeSealer } from './plain-node-sealer.ts';

/** Where the local copy of the catalogue is kept, for the times when there is no quorum. */
const metaKey = 'catalogue';
/** Entries of one page of a scan. */
const pageEntries = 256;
/** For so long a host that was away learns which of its blocks belong to nobody, in ms. */
const goneKeptMs = 90 * 86_400_000;

type Value = Uint8Array | undefined;

/**
 * All volumes by name, the same on every host: a B-link tree of mutable blocks. A creation is a linearizable put-if-absent.
 * A copy lies on this host's own disk: what the engine asks at every turn (Get, List) is answered from it, because an error there
 * would make dockerd forget the volume.
 */
export class Catalogue {
  #tree: BLinkTree;
  readonly #newTree: () => BLinkTree;
  readonly #disk: Disk;
  readonly #logger: Logger;
  readonly #isInside: () => boolean;
  readonly #known: Map<string, CatalogueEntry>;
  /** What is in the trash, as of the last refresh: for the day on which the list is lost. */
  #trashed: readonly CatalogueEntry[];
  /** Which list the copy is of. */
  #list: string | undefined;
  /** The local copy as it was written last; undefined: it could not be. */
  #saved: string | undefined;
  /** While everything is read: what came to be known of single names since that began, which it may have passed before. */
  #since: Map<string, CatalogueEntry | undefined> | undefined;
  #refreshing: Promise<void> | undefined;
  /** Whoever wants a refresh while one is under way: what it is about may be where that was already. */
  #refreshNext: Promise<void> | undefined;
  /** The last note of what is known, and the next one, which is not being written yet. */
  #written: Promise<void> = Promise.resolve();
  #pending: Promise<void> | undefined;

  private constructor(newTree: () => BLinkTree, disk: Disk, logger: Logger, isInside: () => boolean, copy: CatalogueCopy) {
    this.#tree = newTree();
    this.#newTree = newTree;
    this.#disk = disk;
    this.#logger = logger;
    this.#isInside = isInside;
    this.#known = new Map(copy.entries.map((entry) => [entry.name, entry]));
    this.#trashed = copy.trashed;
    this.#list = copy.list;
  }

  /** @param isInside This host is in its cluster, or alone by choice: not on its way in, when its copy is that of before. */
  static async open(store: BlockStore, disk: Disk, owner: string, logger: Logger, isInside: () => boolean = () => true): Promise<Catalogue> {
    const newTree = (): BLinkTree => new BLinkTree(namedAddress(owner, 'volumes'), { store, sealer: plainNodeSealer() });
    const bytes = await disk.readMeta(metaKey);
    return new Catalogue(newTree, disk, logger, isInside, bytes === undefined ? { entries: [], trashed: [], list: undefined } : decodeCopy(bytes));
  }

  /** Adds the entry, or returns the one that has the name already. */
  async add(entry: CatalogueEntry): Promise<CatalogueEntry> {
    const [tree, key] = [this.#tree, liveKey(entry.name)];
    await this.#putBack(tree);
    const { refused, failed } = await tree.apply(new Map([...(await founding(tree)), [key, { value: encode(entry), condition: ifAbsent }]]));
    const failure = failed.get(key);
    if (failure !== undefined) throw failure;
    const current = refused.get(key);
    const kept = current === undefined ? entry : readEntry(current);
    await this.#learn(tree, kept.name, kept);
    return kept;
  }

  /** From the local copy; on a miss the tree is asked, for another host may just have made it. */
  async find(name: string): Promise<CatalogueEntry | undefined> {
    return this.#known.get(name) ?? (await this.current(name));
  }

  /** From the tree: linearizable. @throws InfinitError `unavailable`. */
  async current(name: string): Promise<CatalogueEntry | undefined> {
    const tree = this.#tree;
    let value = await tree.get(liveKey(name));
    // Only of a list that this host has given what it knows is it believed that a name is gone.
    if (value === undefined && this.#known.has(name) && (await this.#putBack(tree))) value = await tree.get(liveKey(name));
    const entry = value === undefined ? undefined : readEntry(value);
    await this.#learn(tree, name, entry);
    return entry;
  }

  /** From the local copy alone. */
  known(name: string): CatalogueEntry | undefined {
    return this.#known.get(name);
  }

  /** A volume by its id, whatever its name is by now, in the trash too unless its data is being deleted. From the tree. @throws InfinitError `unavailable`. */
  async findById(id: string): Promise<CatalogueEntry | undefined> {
    const live = async (): Promise<CatalogueEntry | undefined> => (await this.#scan(livePrefix)).find((entry) => entry.id === id);
    const found = (await live()) ?? (await this.trashed(id));
    // It may just have been brought back.
    return found ?? live();
  }

  /** What of a volume is in the trash, unless its data is being deleted. */
  async trashed(id: string): Promise<CatalogueEntry | undefined> {
    const value = await this.#tree.get(trashPrefix + id);
    const entry = value === undefined ? undefined : readEntry(value);
    return entry?.purging === true ? undefined : entry;
  }

  list(): Promise<readonly CatalogueEntry[]> {
    return Promise.resolve([...this.#known.values()].toSorted((a, b) => (a.name < b.name ? -1 : 1)));
  }

  /** Changes some of a volume's options, whatever others change of the rest. @throws InfinitError `not-found` where the name means another volume by now. */
  async setOptions(entry: CatalogueEntry, changes: CatalogueEntry['options']): Promise<CatalogueEntry> {
    const [tree, key] = [this.#tree, liveKey(entry.name)];
    let next = entry;
    const value = (current: Value): Uint8Array => {
      next = readEntry(current!);
      next = { ...next, options: { ...next.options, ...changes } };
      return encode(next);
    };
    const { refused, failed } = await tree.apply(new Map([[key, { value, condition: isOf(entry.id) }]]));
    for (const failure of failed.values()) throw failure;
    if (refused.size > 0) throw new InfinitError('not-found', `volume "${entry.name}" was removed meanwhile`);
    await this.#learn(tree, next.name, next);
    return next;
  }

  /** Takes the name out of use; the data stays in the trash. @throws InfinitError `not-found` where the name means another volume by now. */
  async remove(entry: CatalogueEntry, removedMs = Date.now()): Promise<void> {
    const tree = this.#tree;
    const trashed = encode({ ...entry, trashedAt: new Date(removedMs).toISOString() });
    // First the copy in the trash, then the name: a crash between leaves both, and the volume as it was. What is being deleted stays so.
    await this.#applyAll(
      new Map([
        [trashPrefix + entry.id, { value: trashed, condition: (current: Value) => current === undefined || readEntry(current).purging !== true }],
      ]),
    );
    const key = liveKey(entry.name);
    const { refused, failed } = await tree.apply(new Map([[key, { value: null, condition: isOf(entry.id) }]]));
    for (const failure of failed.values()) throw failure;
    if (refused.size > 0) await this.#takeBack(entry.id, trashed);
    const value = refused.get(key);
    const current = value === undefined ? undefined : readEntry(value);
    await this.#learn(tree, entry.name, current);
    if (current !== undefined) throw new InfinitError('not-found', `volume "${entry.name}" was removed and made anew meanwhile`);
  }

  /** Others were first to remove the volume, and may have brought it back under another name since, or deleted it: then it is not in the trash. */
  async #takeBack(id: string, trashed: Uint8Array): Promise<void> {
    if ((await this.#liveName(id)) === undefined && !(await this.isGone(id))) return;
    const condition = (current: Value): boolean => current !== undefined && Buffer.compare(current, trashed) === 0;
    await this.#applyAll(new Map([[trashPrefix + id, { value: null, condition }]]));
  }

  /** The name of a volume that is not removed, or not wholly. */
  async #liveName(id: string): Promise<string | undefined> {
    return (await this.#scan(livePrefix)).find((entry) => entry.id === id)?.name;
  }

  /** Removed volumes whose data is still there. */
  async trash(): Promise<readonly CatalogueEntry[]> {
    const entries = await this.#scan(trashPrefix);
    if (entries.length === 0) return entries;
    const live = new Set((await this.#scan(livePrefix)).map(({ id }) => id));
    return entries.filter(({ id }) => !live.has(id));
  }

  /**
   * From here on the volume cannot be brought back. False where it must not be deleted: it is being brought back, or its removal was never finished.
   * The mark comes before the look for a name: a restore either came first and is seen, or is refused.
   */
  async markPurging({ id }: Pick<CatalogueEntry, 'id'>): Promise<boolean> {
    const marked = await this.#changeTrashed(id, (entry) => (entry.restoringAs === undefined ? { ...entry, purging: true } : undefined));
    if (marked === undefined) return false;
    if ((await this.#liveName(id)) === undefined) return true;
    await this.#changeTrashed(id, ({ purging: _not, ...entry }) => entry);
    return false;
  }

  /** The data is gone: so is the last trace, but for a note that lets every host drop blocks that nobody can name any more. */
  async forget(id: string, nowMs = Date.now()): Promise<void> {
    await this.#applyAll(new Map([[gonePrefix + id, Buffer.from(new Date(nowMs).toISOString())]]));
    await this.#applyAll(new Map([[trashPrefix + id, null]]));
    const old = (await this.#pages(gonePrefix)).filter(({ value }) => nowMs - Date.parse(Buffer.from(value).toString()) > goneKeptMs);
    if (old.length > 0) await this.#applyAll(new Map(old.map(({ key }) => [key, null])));
  }

  /** Whether a volume of this id was deleted for good. */
  async isGone(id: string): Promise<boolean> {
    return (await this.#tree.get(gonePrefix + id)) !== undefined;
  }

  /** Whether the data of a volume was deleted, or is being. */
  async isDeleted(id: string): Promise<boolean> {
    const value = await this.#tree.get(trashPrefix + id);
    return value === undefined ? await this.isGone(id) : readEntry(value).purging === true;
  }

  /** Brings a removed volume back under a name. Repeating it after a crash finishes it. @throws InfinitError `already-exists`, `not-found`. */
  async restore(trashed: CatalogueEntry, name: string): Promise<CatalogueEntry> {
    // A restore that never ended, to another name, may have taken effect.
    const before = trashed.restoringAs;
    if (before !== undefined && before !== name && (await this.current(before))?.id === trashed.id) {
      await this.#endMark(trashed.id, before);
      throw new InfinitError('already-exists', `the volume was brought back already, as "${before}"`);
    }
    const marked = await this.#changeTrashed(trashed.id, (entry) =>
      entry.purging !== true && (entry.restoringAs === before || entry.restoringAs === name) ? { ...entry, restoringAs: name } : undefined,
    );
    if (marked === undefined)
      throw new InfinitError('not-found', `volume "${trashed.name}" is not in the trash any more, or its data is being deleted`);
    const unmark = (): Promise<unknown> => this.#changeTrashed(trashed.id, ({ restoringAs, ...rest }) => (restoringAs === name ? rest : undefined));
    const live = await this.#liveName(trashed.id);
    if (live !== undefined && live !== name) {
      await unmark();
      throw new InfinitError('already-exists', `the volume was brought back already, as "${live}"`);
    }
    const { trashedAt: _when, restoringAs: _as, ...entry } = { ...marked, name };
    const kept = await this.add(entry);
    if (kept.id !== entry.id) {
      await unmark();
      throw new InfinitError('already-exists', `there is a volume "${name}": give another name to restore to, with --as`);
    }
    if (!(await this.#endMark(entry.id, name)) && !(await this.#isOnly(kept))) {
      // Others removed it meanwhile, or brought it back under another name: theirs came last.
      await this.#applyAll(new Map([[liveKey(name), { value: null, condition: isOf(entry.id) }]]));
      await this.current(name);
      throw new InfinitError('conflict', `volume "${trashed.name}" was removed or brought back by others meanwhile`);
    }
    return kept;
  }

  /** Takes a volume that was brought back under this name out of the trash; false where the trash does not say so, or not any more. */
  async #endMark(id: string, name: string): Promise<boolean> {
    const key = trashPrefix + id;
    const condition = (current: Value): boolean => current !== undefined && readEntry(current).restoringAs === name;
    const { refused, failed } = await this.#tree.apply(new Map([[key, { value: null, condition }]]));
    for (const failure of failed.values()) throw failure;
    return refused.size === 0;
  }

  /** The volume has this name and no other, and is not in the trash: another restore to the same name has finished. */
  async #isOnly({ id, name }: CatalogueEntry): Promise<boolean> {
    if ((await this.#tree.get(trashPrefix + id)) !== undefined) return false;
    return (await this.#scan(livePrefix)).every((entry) => entry.id !== id || entry.name === name);
  }

  /** Changes an entry of the trash; undefined where there is none, or `change` wants none. */
  async #changeTrashed(id: string, change: (entry: CatalogueEntry) => CatalogueEntry | undefined): Promise<CatalogueEntry | undefined> {
    const key = trashPrefix + id;
    const next = (current: Value): CatalogueEntry | undefined => (current === undefined ? undefined : change(readEntry(current)));
    const condition = (current: Value): boolean => next(current) !== undefined;
    const { refused, failed } = await this.#tree.apply(new Map([[key, { value: (current: Value) => encode(next(current)!), condition }]]));
    for (const failure of failed.values()) throw failure;
    if (refused.size > 0) return undefined;
    const value = await this.#tree.get(key);
    return value === undefined ? undefined : readEntry(value);
  }

  /**
   * For a host that was alone and joins others, once its blocks are gone: the tree's cache goes by versions, and those of the cluster's blocks may be
   * lower than what its own had come to.
   */
  async startOver(): Promise<void> {
    this.#tree = this.#newTree();
    this.#trashed = [];
    this.#list = undefined;
    await this.#remember((known) => known.clear());
  }

  /** {@link putBack}, into a list that the copy is not of. True: it was none. */
  async #putBack(tree: BLinkTree): Promise<boolean> {
    const copy = this.#copy;
    const isOurs = (): boolean => tree === this.#tree && this.#isInside();
    const list = await putBack(tree, copy, () => this.#isListed(tree), isOurs, this.#logger);
    if (tree !== this.#tree || list === copy.list) return false;
    this.#list = list;
    return true;
  }

  /** Volumes that the list has, under whatever name, or says to be in the trash or gone. */
  async #isListed(tree: BLinkTree): Promise<ReadonlySet<string>> {
    const listed = [...(await this.#scan(livePrefix, tree)), ...(await this.#scan(trashPrefix, tree))].map(({ id }) => id);
    const gone = (await this.#pages(gonePrefix, tree)).map(({ key }) => key.slice(gonePrefix.length));
    return new Set([...listed, ...gone]);
  }

  get #copy(): CatalogueCopy {
    return { entries: [...this.#known.values()], trashed: this.#trashed, list: this.#list };
  }

  /** Brings the local copy up to date with the tree as it is from now on. One at a time; those who ask meanwhile share the next. */
  refresh(): Promise<void> {
    if (this.#refreshing === undefined) {
      this.#refreshing = this.#readAll().finally(() => (this.#refreshing = undefined));
      return this.#refreshing;
    }
    this.#refreshNext ??= this.#refreshAfter(this.#refreshing);
    return this.#refreshNext;
  }

  async #refreshAfter(before: Promise<void>): Promise<void> {
    await before.catch(() => {});
    this.#refreshNext = undefined;
    return this.refresh();
  }

  async #readAll(): Promise<void> {
    const [tree, since] = [this.#tree, new Map<string, CatalogueEntry | undefined>()];
    this.#since = since;
    try {
      await this.#putBack(tree);
      const entries = await this.#scan(livePrefix, tree);
      const trashed = await this.#scan(trashPrefix, tree);
      if (tree !== this.#tree) return; // It read what is of before.
      this.#trashed = trashed;
      await this.#remember((known) => {
        known.clear();
        for (const entry of entries) known.set(entry.name, entry);
        for (const [name, entry] of since) set(known, name, entry);
      });
    } finally {
      this.#since = undefined;
    }
  }

  /** One entry that is none does not keep the others from being known. */
  async #scan(prefix: string, tree: BLinkTree = this.#tree): Promise<CatalogueEntry[]> {
    return (await this.#pages(prefix, tree)).flatMap(({ key, value }) => {
      try {
        return readEntry(value);
      } catch (error) {
        this.#logger.warn('an entry of the list of volumes is left out', { key, error });
        return [];
      }
    });
  }

  async #pages(prefix: string, tree: BLinkTree = this.#tree): Promise<Entry[]> {
    const found: Entry[] = [];
    let after = prefix;
    for (;;) {
      const page = await tree.scan(after, pageEntries);
      for (const entry of page.entries) {
        if (!entry.key.startsWith(prefix)) return found;
        found.push(entry);
        after = entry.key;
      }
      if (page.done) return found;
    }
  }

  async #applyAll(changes: Parameters<BLinkTree['apply']>[0]): Promise<void> {
    const { failed } = await this.#tree.apply(changes);
    const [failure] = failed.values();
    if (failure !== undefined) throw failure;
  }

  /** What a single name means now, by an operation on `tree`. */
  async #learn(tree: BLinkTree, name: string, entry: CatalogueEntry | undefined): Promise<void> {
    if (tree !== this.#tree) return; // It is of before.
    this.#since?.set(name, entry);
    await this.#remember((known) => set(known, name, entry));
  }

  /**
   * Resolves when the copy has the change. Never fails: what the tree took is done, whatever becomes of the copy, which is written at the next occasion where it could not be now.
   * The copy is one note of all volumes, so what changes while it is being written goes into one further note.
   */
  #remember(change: (known: Map<string, CatalogueEntry>) => void): Promise<void> {
    change(this.#known);
    if (this.#pending === undefined) {
      this.#pending = this.#written.then(() => {
        this.#pending = undefined;
        return this.#save();
      });
      this.#written = this.#pending;
    }
    return this.#pending;
  }

  async #save(): Promise<void> {
    const text = encodeCopy(this.#copy);
    if (text === this.#saved) return;
    this.#saved = text;
    try {
      await this.#disk.write([{ type: 'put-meta', key: metaKey, bytes: Buffer.from(text) }]);
    } catch (error) {
      this.#saved = undefined;
      this.#logger.warn('the local copy of the list of volumes cannot be written', { error });
    }
  }
}

function set(known: Map<string, CatalogueEntry>, name: string, entry: CatalogueEntry | undefined): void {
  if (entry === undefined) known.delete(name);
  else known.set(name, entry);
}

/** A name means this volume. */
function isOf(id: string): (current: Value) => boolean {
  return (current) => current !== undefined && readEntry(current).id === id;
}
