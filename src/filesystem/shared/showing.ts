import { type DirectoryEntry, FileSystemError, type MaybePromise } from '../file-system.ts';
import type { Segment } from '../extents/index.ts';
import type { Image } from '../inodes/images.ts';
import type { Volume } from '../volume.ts';
import type { CallTag, Granted, Lent, SharedMethod } from './calls.ts';
import { effectsOf, toldAfter } from './effects.ts';
import type { Grants } from './grants.ts';
import { type Guest, once } from './guest.ts';
import type { Keep } from './kept-answers.ts';
import type { Shown } from './shown.ts';
import type { Written } from '../inodes/written.ts';

/** Content that comes with a look-up, in bytes. */
const contentBytes = 4096;
/** Bytes of a part of a directory as the kernel would count them: some 200 entries. */
const listingBytes = 32_768;

/** What of an answer its asker may keep in memory. */
export interface Told {
  readonly images: Image[];
  readonly directories: number[];
  /** A directory that was made just now. */
  empty?: number;
  /** What is told of a directory is its last part. */
  ended?: boolean;
  /** What its asker has for itself from now on. */
  lent?: Lent;
}

/** As of `put`. */
export type PutArguments = readonly [inode: number, loan: string, written: Written, back: boolean];

/** Answers that guests may keep in memory. Each is of the moment in which it was granted, and durable before it leaves. */
export class Showing {
  readonly #volume: Pick<Volume, 'images' | 'lending'>;
  readonly #grants: Grants;
  readonly #keep: Keep;
  /** Guests that keep something: no more than the cluster has hosts. */
  readonly #keepers = new Set<string>();

  constructor(volume: Pick<Volume, 'images' | 'lending'>, grants: Grants, keep: Keep) {
    this.#volume = volume;
    this.#grants = grants;
    this.#keep = keep;
  }

