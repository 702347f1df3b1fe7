/** Events by time, those of one time in the order of their insertion: a binary heap without allocation per event. */
export class EventHeap<T> {
  #times = new Float64Array(1024);
  #order = new Float64Array(1024);
  readonly #events: (T | undefined)[] = [];
  #size = 0;
  #inserted = 0;

  get size(): number {
    return this.#size;
  }

  /** The time of the event that comes next; Infinity where there is none. */
  get nextTime(): number {
    return this.#size === 0 ? Infinity : this.#times[0]!;
  }

  push(time: number, event: T): void {
    if (this.#size === this.#times.length) this.#grow();
    const order = this.#inserted++;
    const times = this.#times;
    const orders = this.#order;
    const events = this.#events;
    let at = this.#size++;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const parentTime = times[parent]!;
      if (parentTime < time || (parentTime === time && orders[parent]! < order)) break;
      times[at] = parentTime;
      orders[at] = orders[parent]!;
      events[at] = events[parent];
      at = parent;
    }
    times[at] = time;
    orders[at] = order;
    events[at] = event;
  }

  /** Removes and returns the next event; there must be one. */
  pop(): T {
    const times = this.#times;
    const orders = this.#order;
    const events = this.#events;
    const first = events[0]!;
    const last = --this.#size;
    const time = times[last]!;
    const order = orders[last]!;
    const event = events[last];
    events[last] = undefined;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= last) break;
      const right = child + 1;
      if (right < last && before(times[right]!, orders[right]!, times[child]!, orders[child]!)) child = right;
      if (before(time, order, times[child]!, orders[child]!)) break;
      times[at] = times[child]!;
      orders[at] = orders[child]!;
      events[at] = events[child];
      at = child;
    }
    if (last > 0) {
      times[at] = time;
      orders[at] = order;
      events[at] = event;
    }
    return first;
  }

  #grow(): void {
    const times = new Float64Array(this.#times.length * 2);
    times.set(this.#times);
    this.#times = times;
    const order = new Float64Array(this.#order.length * 2);
    order.set(this.#order);
    this.#order = order;
  }
}

function before(time: number, order: number, otherTime: number, otherOrder: number): boolean {
  return time < otherTime || (time === otherTime && order < otherOrder);
}
