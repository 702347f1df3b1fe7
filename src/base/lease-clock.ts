import type { Clock } from './clock.ts';

/**
 * The clock by which this host trusts what others promised it for a time: its leases, and its say. The monotonic clock stands still while a machine is suspended, and a host that slept must not
 * take its leases for young: this one goes on by whichever clock went further, the monotonic or the wall's. A wall clock that is set
 * forward ends leases early, which does no harm.
 */
export class LeaseClock {
  readonly #clock: Clock;
  #monotonic: number;
  #wall: number;
  #now: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#monotonic = clock.monotonicMs();
    this.#wall = clock.wallMs();
    this.#now = this.#monotonic;
  }

  now(): number {
    const monotonic = this.#clock.monotonicMs();
    const wall = this.#clock.wallMs();
    this.#now += Math.max(monotonic - this.#monotonic, wall - this.#wall, 0);
    this.#monotonic = monotonic;
    this.#wall = wall;
    return this.#now;
  }
}
