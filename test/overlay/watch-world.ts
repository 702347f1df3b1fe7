import { type BeatSort, Watch } from '../../src/overlay/membership/watch.ts';
import { seeded } from '../suites/seeded.ts';

/** As daemons have it. */
export const times = { intervalMs: 250, suspectMs: 750, downMs: 1250 };

/** What a host says; `old` is the heartbeat of a version that sends one to everybody. */
type Message =
  | { readonly type: 'beat'; readonly sort: BeatSort }
  | { readonly type: 'missing'; readonly peers: readonly string[] }
  | { readonly type: 'word' }
  | { readonly type: 'reply' };

interface Line {
  sent: number;
  received: number;
}

interface Event {
  readonly at: number;
  /** Of two at one time the one that was asked for first comes first. */
  readonly order: number;
  readonly run: () => void;
}

class SimulatedHost {
  readonly watch: Watch;
  readonly lines = new Map<string, Line>();
  /** What came while it was frozen. */
  held: (() => void)[] = [];
  frozen = false;
  sent = 0;

  constructor(name: string, now: number) {
    this.watch = new Watch(name, times, now);
  }
}

/** Hosts that watch each other, in a time of their own: events in order, and chance from a seed. */
export class WatchWorld {
  now = 0;
  /** From 0 to 1, by the seed. */
  readonly unit: () => number;
  readonly hosts = new Map<string, SimulatedHost>();
  /** `a>b`: a gave up b, at that time. */
  readonly dropped = new Map<string, number>();
  readonly #queue: Event[] = [];
  readonly #cuts = new Set<string>();
  readonly #old: ReadonlySet<string>;
  readonly #heardByOld = new Map<string, number>();
  #order = 0;

  /** @param old Of the first so many hosts the version is an earlier one. */
  constructor(seed: number, count: number, old = 0) {
    this.unit = seeded(seed);
    const names = Array.from({ length: count }, (_, index) => `h${String(index).padStart(3, '0')}`);
    this.#old = new Set(names.slice(0, old));
    for (const name of names) this.hosts.set(name, new SimulatedHost(name, 0));
    for (const a of names) for (const b of names) if (a < b) this.#connect(a, b);
    for (const name of names) this.#at(this.unit() * times.intervalMs, () => this.#tick(name));
  }

  get names(): string[] {
    return [...this.hosts.keys()];
  }

  pick<T>(from: readonly T[]): T {
    return from[Math.floor(this.unit() * from.length)]!;
  }

  run(forMs: number): void {
    const end = this.now + forMs;
    while (this.#queue.length > 0 && this.#queue[0]!.at <= end) {
      const { at, run } = this.#takeFirst();
      this.now = at;
      run();
    }
    this.now = end;
  }

  at(inMs: number, run: () => void): void {
    this.#at(inMs, run);
  }

  freeze(name: string): void {
    this.hosts.get(name)!.frozen = true;
  }

  thaw(name: string): void {
    const host = this.hosts.get(name)!;
    host.frozen = false;
    for (const run of host.held.splice(0)) run();
  }

  cut(a: string, b: string): void {
    this.#cuts.add(`${a}>${b}`).add(`${b}>${a}`);
  }

  isConnected(a: string, b: string): boolean {
    return this.hosts.get(a)!.lines.has(b);
  }

  /** One host says something to another, which answers where it can. */
  say(from: string, to: string): void {
    this.#send(from, to, { type: 'word' });
  }

  #at(inMs: number, run: () => void): void {
    const queue = this.#queue;
    queue.push({ at: this.now + inMs, order: this.#order++, run });
    for (let child = queue.length - 1; child > 0;) {
      const parent = (child - 1) >> 1;
      if (!isBefore(queue[child]!, queue[parent]!)) break;
      [queue[child], queue[parent]] = [queue[parent]!, queue[child]!];
      child = parent;
    }
  }

  /** The queue is a binary heap. */
  #takeFirst(): Event {
    const queue = this.#queue;
    const first = queue[0]!;
    const last = queue.pop()!;
    if (queue.length === 0) return first;
    queue[0] = last;
    for (let parent = 0; ;) {
      let least = parent;
      for (const child of [2 * parent + 1, 2 * parent + 2]) if (child < queue.length && isBefore(queue[child]!, queue[least]!)) least = child;
      if (least === parent) return first;
      [queue[parent], queue[least]] = [queue[least]!, queue[parent]!];
      parent = least;
    }
  }

