import type { Inode } from '../inodes/inode.ts';

/** Of many only the last are asked about: what was removed earlier was given back long ago, or a program has it open. */
const maxAsked = 16;
/** Nobody waits for longer, in ms. The kernel may be writing out such a file's pages before it lets go of it. */
const patienceMs = 1000;

/**
 * Files that lost their last name while the kernel had them. It gives an unused one back at once, and says so behind requests that came later: on a busy machine
 * a program that has removed a file can be heard before the room of that file is known to be free.
 */
export class Leaving {
  readonly #inodes = new Set<Inode>();
  /** Told when it is gone. */
  readonly #waiting = new Map<Inode, () => void>();
  #asking: Promise<void> | undefined;
  /** In this turn of the event loop. */
  #asked = false;

  add(inode: Inode): void {
    this.#inodes.add(inode);
  }

  gone(inode: Inode): void {
    this.#inodes.delete(inode);
    this.#waiting.get(inode)?.();
  }

  /**
   * Resolves when those that the kernel does not have any more are gone. undefined: there are none, or it was asked just now.
   * @param holds asks the kernel.
   */
  settled(holds: (inode: number) => Promise<boolean>): Promise<void> | undefined {
    if (this.#asked || this.#inodes.size === 0) return undefined;
    this.#asking ??= this.#settle(holds).finally(() => {
      this.#asking = undefined;
      this.#asked = true;
      setImmediate(() => (this.#asked = false));
    });
    return this.#asking;
  }

  async #settle(holds: (inode: number) => Promise<boolean>): Promise<void> {
    // Linked again, as a file without a name can be.
    for (const inode of this.#inodes) if (inode.links > 0) this.#inodes.delete(inode);
    const asked = [...this.#inodes].slice(-maxAsked);
    const { promise: late, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, patienceMs);
    await Promise.race([late, Promise.all(asked.map((inode) => this.#settleOne(inode, holds)))]);
    clearTimeout(timer);
    this.#waiting.clear();
  }

  async #settleOne(inode: Inode, holds: (inode: number) => Promise<boolean>): Promise<void> {
    if ((await holds(inode.number)) || inode.gone) return;
    await new Promise<void>((resolve) => this.#waiting.set(inode, resolve));
  }
}
