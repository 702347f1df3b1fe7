/** How often it is looked whether the event loop is on time, in ms. */
const probeMs = 5;
/** The worst of so many ms counts. */
const windowMs = 100;
/** Held up for longer, in ms, clients notice. */
const heldUpMs = 3;
/** It is repair's doing only where it is so many times as long as while repair rests: a machine may be busy with other things. */
const timesRest = 1.3;
/** What is usual while repair rests is the average of about so many windows. */
const restWindows = 10;
/** After a window in which repair held it up, and after one in which it did not: together they let about one window of five be a bad one. */
const rise = 2;
const fall = 0.85;
const maxFactor = 4;
/** It is looked for so long after the last work, in ms: an idle host is not woken. */
const watchMs = 1000;
/** What another host said of itself holds so long, in ms. */
const toldMs = 500;

/**
 * By how much repair is too much for this host, or for one that it sends copies to: times as long as it worked that it is to rest. Whatever repair takes from clients
 * (processor time, memory that is collected, large frames before small ones) makes the event loop late, also on a host that only keeps copies for the clients of others.
 */
export class Strain {
  #factor = 1;
  #told = 1;
  #toldUntil = -Infinity;
  #timer: NodeJS.Timeout | undefined;
  #dueAt = 0;
  #windowEnd = 0;
  #watchedUntil = 0;
  /** Jobs at work, and whether there was one since the last look. */
  #working = 0;
  #worked = false;
  /** How late it was in this window at the worst, while repair worked and while it did not; and what that is usually. */
  #workWorst = 0;
  #restWorst = 0;
  #restMs = 0;
  readonly #now: () => number;

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** A job begins to work, until {@link ended}. */
  began(): void {
    this.#working++;
    this.#watch();
  }

  ended(): void {
    this.#working--;
  }

  /** A copy was taken from another host. Resolves to what is to be told to it: 1 where little is noticed, up to 4. */
  own(): number {
    this.#watch();
    return this.#factor;
  }

  /** A host that took a copy of this one says it of itself. */
  told(factor: number): void {
    const now = this.#now();
    this.#told = now < this.#toldUntil ? Math.max(this.#told, factor) : factor;
    this.#toldUntil = now + toldMs;
  }

  /** The greater of both. */
  get factor(): number {
    return Math.max(this.#factor, this.#now() < this.#toldUntil ? Math.min(this.#told, maxFactor) : 1);
  }

  /** In one window the loop was late by so many ms at the worst while repair worked, and is usually by so many while it rests. */
  take(workMs: number, restMs: number): void {
    const isHeldUp = workMs > Math.max(heldUpMs, restMs * timesRest);
    this.#factor = isHeldUp ? Math.min(maxFactor, this.#factor * rise) : Math.max(1, this.#factor * fall);
  }

  #watch(): void {
    const now = this.#now();
    this.#worked = true;
    this.#watchedUntil = now + watchMs;
    if (this.#timer !== undefined) return;
    [this.#dueAt, this.#windowEnd] = [now + probeMs, now + windowMs];
    this.#timer = setInterval(() => this.#probe(), probeMs).unref();
  }

  #probe(): void {
    const now = this.#now();
    const lateMs = now - this.#dueAt;
    this.#dueAt = now + probeMs;
    if (this.#worked) this.#workWorst = Math.max(this.#workWorst, lateMs);
    else this.#restWorst = Math.max(this.#restWorst, lateMs);
    this.#worked = this.#working > 0;
    if (now < this.#windowEnd) return;
    if (this.#restWorst > 0) this.#restMs += (this.#restWorst - this.#restMs) / restWindows;
    this.take(this.#workWorst, this.#restMs);
    [this.#windowEnd, this.#workWorst, this.#restWorst] = [now + windowMs, 0, 0];
    if (this.#working > 0 || now < this.#watchedUntil) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#factor = 1;
  }
}
