import type { SeededRandom } from './random.ts';
import type { Settings } from './settings.ts';

/** Links between hosts: who hears whom, and when. Messages between a host and itself are calls, not messages. */
export class Network {
  readonly #random: SeededRandom;
  readonly #settings: Settings;
  readonly #hosts: number;
  /** Cuts that stand on each directed link: several faults may overlap. */
  readonly #cuts: Int16Array;
  readonly #slow: Float64Array;
  #faultless = false;

  constructor(settings: Settings, random: SeededRandom) {
    this.#settings = settings;
    this.#random = random;
    this.#hosts = settings.hosts;
    this.#cuts = new Int16Array(settings.hosts * settings.hosts);
    this.#slow = new Float64Array(settings.hosts);
  }

  /** When a message sent now arrives, in ms from now; negative: never. */
  delay(from: number, to: number): number {
    const { loss, delayMs, jitterMs, straggling, stragglerMs } = this.#settings;
    const random = this.#random;
    if (this.#faultless) return delayMs + jitterMs * random.unit();
    if (this.#cuts[from * this.#hosts + to]! > 0 || random.chance(loss)) return -1;
    const slow = this.#slow[from]! + this.#slow[to]!;
    const late = random.chance(straggling) ? random.unit() * stragglerMs : 0;
    return delayMs + 2 * jitterMs * random.unit() * random.unit() + slow * random.unit() + late;
  }

  /** Whether a message comes twice. */
  doubles(): boolean {
    return !this.#faultless && this.#random.chance(this.#settings.doubling);
  }

  cut(from: number, to: number, count: 1 | -1): void {
    if (from !== to) this.#cuts[from * this.#hosts + to]! += count;
  }

  slow(host: number, ms: number): void {
    this.#slow[host]! += ms;
  }

  /** From now on nothing is lost, doubled or late. */
  heal(): void {
    this.#faultless = true;
  }
}
