import type { VirtualTime } from './virtual-time.ts';

/** The ways between the host that serves a volume and its guests: each message takes some time, and longer where a guest is cut off. */
export class Ways {
  readonly #time: VirtualTime;
  readonly #chance: () => number;
  readonly #cutUntil = new Map<number, number>();

  constructor(time: VirtualTime, chance: () => number) {
    this.#time = time;
    this.#chance = chance;
  }

  /** From now on what comes and goes waits for so long. */
  cut(peer: number, ms: number): void {
    this.#cutUntil.set(peer, this.#time.clock.monotonicMs() + ms);
  }

  leftOfCut(peer: number): number {
    return (this.#cutUntil.get(peer) ?? 0) - this.#time.clock.monotonicMs();
  }

  get someIsCut(): boolean {
    return [...this.#cutUntil.keys()].some((peer) => this.leftOfCut(peer) > 0);
  }

  /** A message to or from a guest. */
  async pass(peer: number): Promise<void> {
    await this.#time.sleep(Math.floor(this.#chance() * 20));
    for (let left = this.leftOfCut(peer); left > 0; left = this.leftOfCut(peer)) await this.#time.sleep(left);
  }

  /** There and back. */
  async roundTrip<T>(peer: number, job: () => Promise<T>): Promise<T> {
    await this.pass(peer);
    const answer = await job();
    await this.pass(peer);
    return answer;
  }
}
