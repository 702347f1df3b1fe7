import type { DirectoryEntry } from '../file-system.ts';
import type { SharedMethod } from './calls.ts';
import type { Told } from './showing.ts';
import { type Shown, shownBy } from './shown.ts';

/** Makes what is shown durable; undefined where it is. Resolves to the inodes of which that failed. */
export type Keep = (shown: Shown) => Promise<ReadonlyMap<number, unknown>> | undefined;

/** What answers show guests is durable before they leave. */
export class KeptAnswers {
  readonly #keep: Keep;

  constructor(keep: Keep) {
    this.#keep = keep;
  }

  /**
   * What a guest is about to see, and so what it changed, must not be undone by the loss of this host: a read never goes backwards. After the operation:
   * what a local program did while it waited may be in the answer. Nothing else is waited for, and what else does not fit on a full disk is no failure here.
   */
  async shown(method: SharedMethod, args: readonly unknown[], result: unknown, told?: Told): Promise<void> {
    const shown = shownBy(method, args, result);
    if (shown !== undefined) await this.both(shown, told);
  }

  /** What was read. */
  async bytes(args: readonly unknown[], slices: readonly Uint8Array[]): Promise<Uint8Array | undefined> {
    const kept = this.#keep(shownBy('read', args, slices)!);
    if (kept === undefined) return slices.length === 1 ? slices[0] : Buffer.concat(slices);
    // A local program may write into this memory while the answer waits.
    const bytes = Buffer.concat(slices);
    for (const error of (await kept).values()) throw error;
    return bytes;
  }

  /** What is told besides is not told where it cannot be made durable. */
  async both({ inodes, names }: Shown, told?: Told): Promise<void> {
    const also = told?.images.map(({ attributes }) => attributes.inode) ?? [];
    const kept = this.#keep({ inodes: [...new Set([...inodes, ...also])], names });
    if (kept === undefined) return;
    const failed = await kept;
    for (const inode of inodes) if (failed.has(inode)) throw failed.get(inode);
    if (failed.size > 0) told?.images.splice(0, Infinity, ...told.images.filter(({ attributes }) => !failed.has(attributes.inode)));
  }

  /** Entries come without the attributes that cannot be made durable: who wants those asks for them, and hears why. */
  async entries(entries: readonly DirectoryEntry[]): Promise<readonly DirectoryEntry[]> {
    const failed = await this.#keep({ inodes: entries.flatMap(({ attributes }) => attributes?.inode ?? []), names: [] });
    if (failed === undefined || failed.size === 0) return entries;
    return entries.map((entry) =>
      failed.has(entry.inode) ? { name: entry.name, inode: entry.inode, type: entry.type, cookie: entry.cookie } : entry,
    );
  }
}
