import type { Ballast } from './ballast.ts';
import type { Compactor } from './compactor.ts';
import type { Health } from './health.ts';
import type { IndexKeeper } from './index-keeper.ts';
import type { RecentTable } from './recent-table.ts';
import type { Segments } from './segments.ts';

/** A disk is calm after so many ticks in a row with no more groups than these: leases are renewed each second. */
const calmTicks = 10;
const calmGroups = 16;
/** Whether the files of the log are there is looked at after a tick with writes, and after so many without. */
const lookTicks = 60;

interface Parts {
  readonly segments: Segments;
  readonly recent: RecentTable;
  readonly health: Health;
  readonly ballast: Ballast;
  readonly keeper: IndexKeeper;
  readonly compactor: Compactor;
  readonly tickMs: number;
}

/** What an open store sees to at each tick, beside the writes: free space, files that are gone, the ballast, the checkpoint of an idle store, compaction. */
export class Housekeeping {
  readonly #parts: Parts;
  readonly #timer: NodeJS.Timeout;
  #ticking: Promise<void> | undefined;
  #groups = 0;
  #groupsAtTick = 0;
  #calmTicks = 0;
  #ticksToLook = 0;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#timer = setInterval(() => void (this.#ticking ??= this.#tick()), parts.tickMs).unref();
  }

  /** A group was written. */
  noteGroup(): void {
    this.#groups++;
  }

  /** Little has been written for a while. */
  get isCalm(): boolean {
    return this.#calmTicks >= calmTicks;
  }

  /** No tick begins from now on. Resolves when the one under way is over. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#ticking;
  }

  async #tick(): Promise<void> {
    const { recent, health, ballast, keeper, compactor } = this.#parts;
    try {
      await health.refresh();
      const idle = this.#groups === this.#groupsAtTick;
      await this.#lookForFiles(idle);
      if (health.hasReserve) await ballast.make();
      this.#calmTicks = this.#groups - this.#groupsAtTick <= calmGroups ? this.#calmTicks + 1 : 0;
      this.#groupsAtTick = this.#groups;
      // Only what is indexed can be compacted, and a full disk is hardly ever idle: what found no room is tried again.
      if (((idle || health.state === 'full') && recent.size > 0) || keeper.isBroken) await keeper.checkpoint();
      compactor.start();
    } catch {
      // The state says why.
    } finally {
      this.#ticking = undefined;
    }
  }

  /** Files that are gone from their directory are written and read as before: the kernel keeps them until the daemon ends. */
  async #lookForFiles(idle: boolean): Promise<void> {
    if (idle && --this.#ticksToLook > 0) return;
    this.#ticksToLook = lookTicks;
    const lost = await this.#parts.segments.findLost();
    if (lost !== undefined) this.#parts.health.lost(lost);
    await this.#parts.ballast.look();
  }
}
