import { mock } from 'node:test';

import type { Clock } from '../../../src/base/index.ts';

/** Turns of the event loop in which everything that is due is done. */
const turns = 20;

/** So fast time goes where nothing much happens, in ms. */
const quietTickMs = 20;

/** Time that passes when the test says so. */
export class VirtualTime {
  #nowMs = 1000;
  #sleepers: { readonly atMs: number; readonly wake: () => void }[] = [];

  #lookMs = 0;
  #tickMs = 1;

  readonly clock: Clock = { monotonicMs: () => (this.#nowMs += this.#lookMs), wallMs: () => 1_700_000_000_000 + this.#nowMs };

  sleep(ms: number): Promise<void> {
    return new Promise((wake) => this.#sleepers.push({ atMs: this.#nowMs + ms, wake }));
  }

  /** Time alone: nobody gets a turn. */
  jump(ms: number): void {
    this.#nowMs += ms;
    const due = this.#sleepers.filter(({ atMs }) => atMs <= this.#nowMs);
    this.#sleepers = this.#sleepers.filter(({ atMs }) => atMs > this.#nowMs);
    for (const { wake } of due) wake();
  }

  /** Timers and the clock of the process are of this time as well, until it ends: how fast the machine is makes no difference then. */
  rule(): void {
    mock.timers.enable({ apis: ['setTimeout'] });
    mock.method(performance, 'now', () => this.clock.monotonicMs());
  }

  /** So many milliseconds pass of a time that rules: one, or more while nothing much happens. */
  tick(): void {
    this.jump(this.#tickMs);
    mock.timers.tick(this.#tickMs);
  }

  /** Nothing much happens for so long. */
  async quiet(ms: number): Promise<void> {
    this.#tickMs = quietTickMs;
    await this.sleep(ms);
    this.#tickMs = 1;
  }

  /** The run is over. What it left on its way tries again until a deadline, for ever if time stood still: so each look at the clock takes a second. */
  end(): void {
    this.#lookMs = 1000;
    mock.reset();
  }

  async pass(ms: number): Promise<void> {
    this.jump(ms);
    for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve));
  }
}