  #connect(a: string, b: string): void {
    for (const [one, other] of [
      [a, b],
      [b, a],
    ] as const) {
      const host = this.hosts.get(one)!;
      const line = { sent: 0, received: 0 };
      host.lines.set(other, line);
      host.watch.connected(other, line, this.now);
      this.#heardByOld.set(`${one}>${other}`, this.now);
    }
  }

  /** Breaks a connection; the other end hears of it unless it is frozen or cut off. */
  #drop(a: string, b: string): void {
    this.dropped.set(`${a}>${b}`, this.now);
    this.#lose(a, b);
    if (!this.#cuts.has(`${a}>${b}`)) this.#deliver(b, () => this.#lose(b, a));
  }

  #lose(a: string, b: string): void {
    if (this.hosts.get(a)!.lines.delete(b)) this.hosts.get(a)!.watch.lost(b, this.now);
  }

  #send(from: string, to: string, message: Message): void {
    const line = this.hosts.get(from)!.lines.get(to);
    if (line === undefined) return;
    line.sent++;
    this.hosts.get(from)!.sent++;
    if (message.type === 'beat') this.hosts.get(from)!.watch.beat(to);
    if (this.#cuts.has(`${from}>${to}`)) return;
    this.#at(0.2 + this.unit() * 2, () => this.#deliver(to, () => this.#receive(from, to, message)));
  }

  #deliver(to: string, run: () => void): void {
    const host = this.hosts.get(to)!;
    if (host.frozen) host.held.push(run);
    else run();
  }

  #receive(from: string, to: string, message: Message): void {
    const { watch, lines } = this.hosts.get(to)!;
    const line = lines.get(from);
    if (line === undefined) return;
    line.received++;
    if (message.type === 'word') this.#send(to, from, { type: 'reply' });
    else if (message.type === 'beat') {
      this.#heardByOld.set(`${to}>${from}`, this.now);
      if (watch.heard(from, message.sort, this.now) && !this.#old.has(to)) this.#send(to, from, { type: 'beat', sort: 'answer' });
    } else if (message.type === 'missing' && !this.#old.has(to)) {
      const { beats, lookAgainMs } = watch.accused(message.peers, this.now);
      for (const [peer, sort] of beats) this.#send(to, peer, { type: 'beat', sort });
      this.#lookAgain(to, lookAgainMs);
    }
  }

  #lookAgain(name: string, afterMs: number | undefined): void {
    if (afterMs === undefined) return;
    this.#at(afterMs + 2, () =>
      this.#deliver(name, () => {
        const { watch, lines } = this.hosts.get(name)!;
        for (const [peer] of watch.look(this.now, (peer) => lines.get(peer)).silent) this.#drop(name, peer);
      }),
    );
  }

  #tick(name: string): void {
    const host = this.hosts.get(name)!;
    this.#at(times.intervalMs, () => (host.frozen ? host.held.push(() => this.#tick(name)) : this.#tick(name)));
    if (this.#old.has(name)) return this.#tickOfOld(name);
    const { beats, silent, accused, lookAgainMs } = host.watch.tick(this.now, (peer) => host.lines.get(peer));
    for (const [peer] of silent) this.#drop(name, peer);
    for (const [peer, sort] of beats) this.#send(name, peer, { type: 'beat', sort });
    if (accused.length > 0)
      for (const peer of host.lines.keys()) if (!accused.includes(peer)) this.#send(name, peer, { type: 'missing', peers: accused });
    this.#lookAgain(name, lookAgainMs);
  }

  #tickOfOld(name: string): void {
    for (const peer of this.hosts.get(name)!.lines.keys()) {
      this.#send(name, peer, { type: 'beat', sort: 'regular' });
      if (this.now - this.#heardByOld.get(`${name}>${peer}`)! >= times.downMs) this.#drop(name, peer);
    }
  }
}

function isBefore(one: Event, other: Event): boolean {
  return one.at < other.at || (one.at === other.at && one.order < other.order);
}
