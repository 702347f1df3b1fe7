import { type Clock, codeOf, type Moment, momentOf } from '../../base/index.ts';
import { errnoOf } from '../failure.ts';
import { FileSystemError } from '../file-system.ts';
import type { MadeFile } from '../journal/made-file.ts';
import { type CallTag, decodeAnswer, Dismissed } from './calls.ts';
import type { Backing } from './backing.ts';
import type { HolderLink } from './holder-link.ts';
import { pause, retryMs } from './repeating.ts';
import { isTransient } from './repeating.ts';

/** Files that are made again at once after the lease moved. */
const parallelFiles = 16;
/**
 * How long after the host that made it was last heard a file is made again, in ms. That host keeps what a guest has open for longer, also where it is not heard, and so does the next one: what is not
 * there by then never was durable. Later it may have been, and have been removed by somebody.
 */
const certainMs = 20_000;

/** Failures that tell nothing of the file: the host that serves the volume is asked again, so often. */
const passing: ReadonlySet<string> = new Set(['EIO', 'ETIMEDOUT']);
const maxFailures = 20;

interface Kept {
  readonly made: MadeFile;
  /** When the host that made it was heard last; undefined: that one serves the volume. */
  heard: Moment | undefined;
  /** Names the call that makes it again, once that may have left: it is known to have gone with the host that made it. */
  tag: CallTag | undefined;
  /** The host that serves the volume knows nothing of this. */
  isUnsaid: boolean;
}

/**
 * New files of this host's programs, answered by the host that serves the volume before they were durable. Should that be lost before, the next one is asked, ahead of all else, whether they are there,
 * and to make those that are not once more: as they were, under their numbers, which is what the kernel knows. One is kept until it is known to be durable, or nobody has it open.
 */
export class MadeFiles {
  readonly #holder: HolderLink;
  readonly #clock: Clock;
  readonly #onLost: (made: MadeFile, error: FileSystemError) => void;
  /** By number: no more than programs have open. */
  readonly #files = new Map<number, Kept>();

  /** @param onLost told of one that cannot be made again. */
  constructor(holder: HolderLink, clock: Clock, onLost: (made: MadeFile, error: FileSystemError) => void) {
    this.#holder = holder;
    this.#clock = clock;
    this.#onLost = onLost;
  }

  get size(): number {
    return this.#files.size;
  }

  has(inode: number): boolean {
    return this.#files.has(inode);
  }

  /** It was made at another host. @param generation in which that was. */
  async add(made: MadeFile, generation: number): Promise<void> {
    this.#files.set(made.inode, { made, heard: undefined, tag: undefined, isUnsaid: false });
    // That host is gone already, and the next one was told of all others.
    while (generation !== this.#holder.generation && this.#files.has(made.inode)) {
      generation = await this.#holder.ready();
      await this.makeAgain(this.#holder.backing!);
    }
  }

  /** It is durable, or nobody has it open. */
  settled(inode: number): void {
    this.#files.delete(inode);
  }

  /** To be called when another host begins to serve the volume, before anything else is asked of it; undefined: there is nothing to be done. */
  makeAgain(backing: Backing): Promise<void> | undefined {
    if (this.#files.size === 0) return undefined;
    const heard = this.#holder.lastHeard;
    for (const kept of this.#files.values()) kept.heard ??= heard;
    return this.#makeAll(backing);
  }

  async #makeAll(backing: Backing): Promise<void> {
    const left = [...this.#files.values()].toReversed();
    const lane = async (): Promise<void> => {
      for (let kept = left.pop(); kept !== undefined; kept = left.pop()) await this.#makeOne(backing, kept);
    };
    await Promise.all(Array.from({ length: Math.min(parallelFiles, left.length) }, lane));
  }

  async #makeOne(backing: Backing, kept: Kept): Promise<void> {
    const { made } = kept;
    let failures = 0;
    while (this.#holder.backing === backing && this.#files.get(made.inode) === kept && !kept.isUnsaid) {
      try {
        if (await (backing.kind === 'local' ? this.#makeHere(backing, kept) : this.#makeThere(backing, kept))) this.settled(made.inode);
        else this.#lose(kept);
        return;
      } catch (error) {
        if (error instanceof Dismissed) await this.#holder.rejoin(backing).catch(() => {});
        // So says one of an earlier version.
        else if (codeOf(error) === 'bad-argument') kept.isUnsaid = true;
        else if (error instanceof FileSystemError ? !passing.has(error.errno) || ++failures > maxFailures : !isTransient(error))
          return this.#lose(kept, error);
        if (this.#holder.backing === backing && !kept.isUnsaid) await pause(retryMs);
      }
    }
  }

  /** False: it may have been there, and have been removed since. */
  async #makeThere(backing: Backing & { readonly kind: 'remote' }, kept: Kept): Promise<boolean> {
    const { made } = kept;
    if (kept.tag === undefined) {
      const { value: isMade, calls } = decodeAnswer(await this.#holder.ask(backing, 'made', [made.inode]));
      this.#holder.learnCalls(backing, calls);
      if (isMade === true) return true;
      if (!this.#isCertain(kept)) return false;
      kept.tag = { ...this.#holder.newCall(), again: false, memory: '', calls: calls ?? 0 };
    }
    const { tag } = kept;
    kept.tag = { ...tag, again: true };
    decodeAnswer(await this.#holder.ask(backing, 'remake', [made], tag));
    this.#holder.answered(tag);
    return true;
  }

  async #makeHere({ volume }: Backing & { readonly kind: 'local' }, { tag, ...kept }: Kept): Promise<boolean> {
    const { made } = kept;
    const { calls, isMade, remake } = volume;
    if (calls === undefined || isMade === undefined || remake === undefined) return false;
    if (tag === undefined) {
      if (await isMade.call(volume, made.inode)) return true;
      if (!this.#isCertain(kept)) return false;
    } else {
      const outcome = calls.outcomeOf(tag, tag.calls ?? 0);
      if (outcome !== 'not done') return outcome !== undefined;
    }
    await remake.call(volume, made);
    // The kernel's reference is not counted here, as it is of no file that it had before.
    volume.forget(made.inode, 1);
    return true;
  }

  /** Whether one that is not there was never durable. */
  #isCertain({ heard }: Pick<Kept, 'heard'>): boolean {
    const now = momentOf(this.#clock);
    return heard !== undefined && now.monotonicMs - heard.monotonicMs < certainMs && now.wallMs - heard.wallMs < certainMs;
  }

  /** Directories in which files were made of which a host of an earlier version could not be asked, and that went: whoever makes their names durable hears of it. @param within a directory; undefined: any. */
  async look(within?: number): Promise<void> {
    const unsaid = [...this.#files.values()].filter((kept) => kept.isUnsaid && (within ?? kept.made.parent) === kept.made.parent);
    await Promise.all(
      unsaid.map(async (kept) => {
        try {
          await this.#holder.do('getattr', kept.made.inode);
        } catch (error) {
          if (!(error instanceof FileSystemError)) throw error;
          this.#lose(kept, error);
        }
      }),
    );
  }

  #lose({ made }: Kept, why?: unknown): void {
    this.settled(made.inode);
    const errno = errnoOf(why) === 'ENOSPC' ? 'ENOSPC' : 'EIO';
    this.#onLost(made, new FileSystemError(errno, 'a new file was lost with the host that had made it', { cause: why }));
  }
}
