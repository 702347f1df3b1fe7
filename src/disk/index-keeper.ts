import { codeOf, messageOf } from '../base/index.ts';
import type { Ballast } from './ballast.ts';
import type { Checkpointer } from './checkpointer.ts';
import type { LogPosition } from './entry.ts';
import { type Files, isNoRoom, isPassing } from './files.ts';
import type { Health } from './health.ts';
import type { LevelIndex } from './level-index.ts';

export interface IndexKeeperOptions {
  readonly files: Files;
  readonly index: LevelIndex;
  readonly checkpointer: Checkpointer;
  readonly health: Health;
  readonly ballast: Ballast;
  /** Its presence has the index made anew by the next start. */
  readonly rebuild: string;
  /** Up to where the log is on stable storage. */
  readonly position: () => LogPosition;
}

/** Has the index take what was written, also after it could not. */
export class IndexKeeper {
  readonly #options: IndexKeeperOptions;
  #isBroken = false;

  constructor(options: IndexKeeperOptions) {
    this.#options = options;
  }

  /** True from an error of the index on, until it takes writes again. */
  get isBroken(): boolean {
    return this.#isBroken;
  }

  /** Indexes what is on stable storage. @throws InfinitError `disk-full`, `disk-failed`, `overloaded`. */
  async checkpoint(): Promise<void> {
    const { files, health, rebuild } = this.#options;
    try {
      await this.#try().catch(async (error: unknown) => {
        if (!isNoRoom(error) || !(await this.#makeRoom())) throw error;
        await this.#try();
      });
    } catch (error) {
      // The next try opens the index again.
      if (codeOf(error) === 'overloaded' || isPassing(error)) throw error;
      const failure = health.report(error);
      if (!isNoRoom(error)) await files.replace(rebuild, `${messageOf(error)}\n`).catch(() => {});
      throw failure;
    }
  }

  async #try(): Promise<void> {
    const { index, checkpointer, position } = this.#options;
    try {
      if (this.#isBroken) await index.reopen();
      await checkpointer.run(position);
      this.#isBroken = false;
    } catch (error) {
      this.#isBroken = true;
      throw error;
    }
  }

  /** Gives ballast so that the index can be opened again. A quarter of it stays for the log, which can do without the index for long, as reads can. */
  async #makeRoom(): Promise<boolean> {
    const { index, health, ballast } = this.#options;
    const lacking = await index.lackingBytes();
    if (lacking === 0) return true;
    health.full();
    return lacking <= ballast.bytes - ballast.wholeBytes / 4 && (await ballast.give(lacking));
  }
}
