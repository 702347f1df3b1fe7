/** Weights of the newest answer in the mean and in the deviation, and how many deviations above the mean are still to be expected (RFC 6298, as TCP does). */
const meanGain = 1 / 8;
const deviationGain = 1 / 4;
const deviations = 4;
/** Where answers come in bursts, each takes as long as the others and the next burst a little longer: so many times the mean is nothing unusual. */
const patience = 3;
/** No answer is waited for longer than this before it is asked for again, in ms. */
const maxMs = 1000;

/**
 * How long other hosts take to answer these days, so that a busy cluster is not made busier by questions that are asked again while their answers are on their way.
 * Connections lose nothing while they last, and when one is made anew all that waits is asked again at once.
 */
export class AnswerPace {
  #meanMs = 0;
  #deviationMs = 0;

  /** An answer came after so long. */
  took(ms: number): void {
    const off = ms - this.#meanMs;
    this.#meanMs += off * meanGain;
    this.#deviationMs += (Math.abs(off) - this.#deviationMs) * deviationGain;
  }

  /** After so long an answer is late, in ms. */
  get lateMs(): number {
    return Math.min(Math.max(patience * this.#meanMs, this.#meanMs + deviations * this.#deviationMs), maxMs);
  }
}
