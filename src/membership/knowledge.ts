import { InfinitError } from '../base/index.ts';
import type { Disk, DiskOperation } from '../disk/index.ts';
import type { PeerId } from '../overlay/index.ts';
import { decodeRosterState, encodeRosterState, type RosterState } from './roster-state.ts';
import { adopt, type Knowledge, type Standing } from './standing.ts';

/** Where the disk keeps what this host knows, and for how long others have been silent. */
const knowledgeKey = 'membership';
const silenceKey = 'membership/silence';
/** Says that this host is about to found a cluster: should it not come to know its first view, it is the one that makes it. */
const foundingKey = 'membership/founding';

const standings: readonly Standing[] = ['stranger', 'fresh', 'member', 'outcast'];

/** What this host knows of the views: on the disk before it counts. Changes come one at a time. */
export class DurableKnowledge {
  readonly #disk: Disk;
  readonly #self: PeerId;
  #current: Knowledge;
  #turn: Promise<unknown> = Promise.resolve();

  private constructor(disk: Disk, self: PeerId, current: Knowledge) {
    this.#disk = disk;
    this.#self = self;
    this.#current = current;
  }

  static async open(disk: Disk, self: PeerId): Promise<DurableKnowledge> {
    const bytes = await disk.readMeta(knowledgeKey);
    return new DurableKnowledge(disk, self, bytes === undefined ? { standing: 'stranger', state: undefined } : decode(bytes));
  }

  get current(): Knowledge {
    return this.#current;
  }

  /** Learns of a state. True where it was news. */
  learn(state: RosterState): Promise<boolean> {
    return this.#change((known) => adopt(known, state, this.#self));
  }

  /** This host holds nothing that could contradict anybody any longer. */
  becomeFresh(): Promise<boolean> {
    return this.#change((known) => (known.standing === 'outcast' || known.standing === 'stranger' ? { ...known, standing: 'fresh' } : known));
  }

  async intendToFound(really: boolean): Promise<void> {
    await this.#disk.write([really ? { type: 'put-meta', key: foundingKey, bytes: new Uint8Array(1) } : { type: 'delete-meta', key: foundingKey }]);
  }

  async intendsToFound(): Promise<boolean> {
    return (await this.#disk.readMeta(foundingKey)) !== undefined;
  }

  found(state: RosterState): Promise<boolean> {
    return this.#change((known) => (known.state === undefined ? { standing: 'member', state } : known), { type: 'delete-meta', key: foundingKey });
  }

  async loadSilence(): Promise<[PeerId, number][]> {
    const bytes = await this.#disk.readMeta(silenceKey);
    return bytes === undefined ? [] : (JSON.parse(Buffer.from(bytes).toString('utf8')) as [PeerId, number][]);
  }

  async saveSilence(entries: [PeerId, number][]): Promise<void> {
    await this.#disk.write([{ type: 'put-meta', key: silenceKey, bytes: Buffer.from(JSON.stringify(entries)) }]);
  }

  #change(step: (known: Knowledge) => Knowledge, ...along: readonly DiskOperation[]): Promise<boolean> {
    const done = this.#turn.then(async () => {
      const learnt = step(this.#current);
      if (learnt === this.#current) return false;
      await this.#disk.write([{ type: 'put-meta', key: knowledgeKey, bytes: encode(learnt) }, ...along]);
      this.#current = learnt;
      return true;
    });
    this.#turn = done.catch(() => {});
    return done;
  }
}

function encode({ standing, state }: Knowledge): Uint8Array {
  return Buffer.from(JSON.stringify({ standing, state: state === undefined ? null : Buffer.from(encodeRosterState(state)).toString('utf8') }));
}

function decode(bytes: Uint8Array): Knowledge {
  const { standing, state } = JSON.parse(Buffer.from(bytes).toString('utf8')) as { standing: Standing; state: string | null };
  if (!standings.includes(standing)) throw new InfinitError('damaged', 'what this host knows of the roster cannot be read');
  return { standing, state: state === null ? undefined : decodeRosterState(Buffer.from(state)) };
}
