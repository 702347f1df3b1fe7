import type { Disk } from '../disk/index.ts';
import type { Overlay, PeerId } from '../overlay/index.ts';
import { nodeKinds } from './kinds.ts';

/** How often the room is looked at, in ms. */
const lookMs = 5000;
/** Hosts asked in one look; of more, others the next time. */
const maxAsked = 16;
const deadlineMs = 2000;

/**
 * How much the store still takes, for statfs: the free space of all hosts that store, over the
 * copies that each block has, and no more than leaves room for a majority of them. Hosts that did not answer yet count as free as the others. An
 * estimate: what really fits depends on where blocks fall.
 */
export class StoreSpace implements Disposable {
  /** One float, shared with the volumes' threads. */
  readonly freeBytes = new SharedArrayBuffer(Float64Array.BYTES_PER_ELEMENT);
  readonly #free = new Float64Array(this.freeBytes);
  readonly #disk: Disk;
  readonly #overlay: Overlay;
  readonly #replicas: () => number;
  readonly #timer: NodeJS.Timeout;
  /** Free space that other hosts told. */
  readonly #told = new Map<PeerId, number>();
  #hasRoom = true;
  #next = 0;

  /** @param replicas How many copies of each block the cluster wants: what its founder was told counts, not this host's own option. */
  constructor(disk: Disk, overlay: Overlay, replicas: () => number) {
    this.#disk = disk;
    this.#overlay = overlay;
    this.#replicas = replicas;
    overlay.transport.handle(nodeKinds.space, () => {
      const answer = Buffer.alloc(8);
      answer.writeDoubleLE(this.#own);
      return answer;
    });
    this.#estimate();
    this.#timer = setInterval(() => void this.look(), lookMs);
    this.#timer.unref();
  }

  /** This host has at least half as much free space as others have on average, as far as they told. */
  get hasRoom(): boolean {
    return this.#hasRoom;
  }

  /** What this host takes: nothing once it is full, though a little may be free. */
  get #own(): number {
    const { state, freeBytes } = this.#disk.status();
    return state === 'read-only' ? 0 : freeBytes;
  }

  /** Asks some of the others. */
  async look(): Promise<void> {
    const peers = this.#stores();
    const asked = Array.from({ length: Math.min(maxAsked, peers.length) }, (_, index) => peers[(this.#next + index) % peers.length]!);
    this.#next += maxAsked;
    const { transport } = this.#overlay;
    await Promise.allSettled(
      asked.map(async (peer) => {
        const answer = await transport.request(peer, nodeKinds.space, new Uint8Array(0), { deadlineMs });
        const free = freeBytesIn(answer);
        if (free === undefined) this.#told.delete(peer);
        else this.#told.set(peer, free);
      }),
    );
    this.#estimate();
  }

  #estimate(): void {
    const others = this.#stores();
    for (const peer of this.#told.keys()) if (!others.includes(peer)) this.#told.delete(peer);
    const own = this.#overlay.member(this.#overlay.self)!.capacity > 0 ? [this.#own] : [];
    const hosts = others.length + own.length;
    const told = [...own, ...this.#told.values()];
    // Who stores nothing and was told nothing yet guesses that others have as much room: none would stop programs that look first.
    const known = told.length === 0 ? [this.#own] : told;
    const mean = known.reduce((sum, free) => sum + free, 0) / known.length;
    this.#hasRoom = 2 * this.#own >= mean;
    const all = Array.from({ length: hosts }, (_, index) => known[index] ?? mean);
    const copies = Math.min(this.#replicas(), hosts);
    this.#free[0] = hosts === 0 ? 0 : Math.min((mean * hosts) / copies, roomFor(all, Math.floor(copies / 2) + 1));
  }

  /** Other hosts that store blocks and are connected. */
  #stores(): PeerId[] {
    const { transport } = this.#overlay;
    return this.#overlay.members().flatMap(({ peer, self, capacity }) => (!self && capacity > 0 && transport.isConnected(peer) ? [peer] : []));
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}

/** What a peer told, any eight bytes; undefined where it is no number of bytes. One of those in a mean would make all of it nonsense. */
function freeBytesIn(answer: Uint8Array): number | undefined {
  const free = Buffer.from(answer).readDoubleLE();
  return free >= 0 && free <= Number.MAX_SAFE_INTEGER ? free : undefined;
}

/**
 * The most blocks that fit when each needs so many copies on different hosts: however empty one host is, it takes one copy of each. With x blocks a host of
 * less room than x is full, the others hold all of them: the largest x for which that makes enough copies.
 */
function roomFor(free: readonly number[], copies: number): number {
  const ascending = free.toSorted((one, other) => one - other);
  let full = 0;
  for (const [index, room] of ascending.entries()) {
    full += room;
    const missing = copies - (ascending.length - index - 1);
    if (missing > 0 && full / missing <= (ascending[index + 1] ?? Infinity)) return full / missing;
  }
  return 0;
}
