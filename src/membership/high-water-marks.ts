import { type Logger, RecentMap, systemRandom } from '../base/index.ts';
import type { Disk } from '../disk/index.ts';
import type { PeerId } from '../overlay/index.ts';
import type { Heard, Marks } from './messages.ts';

/** Where the disk keeps them. */
const marksKey = 'membership/marks';
/**
 * They are kept so often, in ms, each time as they were the time before: a disk that did not write out what it had acknowledged loses some 35 s with its power (Linux: dirty_expire_centisecs and its period),
 * and where all lose it at once none is to be kept out for that.
 */
const keepEveryMs = 60_000;
/** Fewer records than that are not worth a write, which is a record itself. */
const worthKeeping = 16;
/** Hosts that are remembered, at least those heard last; as many again may be in memory. */
const maxKept = 1024;

export interface HighWaterMarksOptions {
  readonly self: PeerId;
  readonly disk: Pick<Disk, 'written' | 'readMeta' | 'write'>;
  /** Whose word counts about this host: who may store, and so can do worse. */
  readonly mayTell: (peer: PeerId) => boolean;
  /** Told of a host, or of this one, that opened a disk with fewer records than it once had. */
  readonly onWentBack: (peer: PeerId, missing: number) => void;
  readonly logger: Logger;
}

interface Memory extends Heard {
  readonly peer: PeerId;
  /** The run before: what it said may be heard late. */
  readonly ended: string | undefined;
}

/** One of them on the disk. */
type Kept = readonly [peer: PeerId, run: string, most: number, before: number];

/**
 * How much each host has written to its disk, as it said last. A disk that was put back to an earlier time (a snapshot, a backup, one that lost what it had acknowledged) has forgotten what
 * its host promised since, and nothing on it tells; the others remember that there was more, also across their own restarts (docs/decisions/older-state.md).
 */
export class HighWaterMarks {
  readonly #options: HighWaterMarksOptions;
  readonly #run = Buffer.from(systemRandom.bytes(8)).toString('hex');
  /** A run begins with a few records of its own, which must not make up for those that are gone. */
  readonly #opened: number;
  readonly #memory = new RecentMap<PeerId, Memory>(2 * maxKept);
  #kept: ReadonlyMap<PeerId, number>;
  /** What is kept the next time. */
  #next: readonly Kept[] = [];
  #keptAt = -Infinity;

  private constructor(options: HighWaterMarksOptions, opened: number, kept: readonly Kept[]) {
    this.#options = options;
    this.#opened = opened;
    for (const [peer, run, most, before] of kept) this.#memory.set(peer, { peer, run, most, before, ended: undefined });
    this.#kept = new Map(kept.map(([peer, , most]) => [peer, most]));
  }

  /** Before anything is written in this run. */
  static async open(options: HighWaterMarksOptions): Promise<HighWaterMarks> {
    const { written } = options.disk;
    const bytes = await options.disk.readMeta(marksKey);
    return new HighWaterMarks(options, written, bytes === undefined ? [] : (JSON.parse(Buffer.from(bytes).toString('utf8')) as Kept[]));
  }

  /** Keeps them, now and then. @param now By the monotonic clock, ms. */
  keep(now: number): void {
    if (now - this.#keptAt < keepEveryMs) return;
    this.#keptAt = now;
    const due = this.#next;
    this.#next = this.#all();
    if (due.some(([peer, , most]) => most - (this.#kept.get(peer) ?? 0) >= worthKeeping)) void this.#save(due);
  }

  /** The host stops in order: its disk has what the others heard of it. Never rejects. */
  close(): Promise<void> {
    return this.#save(this.#all());
  }

  #all(): readonly Kept[] {
    const { mayTell } = this.#options;
    const hosts = this.#memory.values().filter(({ peer }) => mayTell(peer));
    return hosts.slice(-maxKept).map(({ peer, run, most, before }) => [peer, run, most, before]);
  }

  async #save(marks: readonly Kept[]): Promise<void> {
    if (marks.every(([peer, , most]) => this.#kept.get(peer) === most)) return;
    const { disk, logger } = this.#options;
    try {
      await disk.write([{ type: 'put-meta', key: marksKey, bytes: Buffer.from(JSON.stringify(marks)) }]);
      this.#kept = new Map(marks.map(([peer, , most]) => [peer, most]));
    } catch (error) {
      logger.debug('how much other hosts have written was not kept', { error });
    }
  }

  toTell(peer: PeerId): Marks {
    const written = { run: this.#run, opened: this.#opened, now: this.#options.disk.written };
    const known = this.#memory.get(peer);
    return known === undefined ? { written } : { written, heard: { run: known.run, most: known.most, before: known.before } };
  }

  hear(peer: PeerId, { written, heard }: Marks): void {
    const { self, mayTell, onWentBack } = this.#options;
    if (heard !== undefined && mayTell(peer)) {
      const had = heard.run === this.#run ? heard.before : Math.max(heard.before, heard.most);
      if (had > this.#opened) onWentBack(self, had - this.#opened);
    }
    if (written === undefined) return;
    const { run, opened, now } = written;
    const known = this.#memory.get(peer);
    if (known?.ended === run) return;
    const before = known === undefined || known.run === run ? (known?.before ?? 0) : Math.max(known.before, known.most);
    if (opened < before) onWentBack(peer, before - opened);
    const [most, ended] = known?.run === run ? [Math.max(known.most, now), known.ended] : [now, known?.run];
    this.#memory.set(peer, { peer, run, most, before, ended });
  }
}
