import { readdirSync, readFileSync } from 'node:fs';

import type { HostDaemon } from '../docker/cluster-hosts.ts';

/** Between two looks, in ms. */
const lookMs = 250;

interface Look {
  /** Milliseconds of the wall clock. */
  readonly at: number;
  /** What all threads of all daemons, and of the test that takes the time, have waited for a processor until then since the first look, in ms. */
  readonly waited: number;
}

/**
 * How long the daemons' threads stood ready and got no processor, as the kernel counts it for each. What a program waits for passes through some of these threads one after the other, so
 * of the time that it took this much, at the most, is the machine's doing and not the daemons'. On a machine at rest that is milliseconds; time that a daemon sleeps, waits for an answer or
 * computes is never in it.
 */
export class Starvation implements Disposable {
  readonly #daemons: readonly HostDaemon[];
  readonly #looks: Look[] = [];
  readonly #threads = new Map<string, number>();
  #waited = 0;
  readonly #timer: NodeJS.Timeout;

  constructor(daemons: readonly HostDaemon[]) {
    this.#daemons = daemons;
    this.#look();
    this.#timer = setInterval(() => this.#look(), lookMs);
  }

  #look(): void {
    for (const pid of [process.pid, ...this.#daemons.flatMap(({ pids }) => pids)]) {
      for (const thread of threadsOf(pid)) {
        const key = `${pid}/${thread}`;
        const waited = waitedMs(pid, thread);
        if (waited === undefined) continue;
        // One that is seen for the first time has not waited before it was there.
        this.#waited += Math.max(0, waited - (this.#threads.get(key) ?? (this.#looks.length === 0 ? waited : 0)));
        this.#threads.set(key, waited);
      }
    }
    this.#looks.push({ at: Date.now(), waited: this.#waited });
  }

  /** Between the last look before and the first one after, in ms. */
  during({ from, to }: { readonly from: number; readonly to: number }): number {
    this.#look();
    const before = this.#looks.findLast(({ at }) => at <= from) ?? this.#looks[0]!;
    const after = this.#looks.find(({ at }) => at >= to) ?? this.#looks.at(-1)!;
    return Math.round(after.waited - before.waited);
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

/** undefined: it has ended, or the kernel does not count it: then nothing is allowed for. */
function waitedMs(pid: number, thread: string): number | undefined {
  try {
    const waited = Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'latin1').split(' ')[1]) / 1e6;
    return Number.isNaN(waited) ? undefined : waited;
  } catch {
    return undefined;
  }
}
