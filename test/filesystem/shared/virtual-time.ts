import type { Clock } from '../../../src/base/index.ts';

/** Turns of the event loop in which everything that is due is done. */
const turns = 20;

/** Time that passes when the test says so. */
export class VirtualTime {
  #nowMs = 1000;
  #sleepers: { readonly atMs: number; readonly wake: () => void }[] = [];

  readonly clock: Clock = { monotonicMs: () => this.#nowMs, wallMs: () => 1_700_000_000_000 + this.#nowMs };

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

  async pass(ms: number): Promise<void> {
    this.jump(ms);
    for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve));
  }
}
