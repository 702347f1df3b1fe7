import { codeOf } from '../../base/index.ts';
import type { DirtyBudget } from '../content/dirty-budget.ts';
import { type Attributes, FileSystemError } from '../file-system.ts';
import { isSameVersion } from '../inodes/written.ts';
import { Moved } from './backing.ts';
import { type Borrowed, maxMessageBytes, type Part } from './borrowed.ts';
import type { HolderLink } from './holder-link.ts';

/** What was written is said so much later at the latest, in ms. */
const sayAfterMs = 1000;

export interface SayingEvents {
  /** All that was written to the file, and answered, is durable. */
  readonly onClean: (inode: number) => void;
  /** It never will be. */
  readonly onLost: (inode: number, error: FileSystemError) => void;
}

/** What was written to borrowed files is said to the host that serves the volume: of each file one thing after another, when somebody wants it, and now and then. */
export class Saying {
  readonly #holder: HolderLink;
  readonly #files: Map<number, Borrowed>;
  readonly #isGood: (file: Borrowed) => boolean;
  readonly #budget: DirtyBudget;
  readonly #events: SayingEvents;
  #failure: unknown;
  #timer: NodeJS.Timeout | undefined;

  /**
   * @param files that are borrowed: one goes when it is given back, or lost.
   * @param isGood whether the file may be written here yet.
   * @param budget of what is not said: whoever waits for room in vain is let go.
   */
  constructor(holder: HolderLink, files: Map<number, Borrowed>, isGood: (file: Borrowed) => boolean, budget: DirtyBudget, events: SayingEvents) {
    this.#holder = holder;
    this.#files = files;
    this.#isGood = isGood;
    this.#budget = budget;
    this.#events = events;
  }

  /** Why nothing could be said, last. */
  get failure(): unknown {
    return this.#failure;
  }

  close(): void {
    clearTimeout(this.#timer);
  }

  /** Something of all files is said soon. */
  wake(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.all();
    }, sayAfterMs).unref();
  }

  all(): void {
    for (const file of this.#files.values()) if (file.dirty) this.inBackground(file);
  }

  /** What fails is tried again, and said to whoever asks. */
  inBackground(file: Borrowed): void {
    if (file.queued) return;
    file.queued = true;
    (this.#isGood(file) ? this.say(file, false) : this.giveBack(file)).catch(() => this.wake());
  }

  /** Resolves when all that was written until now is there, or lost. @param back with that the file is given back. */
  say(file: Borrowed, back: boolean): Promise<void> {
    file.tail = file.tail.then(
      () => this.#sayNow(file, back),
      () => this.#sayNow(file, back),
    );
    return file.tail;
  }

  /** As {@link say}, and the file is not this host's any more. */
  async giveBack(file: Borrowed): Promise<void> {
    file.closing = true;
    await this.say(file, true);
    if (this.#files.get(file.inode) !== file || file.dirty) return;
    this.#files.delete(file.inode);
    if (file.returned || file.generation !== this.#holder.generation) return;
    // Nobody waits for that: the host that serves the volume asks for the file where somebody wants it.
    const { inode, loan, generation } = file;
    void this.#holder.callIn(generation, 'put', [inode, loan, file.nothing(), true]).catch(() => {});
  }

  async #sayNow(file: Borrowed, back: boolean): Promise<void> {
    file.queued = false;
    file.take();
    for (let part = file.parts[0]; part !== undefined; part = file.parts[0]) {
      try {
        if (!(await this.#put(file, part, back && file.parts.length === 1))) continue;
      } catch (thrown) {
        // So says a host of an earlier version that has come to serve the volume.
        const error = codeOf(thrown) === 'bad-argument' ? new FileSystemError('EIO', 'the host that serves the volume takes no such writes') : thrown;
        this.#failure = error;
        this.#budget.release();
        if (error instanceof FileSystemError) this.#lose(file, error);
        throw error;
      }
      file.said = true;
      // What is not noted as unsaid may be in that memory yet.
      if (file.ending) this.#events.onClean(file.inode);
      file.done();
    }
    if (!file.dirty) this.#events.onClean(file.inode);
  }

  /** False: there is more to do for it. */
  async #put(file: Borrowed, part: Part, back: boolean): Promise<boolean> {
    const { inode, loan, generation } = file;
    try {
      if (generation === this.#holder.generation) {
        await this.#holder.callIn(generation, 'put', [inode, loan, await file.say(part), back]);
        file.returned = back;
        return true;
      }
    } catch (error) {
      if (!(error instanceof Moved)) throw error;
    }
    return this.#putElsewhere(file, part);
  }

  /** Another host serves the volume: what it was not told counts only if nobody has changed the file since. */
  async #putElsewhere(file: Borrowed, part: Part): Promise<boolean> {
    const { inode } = file;
    file.closing = true;
    // The one before may have taken it.
    if (isSameVersion(await this.#holder.call<Attributes>('getattr', [inode]), part.version)) return true;
    if (part.pieces.reduce((sum, { start, end }) => sum + end - start, 0) > maxMessageBytes) {
      file.split();
      return false;
    }
    await this.#holder.call('put', [inode, '', file.sayWhole(part), false]);
    return true;
  }

  #lose(file: Borrowed, error: FileSystemError): void {
    file.closing = true;
    file.drop();
    if (this.#files.get(file.inode) === file) this.#files.delete(file.inode);
    this.#events.onLost(file.inode, error);
  }
}
