import { InfinitError } from '../base/index.ts';
import type { Disk, DiskOperation } from '../disk/index.ts';

/** Where the disk keeps the acceptor's floor. */
const floorKey = 'acceptor/floor';

/** The acceptor's floor on its host's disk: there no later than the state that was forgotten under it is gone. */
export class DurableFloor {
  readonly #disk: Disk;
  /** It was raised and is to be written along with what comes next. */
  unsaved = false;
  /** The write that makes it durable; undefined: it is. */
  durable: Promise<void> | undefined;

  /** What the disk has, whatever was raised since. */
  #saved: number;

  /** @param saved What the disk remembers. */
  constructor(disk: Disk, saved: number) {
    this.#disk = disk;
    this.#saved = saved;
  }

  get saved(): number {
    return this.#saved;
  }

  /** What the disk remembers; 0: nothing yet. @throws InfinitError `damaged`. */
  static async load(disk: Disk): Promise<number> {
    const bytes = await disk.readMeta(floorKey);
    if (bytes === undefined) return 0;
    const floor = Number(Buffer.from(bytes).toString('utf8'));
    if (!Number.isSafeInteger(floor) || floor < 0) throw new InfinitError('damaged', 'the acceptor’s floor on this disk is no number');
    return floor;
  }

  /** False while what may be forgotten under it must be written along with it: a write of it that is under way may fail, and what follows not. */
  get isDurable(): boolean {
    return !this.unsaved && this.durable === undefined;
  }

  /** Makes the floor durable, and these operations no earlier. */
  save(floor: number, operations: readonly DiskOperation[]): Promise<void> {
    // A round is below 2^53: eight bytes as a little-endian double would do, digits are plainer to look at.
    const write = this.#disk.write([{ type: 'put-meta', key: floorKey, bytes: Buffer.from(String(floor)) }, ...operations]);
    this.unsaved = false;
    this.durable = write;
    const settled = (failed: boolean): void => {
      if (failed) this.unsaved = true;
      if (this.durable === write) this.durable = undefined;
    };
    write.then(
      () => {
        this.#saved = Math.max(this.#saved, floor);
        settled(false);
      },
      () => settled(true),
    );
    return write;
  }
}
