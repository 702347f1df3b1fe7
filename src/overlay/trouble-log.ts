import type { Clock, Logger } from '../base/index.ts';
import { stopping, type Trouble } from './trouble.ts';

/** A trouble with the times (wall clock, milliseconds) at which it was first and last seen. */
export interface TroubleReport extends Trouble {
  readonly sinceMs: number;
  readonly lastMs: number;
}

/** What was not seen again for so long is over; a copied identity stays said until the daemon restarts. */
const forgetMs = 30_000;
const maxTroubles = 200;

/** Troubles that last, each said once in the log and shown while it lasts. */
export class TroubleLog {
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #reports = new Map<string, TroubleReport>();
  readonly #listeners = new Set<(trouble: Trouble) => void>();

  constructor(clock: Clock, logger: Logger) {
    this.#clock = clock;
    this.#logger = logger;
  }

  say(trouble: Trouble): void {
    const key = `${trouble.kind} ${trouble.about}`;
    const now = this.#clock.wallMs();
    const known = this.#reports.get(key);
    const lasting = known !== undefined && now - known.lastMs < forgetMs;
    if (known === undefined && this.#reports.size >= maxTroubles) this.#reports.delete(this.#reports.keys().next().value!);
    this.#reports.set(key, { ...trouble, sinceMs: lasting ? known.sinceMs : now, lastMs: now });
    if (!lasting) this.#logger.warn(headlines[trouble.kind], { about: trouble.about, reason: trouble.message });
    for (const listener of this.#listeners) listener(trouble);
  }

  current(): TroubleReport[] {
    const now = this.#clock.wallMs();
    return [...this.#reports.values()].filter(({ kind, lastMs }) => stopping.has(kind) || kind === 'clock' || now - lastMs < forgetMs);
  }

  /** What was said concerned a cluster that this host has nothing to do with any more. */
  forget(): void {
    this.#reports.clear();
  }

  /** A member has let this host in: whoever refused it before did so for what it had then. */
  forgetRefusals(): void {
    for (const [key, { kind }] of this.#reports) if (kind === 'denied') this.#reports.delete(key);
  }

  onTrouble(listener: (trouble: Trouble) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}

const headlines: Readonly<Record<Trouble['kind'], string>> = {
  unreachable: 'a host cannot be reached',
  denied: 'a host was refused, or refuses this one',
  'wrong-version': 'a host speaks another version',
  self: 'an address to join is this host itself',
  'duplicate-identity': 'two processes run with one identity',
  'older-state': 'a host came back with an older state directory',
  clock: "a host's clock is far from this one's",
  disputed: 'members do not agree who was expelled',
};
