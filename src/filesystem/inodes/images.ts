import type { VolumeCore } from '../core.ts';
import { type Attributes, FileSystemError, type MaybePromise } from '../file-system.ts';
import type { Segment } from '../extents/index.ts';
import type { Inode } from './inode.ts';
import { list, type Listed } from '../names/listing.ts';
import { attempt, Miss } from '../miss.ts';
import type { Namespace } from '../names/namespace.ts';
import { Pinned } from '../content/reading.ts';

/** Extended attributes that go into an image, in bytes; with more of them it has none. */
const maxXattrBytes = 4096;

/** All that a program may ask of an inode, as it was at one moment. */
export interface Image {
  readonly attributes: Attributes;
  /** Absent where there are too many. */
  readonly xattrs?: readonly (readonly [name: string, value: Uint8Array])[];
  /** Of a symbolic link. */
  readonly target?: string;
  /** Of a small regular file: all of it. */
  readonly content?: Uint8Array;
}

/**
 * Called in the very moment in which something is as it is about to be told: whoever claims it later comes after. Returns
 * nothing; what it wants to say of the moment it keeps.
 */
type Note = (inode: number) => void;

/** What a host is told that may keep it in memory. */
export class Images {
  readonly #core: VolumeCore;
  readonly #names: Namespace;

  constructor(core: VolumeCore, names: Namespace) {
    this.#core = core;
    this.#names = names;
  }

  /** @param contentBytes of a file that is no larger the content comes as well. */
  of(number: number, contentBytes: number, note: Note): MaybePromise<Image> {
    const pinned = new Pinned();
    return attempt(() => {
      const inode = this.#core.shown(this.#core.table.get(number));
      const image = imageOf(inode, () => contentOf(inode, contentBytes, pinned));
      note(number);
      return image;
    });
  }

  /** A regular file that nobody else has in memory. */
  lent(number: number, note: () => void): MaybePromise<Image> {
    return attempt(() => {
      this.#core.writable();
      const inode = this.#core.table.get(number);
      if (!inode.isRegular) throw new FileSystemError('EINVAL');
      this.#core.claim([inode]);
      const image = imageOf(inode);
      note();
      return image;
    });
  }

  /** An image of a file, and where the bytes of [start, end) lie in the store; undefined: not all of them do. */
  stored(
    number: number,
    start: number,
    end: number,
    note: Note,
  ): MaybePromise<{ readonly image: Image; readonly segments: readonly Segment[] | undefined }> {
    return attempt(() => {
      const inode = this.#core.shown(this.#core.table.get(number));
      const until = Math.min(end, inode.size);
      const segments = inode.content === undefined || start >= until ? undefined : inode.content.storedIn(start, until);
      const image = imageOf(inode);
      note(number);
      return { image, segments };
    });
  }

  /** What a name stands for, with content that need not be loaded first. The directory is noted, and the inode after it. */
  at(parent: number, name: string, contentBytes: number, note: Note): MaybePromise<Image | undefined> {
    return attempt(() => {
      const inode = this.#names.lookup(parent, name);
      const image = inode === undefined ? undefined : imageOf(this.#core.shown(inode), () => contentAtHand(inode, contentBytes));
      note(parent);
      if (inode !== undefined) note(inode.number);
      return image;
    });
  }

  /** A part of a directory as {@link list} gives it, and images of what is there. The directory is noted, and each inode after it. */
  listing(number: number, cookie: number, limit: number, note: Note): MaybePromise<Listed & { readonly images: readonly Image[] }> {
    const unreadable = new Set<number>();
    return attempt(() => {
      const { table } = this.#core;
      const { entries, ended } = list(this.#core, table.get(number), cookie, limit, 'known', unreadable);
      const known = entries.filter(({ name, inode }) => name !== '.' && name !== '..' && !unreadable.has(inode));
      const found = known.flatMap(({ inode }) => table.find(inode) ?? []);
      const inodes = new Set(found.filter((inode) => !this.#core.isLent(inode)));
      const images = Array.from(inodes, (inode) => imageOf(inode));
      note(number);
      for (const inode of inodes) note(inode.number);
      return { entries, ended, images };
    });
  }
}

function imageOf(inode: Inode, content?: () => Uint8Array | undefined): Image {
  let bytes = 0;
  for (const [name, value] of inode.xattrs ?? []) bytes += name.length + value.length;
  const { target } = inode;
  const known = content?.();
  return {
    attributes: inode.attributes(),
    ...(bytes > maxXattrBytes ? {} : { xattrs: Array.from(inode.xattrs ?? [], ([name, value]) => [name, value.slice()] as const) }),
    ...(target === undefined ? {} : { target }),
    ...(known === undefined ? {} : { content: known }),
  };
}

/** All of a small file. @throws Miss */
function contentOf({ content, size }: Inode, maxBytes: number, pinned: Pinned): Uint8Array | undefined {
  if (content === undefined || size > maxBytes) return undefined;
  // What a read gives is good for this turn alone.
  return size === 0 ? new Uint8Array(0) : Buffer.concat(content.read(0, size, pinned));
}

/** Where it is part of the inode, or was written just now. */
function contentAtHand(inode: Inode, maxBytes: number): Uint8Array | undefined {
  if (inode.content?.map !== undefined) return undefined;
  try {
    return contentOf(inode, maxBytes, new Pinned());
  } catch (error) {
    if (!(error instanceof Miss)) throw error;
    error.loaded.catch(() => {});
    return undefined;
  }
}
