import {
  Acceptor,
  type AcceptorState,
  type Ballot,
  BallotSource,
  type BlockRecord,
  type Effect,
  type Hint,
  type LeaseRequest,
  LeaseTable,
  type Operation,
  type ProposalOutcome,
  Proposer,
  productionRules,
  type Reply,
  type Request,
  type Rules,
  type View,
} from '../../src/consensus/index.ts';

export const block = 'x';

export function ballot(round: number, peer = 'A', serial = 1): Ballot {
  return { round, peer, incarnation: 1, serial };
}

export function record(
  version: number,
  value: string | null,
  replicas: readonly string[] = ['A', 'B', 'C'],
  more: Partial<BlockRecord> = {},
): BlockRecord {
  const origin = { peer: 'A', incarnation: 1, serial: version };
  return { version, epoch: 1, replicas, previous: [], unsettled: [], origin, value: value === null ? null : bytes(value), ...more };
}

export function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

export function text(value: Uint8Array | null | undefined): string | null | undefined {
  return value === null || value === undefined ? value : new TextDecoder().decode(value);
}

/** Acceptors in memory that answer at once: what a test needs to run an operation to its end. */
export class Cluster {
  readonly names: readonly string[];
  readonly states = new Map<string, AcceptorState | undefined>();
  readonly acceptors: ReadonlyMap<string, Acceptor>;
  readonly down = new Set<string>();
  views: View[];
  /** Steps that had to be made durable. */
  diskWrites = 0;
  requests = 0;
  now = 0;

  readonly rules: Rules;

  constructor(names: readonly string[], replicas: readonly string[] = names, rules: Rules = productionRules) {
    this.names = names;
    this.rules = rules;
    this.views = [{ number: 1, replicas }];
    const table = (self: string): LeaseTable => new LeaseTable({ self, incarnation: 1, termMs: 1000, startedAt: 0, earlierHolders: [], rules });
    this.acceptors = new Map(names.map((self) => [self, new Acceptor({ self, leases: table(self), views: () => this.views, rules })]));
  }

  serve(peer: string, request: Request): Reply {
    const step = this.acceptors.get(peer)!.step(this.states.get(peer), request, this.now);
    this.states.set(peer, step.state);
    if (step.changed) this.diskWrites++;
    return step.reply;
  }

  /** Runs an operation; `lose` says which requests get lost. */
  run(
    ballots: BallotSource,
    operation: Operation,
    options: {
      readonly hint?: Hint | null;
      readonly wakes?: number;
      readonly lease?: LeaseRequest;
      readonly mayBeLost?: () => boolean;
      readonly lose?: (request: Request, to: string) => boolean;
    } = {},
  ): { readonly outcome: ProposalOutcome; readonly hint: Hint | null } {
    const { hint, wakes = 5, lease, mayBeLost = () => false, lose = () => false } = options;
    const proposer = new Proposer({
      block,
      tag: 1,
      operation,
      views: this.views,
      ballots,
      random: () => 0.5,
      hint: hint ?? undefined,
      lease,
      mayBeLost,
      rules: this.rules,
    });
    const queue: Effect[] = [...proposer.start()];
    for (let wake = 0; ; wake++) {
      for (let effect = queue.shift(); effect !== undefined; effect = queue.shift()) {
        if (effect.type === 'done') return { outcome: effect.outcome, hint: effect.hint };
        if (effect.type !== 'send') continue;
        for (const peer of effect.to) {
          if (this.down.has(peer) || lose(effect.message, peer)) continue;
          this.requests++;
          queue.push(...proposer.step({ type: 'reply', reply: this.serve(peer, effect.message) }));
        }
      }
      queue.push(...proposer.step({ type: wake < wakes ? 'wake' : 'deadline' }));
    }
  }
}

export const source = (peer: string, incarnation = 1): BallotSource => new BallotSource(peer, incarnation);
