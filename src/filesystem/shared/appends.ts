import type { FileSystem } from '../file-system.ts';
import { askedBy, currentAsker } from '../miss.ts';

/**
 * Writes to files that were opened with O_APPEND, of all hosts. A kernel places them at the end of the file as it last knew it; meanwhile another
 * host may have appended. So the place is chosen here, one write of a file after another.
 */
export class Appends {
  readonly #volume: FileSystem;
  readonly #tails = new Map<number, Promise<unknown>>();

  constructor(volume: FileSystem) {
    this.#volume = volume;
  }

  /** `data` must not change until the promise settles. */
  append(inode: number, handle: number, data: Uint8Array, killPrivileges: boolean): Promise<number> {
    const asker = currentAsker();
    const write = async (): Promise<number> => {
      const attributes = this.#volume.getattr(inode);
      const { size } = attributes instanceof Promise ? await attributes : attributes;
      return askedBy(asker, () => this.#volume.write(inode, handle, size, data, killPrivileges));
    };
    const done = (this.#tails.get(inode) ?? Promise.resolve()).then(write, write);
    this.#tails.set(inode, done);
    const settled = (): void => {
      if (this.#tails.get(inode) === done) this.#tails.delete(inode);
    };
    done.then(settled, settled);
    return done;
  }
}
