/**
 * What one step of the consensus core costs, and the placement of an address: `node bench/consensus.ts` prints the figures and writes them into
 * bench/results/consensus.md. One core, no disk, no network.
 */
import { writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';

import { bench, do_not_optimize, run } from 'mitata';

import { namedAddress } from '../src/block/index.ts';
import {
  Acceptor,
  type AcceptorState,
  BallotSource,
  type Effect,
  type Hint,
  LeaseTable,
  Proposer,
  putAny,
  read,
  type Request,
} from '../src/consensus/index.ts';
import { place } from '../src/placement/index.ts';
import { modelRoster } from './scale-balance.ts';

const block = namedAddress('bench', 'block');
const peers = ['A', 'B', 'C'];
const views = [{ number: 1, replicas: peers }];
const value = new Uint8Array(1024);

function acceptorOf(self: string): Acceptor {
  const leases = new LeaseTable({ self, incarnation: 1, termMs: 10_000, startedAt: -1e9, earlierHolders: [] });
  return new Acceptor({ self, leases, views: () => views });
}

/** Three acceptors in memory, and one host that proposes to them. */
class Bench {
  readonly acceptors = peers.map(acceptorOf);
  readonly states: (AcceptorState | undefined)[] = peers.map(() => undefined);
  readonly ballots = new BallotSource('A', 1);
  hint: Hint | undefined;
  #tag = 0;

  proposer(operation: typeof read): Proposer {
    return new Proposer({ block, tag: ++this.#tag, operation, views, ballots: this.ballots, random: () => 0.5, hint: this.hint });
  }

  /** One whole operation, all messages delivered in order. */
  operation(operation: typeof read): void {
    const proposer = this.proposer(operation);
    let effects: readonly Effect[] = proposer.start();
    for (;;) {
      const request = requestOf(effects)!;
      effects = [];
      for (let index = 0; index < 3 && effects.length === 0; index++) {
        const step = this.acceptors[index]!.step(this.states[index], request, 0);
        this.states[index] = step.state;
        effects = proposer.step({ type: 'reply', reply: step.reply });
      }
      const done = effects.find((effect) => effect.type === 'done');
      if (done === undefined) continue;
      this.hint = done.hint ?? undefined;
      return;
    }
  }
}

function requestOf(effects: readonly Effect[]): Request | undefined {
  for (const effect of effects) if (effect.type === 'send') return effect.message;
  return undefined;
}

const whole = new Bench();
whole.operation(putAny(value));
const cold = new Bench();
cold.operation(putAny(value));

bench('acceptor: accept', function* () {
  const fresh = new Bench();
  fresh.operation(putAny(value));
  const acceptor = fresh.acceptors[0]!;
  const request = requestOf(fresh.proposer(putAny(value)).start())!;
  const state = fresh.states[0];
  yield () => do_not_optimize(acceptor.step(state, request, 0));
});
bench('acceptor: read', function* () {
  const request = requestOf(cold.proposer(read).start())!;
  yield () => do_not_optimize(cold.acceptors[0]!.step(cold.states[0], request, 0));
});
bench('proposer: start of a repeated write', function* () {
  const { hint } = whole;
  yield () => {
    const proposer = new Proposer({ block, tag: 1, operation: putAny(value), views, ballots: whole.ballots, random: () => 0.5, hint });
    do_not_optimize(proposer.start());
  };
});
bench('whole write, one round trip, 3 acceptors', () => whole.operation(putAny(value)));
bench('whole read, one round trip, 3 acceptors', () => whole.operation(read));

const addresses = Array.from({ length: 1024 }, (_, index) => namedAddress('bench', `${index}`));
for (const hosts of [3, 20, 300, 1_000_000]) {
  // Made when its turn comes, so that the garbage collector does not walk a million hosts in everybody's time.
  bench(`placement: 3 replicas among ${hosts.toLocaleString('en')} hosts`, function* () {
    const roster = modelRoster(hosts);
    let index = 0;
    yield () => do_not_optimize(place(addresses[index++ & 1023]!, roster, 3));
  });
}

const { benchmarks } = await run({ format: 'quiet' });
const rows = benchmarks.flatMap(({ runs }) => runs.map(({ name, stats }) => ({ name, stats: stats! })));
const nanoseconds = (value: number): string => Math.round(value).toLocaleString('en');
const table = rows
  .map(({ name, stats }) => `| ${name} | ${nanoseconds(stats.p50)} | ${nanoseconds(stats.avg)} | ${nanoseconds(stats.p99)} |`)
  .join('\n');
const text = `# The consensus core and placement alone

Made by \`node bench/consensus.ts\` on ${cpus()[0]!.model.trim()}, ${cpus().length} cores shared with other work (load average ${loadavg()[0]!.toFixed(1)}: trust the median), Node ${process.versions.node}: no disk, no network, values of 1 KiB. Nanoseconds.

| step | median | mean | 99 % |
|---|---|---|---|
${table}
`;
console.log(text);
writeFileSync(new URL('results/consensus.md', import.meta.url), text);
