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
  #saving: NodeJS.Timeout | undefined;
  #saved: Promise<void> = Promise.resolve();

  /** @param current What is to be written. */
  constructor(files: StateFiles, logger: Logger, current: () => News) {
    this.#files = files;
    this.#logger = logger;
    this.#current = current;
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
    this.#saving ??= setTimeout(() => this.#save(), saveDelayMs);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#saving !== undefined) this.#save();
    await this.#saved;
  }

  #save(): void {
    clearTimeout(this.#saving);
    this.#saving = undefined;
    const text = JSON.stringify(this.#current());
    this.#saved = this.#saved
      .then(() => this.#files.write('members.json', text))
      .catch((error: unknown) => this.#logger.warn('the list of known members cannot be kept', { reason: messageOf(error) }));
  }
}
