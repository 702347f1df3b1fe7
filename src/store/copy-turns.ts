import { InfinitError } from '../base/index.ts';

/** Copies of other hosts that are written at once while clients are at work: what these write waits on the disk behind all that came before. */
const atOnceWhileBusy = 1;
/** Copies that wait for their turn, of 1 MiB mostly. Each host sends a few at once. */
const maxWaiting = 64;

/** Copies that other hosts' repair sends are written one after another while clients are at work, and as they come else. */
export class CopyTurns {
  readonly #isBusy: () => boolean;
  readonly #waiting: (() => void)[] = [];
  #writing = 0;

  constructor(isBusy: () => boolean) {
    this.#isBusy = isBusy;
  }

  /** @throws InfinitError `overloaded` where too many wait. */
  async run(write: () => Promise<unknown>): Promise<void> {
    while (this.#writing >= atOnceWhileBusy && this.#isBusy()) {
      if (this.#waiting.length >= maxWaiting) throw new InfinitError('overloaded', `${maxWaiting} copies wait to be written on this host`);
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    this.#writing++;
    try {
      await write();
    } finally {
      this.#writing--;
      // All of them where nobody is at work any longer.
      for (const go of this.#waiting.splice(0, this.#isBusy() ? 1 : maxWaiting)) go();
    }
  }
}