  /** What comes with an answer that leaves now. Of what was asked back meanwhile nothing may be kept. */
  granted(peer: string, { images, directories, empty, ended, lent }: Told): Granted | undefined {
    if (!this.#keepers.has(peer)) return undefined;
    return {
      term: this.#grants.term(peer),
      images: images.filter(({ attributes }) => this.#grants.holds(peer, attributes.inode)),
      names: directories.filter((directory) => this.#grants.holds(peer, -directory)),
      ...(lent === undefined ? {} : { lent }),
      ...(ended === true ? { ended } : {}),
      ...(empty !== undefined && this.#grants.holds(peer, -empty) ? { empty } : {}),
    };
  }

  /** A guest's call has come: what it changes it has forgotten already. Names the guest for {@link Grants.names}. */
  begins(peer: string, method: SharedMethod, args: readonly unknown[], gave: readonly number[]): string | undefined {
    if (!this.#keepers.has(peer)) return undefined;
    for (const inode of [...(effectsOf(method, args)?.inodes ?? []), ...gave]) this.#grants.giveBack(peer, inode);
    return this.#grants.askerOf(peer);
  }

  isKeeper(peer: string): boolean {
    return this.#keepers.has(peer);
  }

  /** What the guest has is to be good for longer. */
  renew(peer: string, anew: boolean): void {
    if (anew) {
      this.#grants.giveBackAll(peer);
      this.#grants.loans.lapse(peer);
    }
    this.#keepers.add(peer);
  }

  /** The asker gets the inode for itself, if nobody wants it at the moment. */
  async lend(peer: string, told: Told, inode: number): Promise<void> {
    if (!this.#keepers.has(peer)) return;
    // Nor does its asker have it otherwise.
    told.images.splice(0, Infinity, ...told.images.filter(({ attributes }) => attributes.inode !== inode));
    this.#grants.giveBack(peer, inode);
    let loan: string | undefined;
    const lent = await this.#volume.lending.lend(inode, () => (loan = this.#grants.lend(peer, inode)));
    if (loan !== undefined && lent !== undefined) told.lent = { ...lent, loan };
  }

  /** What the guest wrote. Until it is durable the guest has the file: nobody else sees what the loss of this host would undo, or changes it. */
  async take(peer: string, guest: Guest, [inode, loan, written, back]: PutArguments, tag: CallTag | undefined): Promise<void> {
    const { loans } = this.#grants;
    const { lending } = this.#volume;
    const heard = loans.hear(peer, inode);
    const end = (): void => {
      if (back && loans.isGood(peer, inode, loan)) loans.end(peer, inode);
    };
    try {
      await once(guest, 'put', tag, async () => lending.apply(inode, written, () => loans.isGood(peer, inode, loan), peer));
      await lending.persist(inode);
      end();
    } catch (error) {
      // The guest gives up what it wrote.
      if (error instanceof FileSystemError) end();
      throw error;
    } finally {
      heard();
    }
  }

  /** What it has not said yet its guest knows best. Nobody else changes the file, and what of it is not durable is the guest's own. */
  readLent(peer: string, [inode, loan, offset, length]: readonly [number, string, number, number]): MaybePromise<Uint8Array | undefined> {
    return this.#volume.lending.read(inode, offset, length, () => this.#grants.loans.isGood(peer, inode, loan));
  }

  async look(peer: string, told: Told, parent: number, name: string): Promise<Image['attributes'] | undefined> {
    const image = await this.#volume.images.at(parent, name, contentBytes, (key) => this.#grants.give(peer, key === parent ? -key : key));
    const inode = image?.attributes.inode;
    await this.#keepAll({ inodes: inode === undefined ? [] : [inode], names: [parent] });
    told.directories.push(parent);
    if (image !== undefined) told.images.push(image);
    return image?.attributes;
  }

  /** Those that are gone are left out, and none where that is asked for alone. */
  async images(peer: string, told: Told, inodes: readonly number[], bytes: number): Promise<readonly Image[]> {
    const images = await Promise.all(
      inodes.map(async (inode) => {
        try {
          return [await this.#volume.images.of(inode, bytes, (number) => this.#grants.give(peer, number))];
        } catch (error) {
          if (!(error instanceof FileSystemError) || inodes.length === 1) throw error;
          return [];
        }
      }),
    );
    const known = images.flat();
    const failed = await this.#keep({ inodes: known.map(({ attributes }) => attributes.inode), names: [] });
    if (inodes.length === 1) for (const error of failed?.values() ?? []) throw error;
    const shown = known.filter(({ attributes }) => failed?.has(attributes.inode) !== true);
    told.images.push(...shown);
    return shown;
  }

  async stored(peer: string, told: Told, inode: number, start: number, end: number): Promise<readonly Segment[] | undefined> {
    const { image, segments } = await this.#volume.images.stored(inode, start, end, (number) => this.#grants.give(peer, number));
    await this.#keepAll({ inodes: [inode], names: [] });
    told.images.push(image);
    return segments;
  }

  async listing(peer: string, told: Told, directory: number, cookie: number): Promise<readonly DirectoryEntry[]> {
    let first = true;
    const { entries, ended, images } = await this.#volume.images.listing(directory, cookie, listingBytes, (number) => {
      this.#grants.give(peer, first ? -number : number);
      first = false;
    });
    const failed = await this.#keep({ inodes: images.map(({ attributes }) => attributes.inode), names: [directory] });
    const shown = images.filter(({ attributes }) => failed?.has(attributes.inode) !== true);
    told.directories.push(directory);
    told.ended = ended;
    told.images.push(...shown);
    const known = new Map(shown.map(({ attributes }) => [attributes.inode, attributes]));
    return entries.map((entry) => {
      const attributes = entry.name === '.' || entry.name === '..' ? undefined : known.get(entry.inode);
      return attributes === undefined ? entry : { ...entry, attributes };
    });
  }

  /** Inodes as they are after a change: they are to be made durable with it. */
  async changed(peer: string, told: Told, method: SharedMethod, args: readonly unknown[], result: unknown): Promise<void> {
    if (!this.#keepers.has(peer)) return;
    for (const inode of new Set(toldAfter(method, args, result))) {
      try {
        told.images.push(await this.#volume.images.of(inode, 0, (number) => this.#grants.give(peer, number)));
      } catch (error) {
        // Gone since: there is nothing to tell of it.
        if (!(error instanceof FileSystemError)) throw error;
      }
    }
    if (method === 'rename') await this.#renamed(peer, told, args[2] as number, args[3] as string);
    // It is empty, unless others were there first: they have made it known by then.
    if (method === 'mkdir') {
      const { inode } = result as Image['attributes'];
      const { entries } = await this.#volume.images.listing(inode, 0, listingBytes, (number) => this.#grants.give(peer, -number));
      if (entries.length <= 2) told.empty = inode;
    }
  }

  /** What was moved has another time of change: its asker looks at it next, or has it in memory and would have to ask. */
  async #renamed(peer: string, told: Told, directory: number, name: string): Promise<void> {
    const image = await this.#volume.images.at(directory, name, contentBytes, (key) => {
      if (key !== directory) this.#grants.give(peer, key);
    });
    if (image !== undefined) told.images.push(image);
  }

  async #keepAll(shown: Shown): Promise<void> {
    for (const error of (await this.#keep(shown))?.values() ?? []) throw error;
  }
}
