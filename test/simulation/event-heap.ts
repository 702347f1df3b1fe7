/**
 * Events by time, those of one time in the order of their insertion. A heap of four children a node, which is half as deep as one of two, over numbers
 * alone: events stay where they were put, so that sifting moves no references. What is to happen at this very moment goes past the heap.
 */
export class EventHeap<T> {
  #times = new Float64Array(1024);
  #order = new Float64Array(1024);
  #slots = new Int32Array(1024);
  readonly #events: (T | undefined)[] = [];
  readonly #free: number[] = [];
  #size = 0;
  #inserted = 0;
  /** Events for the moment that has come, after those of the heap for it: they were inserted later. */
  #now = -Infinity;
  readonly #immediate: (T | undefined)[] = [];
  #waiting = 0;
  #served = 0;

  get size(): number {
    return this.#size + this.#waiting - this.#served;
  }

  /** The time of the event that comes next; Infinity where there is none. */
  get nextTime(): number {
    if (this.#served < this.#waiting) return this.#now;
    return this.#size === 0 ? Infinity : this.#times[0]!;
  }

  push(time: number, event: T): void {
    if (time === this.#now) {
      this.#immediate[this.#waiting++] = event;
      return;
    }
    if (this.#size === this.#times.length) this.#grow();
    const slot = this.#free.pop() ?? this.#events.length;
    this.#events[slot] = event;
    this.#siftUp(this.#size++, time, this.#inserted++, slot);
  }

  /** Removes and returns the next event; there must be one. */
  pop(): T {
    if (this.#served < this.#waiting && !(this.#size > 0 && this.#times[0]! <= this.#now)) return this.#popImmediate();
    this.#now = this.#times[0]!;
    const slot = this.#slots[0]!;
    const event = this.#events[slot]!;
    this.#events[slot] = undefined;
    this.#free.push(slot);
    const last = --this.#size;
    if (last > 0) this.#siftDown(this.#times[last]!, this.#order[last]!, this.#slots[last]!);
    return event;
  }

  #popImmediate(): T {
    const event = this.#immediate[this.#served]!;
    this.#immediate[this.#served++] = undefined;
    if (this.#served === this.#waiting) this.#served = this.#waiting = 0;
    return event;
  }

  #siftUp(from: number, time: number, order: number, slot: number): void {
    const times = this.#times;
    const orders = this.#order;
    const slots = this.#slots;
    let at = from;
    while (at > 0) {
      const parent = (at - 1) >> 2;
      const parentTime = times[parent]!;
      if (parentTime < time || (parentTime === time && orders[parent]! < order)) break;
      times[at] = parentTime;
      orders[at] = orders[parent]!;
      slots[at] = slots[parent]!;
      at = parent;
    }
    times[at] = time;
    orders[at] = order;
    slots[at] = slot;
  }

  #siftDown(time: number, order: number, slot: number): void {
    const times = this.#times;
    const orders = this.#order;
    const slots = this.#slots;
    const size = this.#size;
    let at = 0;
    for (;;) {
      const first = 4 * at + 1;
      if (first >= size) break;
      const end = Math.min(first + 4, size);
      let least = first;
      let leastTime = times[first]!;
      for (let child = first + 1; child < end; child++) {
        const childTime = times[child]!;
        if (childTime > leastTime || (childTime === leastTime && orders[child]! > orders[least]!)) continue;
        least = child;
        leastTime = childTime;
      }
      if (time < leastTime || (time === leastTime && order < orders[least]!)) break;
      times[at] = leastTime;
      orders[at] = orders[least]!;
      slots[at] = slots[least]!;
      at = least;
    }
    times[at] = time;
    orders[at] = order;
    slots[at] = slot;
  }

  #grow(): void {
    this.#times = grown(this.#times, new Float64Array(this.#times.length * 2));
    this.#order = grown(this.#order, new Float64Array(this.#order.length * 2));
    this.#slots = grown(this.#slots, new Int32Array(this.#slots.length * 2));
  }
}

function grown<A extends Float64Array | Int32Array>(from: A, to: A): A {
  to.set(from);
  return to;
}
