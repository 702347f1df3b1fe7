import { readdirSync, readFileSync } from 'node:fs';

import type { HostDaemon } from '../docker/cluster-hosts.ts';
import type { SlowOperation } from './workload.ts';

/** Between two looks, in ms. */
const lookMs = 250;

/** Threads through which an operation passes: they receive, decide and answer. Not those that clear memory or compile. */
const onPath = /^(infinit|volume )/;
/** Of those that read and write files an operation waits for one at a time. */
const filing = 'libuv-worker';

interface Look {
  /** Milliseconds of the wall clock. */
  readonly at: number;
  /** How long an operation may have waited for a processor until then since the first look, at each daemon, in ms. */
  readonly waited: readonly number[];
  /** And in the test that takes the time. */
  readonly waitedHere: number;
}

/**
 * How long the threads that a program's operation passes through stood ready and got no processor, as the kernel counts it for each: those of the program's own host, and of one other, which serves the
 * volume; of those that keep copies the quickest answer. So of the time that it took about this much, at the most, is the machine's doing and not the daemons'. On a machine at rest that is
 * milliseconds; time that a daemon sleeps, waits for an answer or computes is never in it.
 */
export class Starvation implements Disposable {
  readonly #daemons: readonly HostDaemon[];
  readonly #looks: Look[] = [];
  readonly #threads = new Map<string, number>();
  readonly #timer: NodeJS.Timeout;

  constructor(daemons: readonly HostDaemon[]) {
    this.#daemons = daemons;
    this.#look();
    this.#timer = setInterval(() => this.#look(), lookMs);
  }

  #look(): void {
    const last = this.#looks.at(-1);
    const waited = this.#daemons.map(({ pids }, index) => (last?.waited[index] ?? 0) + pids.reduce((sum, pid) => sum + this.#sinceIn(pid), 0));
    const waitedHere = (last?.waitedHere ?? 0) + this.#since(process.pid, String(process.pid));
    this.#looks.push({ at: Date.now(), waited, waitedHere });
  }

  #sinceIn(pid: number): number {
    let waited = 0;
    let files = 0;
    for (const thread of threadsOf(pid)) {
      const name = nameOf(pid, thread);
      if (onPath.test(name)) waited += this.#since(pid, thread);
      else if (name === filing) files = Math.max(files, this.#since(pid, thread));
    }
    return waited + files;
  }

  /** What a thread has waited since it was looked at last, in ms. One that is seen for the first time has not waited before it was there. */
  #since(pid: number, thread: string): number {
    const key = `${pid}/${thread}`;
    const waited = waitedMs(pid, thread);
    if (waited === undefined) return 0;
    const before = this.#threads.get(key) ?? (this.#looks.length === 0 ? waited : 0);
    this.#threads.set(key, waited);
    return Math.max(0, waited - before);
  }

  /** Between the last look before and the first one after, in ms, of an operation of that host. */
  during({ from, to, host }: SlowOperation): number {
    this.#look();
    const before = this.#looks.findLast(({ at }) => at <= from) ?? this.#looks[0]!;
    const after = this.#looks.find(({ at }) => at >= to) ?? this.#looks.at(-1)!;
    const at = this.#daemons.map((daemon, index) => ({ daemon, ms: after.waited[index]! - before.waited[index]! }));
    const there = at.filter(({ daemon }) => daemon.host.name !== host).reduce((most, { ms }) => Math.max(most, ms), 0);
    const own = at.find(({ daemon }) => daemon.host.name === host)?.ms ?? 0;
    return Math.round(Math.min(own + there + after.waitedHere - before.waitedHere, to - from));
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}

function threadsOf(pid: number): readonly string[] {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch {
    return [];
  }
}

function nameOf(pid: number, thread: string): string {
  try {
    return readFileSync(`/proc/${pid}/task/${thread}/comm`, 'latin1').trim();
  } catch {
    return '';
  }
}

/** undefined: it has ended, or the kernel does not count it: then nothing is allowed for. */
function waitedMs(pid: number, thread: string): number | undefined {
  try {
    const waited = Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'latin1').split(' ')[1]) / 1e6;
    return Number.isNaN(waited) ? undefined : waited;
  } catch {
    return undefined;
  }
}
