import { SeededRandom } from './random.ts';
import { type Settings, workloadMs } from './settings.ts';

/** Something that goes wrong at a time and, where it lasts, is right again after a while. Hosts are given by index. */
export type Fault = { readonly at: number; readonly forMs: number } &
  /** The process dies; what was not synced is lost, all of it or a tail. */
  (
    | { readonly kind: 'crash'; readonly host: number }
    /** The process stands still and then goes on as if nothing had been. */
    | { readonly kind: 'pause'; readonly host: number }
    /** Messages from one side to the other are lost; `both` directions or one. */
    | { readonly kind: 'partition'; readonly side: readonly number[]; readonly both: boolean }
    /** One link loses everything, in one direction. */
    | { readonly kind: 'cut'; readonly from: number; readonly to: number }
    /** One host's messages take so much longer. */
    | { readonly kind: 'slow-link'; readonly host: number; readonly delayMs: number }
    | { readonly kind: 'slow-disk'; readonly host: number; readonly syncMs: number }
    /** Writes are refused. */
    | { readonly kind: 'disk-full'; readonly host: number }
    /** A write fails, nobody knows what of it is on the medium, and no other is taken. The process goes on in memory until it is started again. */
    | { readonly kind: 'disk-error'; readonly host: number }
    /** What is not in memory cannot be read. */
    | { readonly kind: 'read-error'; readonly host: number }
    /** One record of one block turns out unreadable. */
    | { readonly kind: 'bit-rot'; readonly host: number; readonly block: number }
  );

/**
 * Bits rot at one host above all, and wherever the world finds that a block bears it: more than a minority of a block's copies is beyond what any majority
 * can survive. Where hosts are counted out and give up what they hold, sets of five bear one more.
 */
export function planFaults(settings: Settings): Fault[] {
  const random = new SeededRandom(settings.seed, 2);
  const { hosts, replicas, blocks, leaseTermMs } = settings;
  const end = workloadMs(settings);
  const rotten = random.below(hosts);
  const faults: Fault[] = [];
  for (let count = 0; count < settings.faults; count++) {
    const at = random.between(0, end);
    const forMs = random.pick([5, 50, 300, leaseTermMs * 0.9, leaseTermMs * 1.2]) * random.between(0.5, 1.5);
    const host = random.below(hosts);
    const dice = random.below(100);
    if (dice < 30) faults.push({ kind: 'crash', at, forMs, host });
    else if (dice < 42) faults.push({ kind: 'pause', at, forMs, host });
    else if (dice < 56) {
      const side = random.sample([...Array(hosts).keys()], 1 + random.below(Math.max(1, hosts - 1)));
      faults.push({ kind: 'partition', at, forMs, side, both: random.chance(0.6) });
    } else if (dice < 66) faults.push({ kind: 'cut', at, forMs, from: host, to: random.below(hosts) });
    else if (dice < 74) faults.push({ kind: 'slow-link', at, forMs, host, delayMs: random.between(5, 300) });
    else if (dice < 80) faults.push({ kind: 'slow-disk', at, forMs, host, syncMs: random.between(20, 400) });
    else if (dice < 86) faults.push({ kind: 'disk-full', at, forMs, host });
    else if (dice < 90) faults.push({ kind: 'disk-error', at, forMs, host });
    else if (dice < 92) faults.push({ kind: 'read-error', at, forMs, host });
    else if (replicas >= 3 && !settings.agreed)
      faults.push({ kind: 'bit-rot', at, forMs: 0, host: random.chance(0.5) ? host : rotten, block: random.below(blocks) });
    else if (replicas >= 5 && !settings.salvage) faults.push({ kind: 'bit-rot', at, forMs: 0, host: rotten, block: random.below(blocks) });
  }
  return faults.toSorted((a, b) => a.at - b.at);
}

/** One fault in a line. */
export function describeFault(fault: Fault): string {
  const { kind, at, forMs, ...rest } = fault;
  const what = Object.entries(rest).map(
    ([key, value]) => `${key}=${Array.isArray(value) ? value.join('') : typeof value === 'number' ? Math.round(value) : String(value)}`,
  );
  return `${kind} at ${at.toFixed(1)} for ${forMs.toFixed(1)} ms, ${what.join(' ')}`;
}
