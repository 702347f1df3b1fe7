import { systemRandom } from '../base/index.ts';
import type { Disk } from '../disk/index.ts';
import type { PeerId } from '../overlay/index.ts';
import type { Heard, Marks } from './messages.ts';

export interface HighWaterMarksOptions {
  readonly self: PeerId;
  readonly disk: Pick<Disk, 'written'>;
  /** Whose word counts about this host: who may store, and so can do worse. */
  readonly mayTell: (peer: PeerId) => boolean;
  /** Told of a host, or of this one, that opened a disk with fewer records than it once had. */
  readonly onWentBack: (peer: PeerId, missing: number) => void;
}

interface Memory extends Heard {
  /** The run before: what it said may be heard late. */
  readonly ended: string | undefined;
}

/**
 * How much each host has written to its disk, as it said last. A disk that was put back to an earlier time (a snapshot, a backup, one that lost what it had acknowledged) has forgotten what
 * its host promised since, and nothing on it tells; the others remember that there was more. In memory only: where all lost power, and with it the last that they wrote, nobody is kept out.
 */
export class HighWaterMarks {
  readonly #options: HighWaterMarksOptions;
  readonly #run = Buffer.from(systemRandom.bytes(8)).toString('hex');
  /** A run begins with a few records of its own, which must not make up for those that are gone. */
  readonly #opened: number;
  readonly #memory = new Map<PeerId, Memory>();

  /** Before anything is written in this run. */
  constructor(options: HighWaterMarksOptions) {
    this.#options = options;
    this.#opened = options.disk.written;
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
    this.#memory.set(peer, { run, most, before, ended });
  }
}
