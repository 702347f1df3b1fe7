import { type Logger, messageOf } from '../base/index.ts';
import type { News } from './membership/member-table.ts';
import type { StateFiles } from './state-files.ts';

/** Changes of the roster that come together are written together. */
const saveDelayMs = 500;

/** The members that this host knows, kept so that a restart finds them again. Losing the file costs nothing but a question to the next member. */
export class MemberFile implements AsyncDisposable {
  readonly #files: StateFiles;
  readonly #logger: Logger;
  readonly #current: () => News;
  readonly #delayMs: number;
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> | undefined;
  /** What is being written is out of date already. */
  #isStale = false;

  /** @param current What is to be written. @param delayMs {@link saveDelayMs} where absent. */
  constructor(files: StateFiles, logger: Logger, current: () => News, delayMs: number = saveDelayMs) {
    this.#files = files;
    this.#logger = logger;
    this.#current = current;
    this.#delayMs = delayMs;
  }

  /** Hands what was kept to `take`. */
  async load(take: (news: News) => Promise<unknown>): Promise<void> {
    const text = await this.#files.read('members.json');
    if (text === undefined) return;
    try {
      const news = JSON.parse(text) as News;
      await take({ ...news, entries: news.entries.filter(({ record }) => record !== '') });
    } catch (error) {
      this.#logger.warn('the list of known members cannot be read; it comes back from the first member that answers', { reason: messageOf(error) });
    }
  }

  saveSoon(): void {
    this.#timer ??= setTimeout(() => this.#save(), this.#delayMs);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#timer !== undefined) this.#save();
    await this.#writing;
  }

  #save(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#isStale = true;
    this.#writing ??= this.#write().finally(() => (this.#writing = undefined));
  }

  /** One list at a time, however slow the disk is. */
  async #write(): Promise<void> {
    while (this.#isStale) {
      this.#isStale = false;
      await this.#files
        .write('members.json', JSON.stringify(this.#current()))
        .catch((error: unknown) => this.#logger.warn('the list of known members cannot be kept', { reason: messageOf(error) }));
    }
  }
}
