/** Words of the log's first page: which log this is a part of, and from where on the exchanges are. */
const [notedAt, slotsAt] = [9, 32];
/** More than can be done and not answered at any moment: an answer leaves in the turn in which its exchange was done. */
const slots = 64;

/**
 * Which exchanges of names (RENAME_EXCHANGE) were done, by the numbers that the kernel gave the requests. The kernel asks again for what a daemon that died had not answered, and an
 * exchange that is done twice is undone; nothing in the volume says how often it was done. A number counts once the log is published past its operation.
 */
export class NotedExchanges {
  readonly #head: Float64Array;
  /** What is not noted was not done. */
  #complete = false;

  /** @param head the first page of the log, as words. */
  constructor(head: Float64Array) {
    this.#head = head;
  }

  /** Of a log that begins anew. @param fresh the kernel waits for none that was asked for before. */
  begin(origin: number, fresh: boolean): void {
    this.#head.fill(0, slotsAt, slotsAt + 2 * slots);
    this.#head[notedAt] = fresh ? origin : 0;
    this.#complete = false;
  }

  /** Of a log that was taken over, published up to `until`. */
  resume(origin: number, until: number): void {
    for (let at = slotsAt; at < slotsAt + 2 * slots; at += 2) if (this.#head[at + 1]! > until) this.#head[at] = 0;
    // Other daemons than this kind noted nothing.
    this.#complete = this.#head[notedAt] === origin;
  }

  /** Before its operation is published, which makes the log reach to `position`. The lowest number gives way, so that of those that are gone it is known that they may have been done. */
  note(request: number, position: number): void {
    let lowest = slotsAt;
    for (let at = slotsAt; at < slotsAt + 2 * slots; at += 2) if (this.#head[at]! < this.#head[lowest]!) lowest = at;
    if (request < this.#head[lowest]!) return;
    // In this order: a process that dies in between leaves a number that does not count.
    this.#head[lowest + 1] = Infinity;
    this.#head[lowest] = request;
    this.#head[lowest + 1] = position;
  }

  /** Whether a daemon before did the exchange; undefined: that is not known. */
  done(request: number): boolean | undefined {
    let lowest = Infinity;
    for (let at = slotsAt; at < slotsAt + 2 * slots; at += 2) {
      if (this.#head[at] === request) return true;
      lowest = Math.min(lowest, this.#head[at]!);
    }
    return !this.#complete || request < lowest ? undefined : false;
  }
}
