import { type Accepted, compareAndSet, type Operation, type ProposalOutcome, putAny, putIfAbsent, read, update } from '../../src/consensus/index.ts';
import type { Host } from './host.ts';
import { Violation } from './judges.ts';
import type { Action, Observation, Operation as Observed, Outcome } from './linearizability.ts';
import { SeededRandom } from './random.ts';
import type { World } from './world.ts';

/** A write that was acknowledged under an exclusive lease and not sent yet, and what read it meanwhile. */
interface Buffered {
  readonly id: number;
  readonly value: string;
  readonly at: number;
  /** The version that the lease was of. */
  readonly base: number;
  readonly reads: Observed[];
  flushing: boolean;
}

/** A buffered write is sent after this time at the latest. */
const flushMs = 150;

/** The workload: every host has clients that read and write, and remember what version they saw. */
export class Clients {
  readonly #world: World;
  readonly #chance: SeededRandom;
  /** The version that a host's clients saw last, a block. */
  readonly #seen: Map<string, number>[];
  /** Blocks that are being removed for good: read, but written no longer. */
  readonly closing = new Set<string>();
  readonly #founded = new Set<string>();
  readonly #buffers: Map<string, Buffered>[];
  /** Operations that wait for their answer, a block. */
  readonly pending = new Map<string, number>();
  #left: number;
  #ids = 0;
  #patient = false;
  finished = 0;

  constructor(world: World) {
    this.#world = world;
    this.#chance = new SeededRandom(world.settings.seed, 5);
    this.#seen = world.hosts.map(() => new Map());
    this.#left = world.settings.operations;
    this.#buffers = world.hosts.map(() => new Map());
    for (const host of world.hosts) {
      host.beforeRelease = (block, release) => this.#flush(host, block, release);
      this.#schedule(host);
    }
  }

  #schedule(host: Host): void {
    const { thinkMs } = this.#world.settings;
    this.#world.later(-Math.log(1 - this.#chance.unit()) * thinkMs, () => {
      if (this.isDone || this.#patient) return;
      this.#schedule(host);
      // Reads that were not answered say nothing: they are asked again, as others.
      if (this.#left <= 0) return;
      if (host.up && !host.lost && host.pausedUntil <= this.#world.now) this.#act(host);
    });
  }

  /** All answers that were wanted are there. */
  get isDone(): boolean {
    return this.#world.judges.history.length >= this.#world.settings.operations;
  }

  #act(host: Host): void {
    const chance = this.#chance;
    const { settings, blocks } = this.#world;
    const block = chance.pick(blocks);
    if (this.#actInMemory(host, block)) return;
    this.#left--;
    const lease = chance.chance(settings.leases);
    const dice = chance.below(100);
    if ((this.closing.has(block) && !settings.recreated) || dice < 45) {
      const exclusive = lease && settings.exclusiveReads > 0 && chance.chance(settings.exclusiveReads);
      return this.read(host, block, exclusive ? 'exclusive' : lease ? 'shared' : undefined);
    }
    const writeLease = lease && chance.chance(0.25) && !settings.salvage ? 'exclusive' : undefined;
    const seen = this.#seen[host.index]!.get(block);
    const first = settings.fresh && !this.#founded.has(block);
    if (dice < 60 || first) this.#write(host, block, 'absent', false, writeLease);
    else if (dice < 80 && seen !== undefined) this.#write(host, block, seen, chance.chance(0.1), writeLease);
    else this.#write(host, block, 'any', chance.chance(0.1), writeLease);
  }

  /** From now on clients wait as long as it takes. */
  calm(): void {
    this.#patient = true;
  }

  /** Reads, from memory where a lease allows it. `done` is told whether it was answered. */
  read(host: Host, block: string, lease?: 'shared' | 'exclusive', done?: (answered: boolean) => void): void {
    const id = ++this.#ids;
    const start = this.#world.now;
    const action: Action = { kind: 'read' };
    const buffered = this.#buffer(host, block);
    if (buffered !== undefined) {
      buffered.reads.push({ id, register: block, start, end: start, action, outcome: { status: 'value', value: buffered.value } });
      done?.(true);
      return;
    }
    const local = host.holder.read(block, host.clock);
    if (local !== undefined) {
      this.#record(id, block, start, action, { status: 'value', ...observe(local) });
      this.#world.trace.say(`${host.name}  ${block}  #${id} read from memory: version ${local.record.version}`);
      done?.(true);
      return;
    }
    this.#begin(host, block, id, action, read, lease, (outcome) => {
      const answered = outcome?.status === 'committed';
      if (answered) {
        this.#record(id, block, start, action, { status: 'value', ...observe(outcome.accepted) });
        if (outcome.accepted !== null) this.#seen[host.index]!.set(block, outcome.accepted.record.version);
      } else this.#left++;
      done?.(answered);
    });
  }

  /** Removes the block whatever it holds. */
  remove(host: Host, block: string, done: () => void): void {
    this.#write(host, block, 'any', true, undefined, done);
  }

  /** Writes or removes the block, whatever is there. `done` is told whether it has happened for certain. */
  writeAny(host: Host, block: string, remove: boolean, done: (committed: boolean) => void): void {
    this.#write(host, block, 'any', remove, undefined, () => {}, done);
  }

  #write(
    host: Host,
    block: string,
    expect: number | 'absent' | 'any',
    remove: boolean,
    lease: 'exclusive' | undefined,
    committed?: () => void,
    done?: (committed: boolean) => void,
  ): void {
    const id = ++this.#ids;
    const start = this.#world.now;
    const value = remove ? null : String(id);
    const bytes = value === null ? null : Buffer.from(value, 'latin1');
    const action: Action = { kind: 'write', expect, value };
    this.#begin(host, block, id, action, this.#operation(host, block, expect, bytes), lease, (outcome) => {
      const seen = this.#seen[host.index]!;
      if (outcome === undefined || outcome.status === 'unknown') {
        this.#record(id, block, start, action, { status: 'unknown' });
      } else if (outcome.status === 'committed') {
        const { version } = outcome.accepted!.record;
        seen.set(block, version);
        this.#record(id, block, start, action, { status: 'committed', version });
        committed?.();
      } else if (outcome.status === 'conflict') {
        if (outcome.accepted !== null) seen.set(block, outcome.accepted.record.version);
        this.#record(id, block, start, action, { status: 'conflict', current: observe(outcome.accepted) });
      } else {
        this.#record(id, block, start, action, { status: 'failed' });
      }
      done?.(outcome?.status === 'committed');
    });
  }

  // --- buffering under an exclusive lease -------------------------------------------------------------------------------------

  /** What is buffered of the block. Where the lease ran out first, it is lost, and with it what only this host saw of it. */
  #buffer(host: Host, block: string): Buffered | undefined {
    const buffers = this.#buffers[host.index]!;
    const buffered = buffers.get(block);
    if (buffered === undefined || buffered.flushing || host.holder.holdsExclusive(block, host.clock)) return buffered;
    buffers.delete(block);
    return undefined;
  }

  /** Under an exclusive lease a write is acknowledged at once; returns whether this was one. */
  #actInMemory(host: Host, block: string): boolean {
    const buffered = this.#buffer(host, block);
    if (buffered?.flushing === true) return true;
    const held = host.holder.read(block, host.clock);
    if (buffered === undefined && (this.closing.has(block) || !host.holder.holdsExclusive(block, host.clock) || held === undefined)) return false;
    if (buffered !== undefined && (this.#chance.chance(0.5) || this.closing.has(block))) {
      this.read(host, block);
      return true;
    }
    const id = ++this.#ids;
    // A later write hides the one before for good: nobody else can have seen it.
    const base = buffered?.base ?? held!.record.version;
    this.#buffers[host.index]!.set(block, { id, value: String(id), at: this.#world.now, base, reads: [], flushing: false });
    this.#world.trace.say(`${host.name}  ${block}  #${id} write buffered under the exclusive lease`);
    this.#world.later(flushMs, () => this.#flush(host, block, () => {}));
    return true;
  }

  /** Sends what is buffered, then goes on. Nobody else can have written meanwhile, unless the lease ran out. */
  #flush(host: Host, block: string, then: () => void): void {
    const buffered = this.#buffer(host, block);
    const current = host.up && host.pausedUntil <= this.#world.now ? host.holder.read(block, host.clock) : undefined;
    // Whoever flushes already will release.
    if (buffered?.flushing === true) return;
    if (buffered === undefined || current === undefined) return then();
    buffered.flushing = true;
    const { id, value, at, base, reads } = buffered;
    const { judges } = this.#world;
    const leasings = judges.leasings(host, block);
    // Also over a tombstone, which the lease may be of; not over what this host wrote since, which hides it.
    const flush = update((now) => (now?.version === base ? Buffer.from(value, 'latin1') : undefined));
    const action: Action = { kind: 'write', expect: 'any', value };
    this.#begin(host, block, id, action, flush, undefined, (outcome, exclusive) => {
      this.#buffers[host.index]!.delete(block);
      if (outcome?.status === 'committed') {
        const { version } = outcome.accepted!.record;
        // Where the lease ran out before the flush got through, others may have read what was before it: then it is a write like any other, that took so long.
        const stood = host.holder.holdsExclusive(block, host.clock);
        const end = stood ? at : this.#world.now;
        judges.history.push({ id, register: block, start: at, end, action, outcome: { status: 'committed', version } });
        if (stood) judges.history.push(...reads);
      } else if (outcome === undefined || outcome.status === 'unknown') {
        this.#record(id, block, at, action, { status: 'unknown' });
      } else if (outcome.status === 'conflict') {
        // What was acknowledged is lost: rightly only where the lease ran out, or where a straggler of this very host came first.
        const author = outcome.accepted?.record.origin.peer ?? host.name;
        if (exclusive && author !== host.name && judges.leasings(host, block) === leasings)
          throw new Violation(
            'lease exclusivity',
            `${author} wrote ${block} under the exclusive lease of ${host.name}, which had acknowledged #${id}`,
          );
      }
      then();
    });
  }

  #operation(host: Host, block: string, expect: number | 'absent' | 'any', bytes: Uint8Array | null): Operation {
    const fresh = this.#world.settings.fresh && !this.#founded.has(block) && expect === 'absent';
    this.#founded.add(block);
    if (expect === 'absent') return putIfAbsent(bytes!, fresh);
    return expect === 'any' ? putAny(bytes) : compareAndSet(expect, bytes);
  }

  #begin(
    host: Host,
    block: string,
    id: number,
    action: Action,
    operation: Operation,
    lease: 'shared' | 'exclusive' | undefined,
    done: (outcome: ProposalOutcome | undefined, exclusive: boolean) => void,
  ): void {
    this.pending.set(block, (this.pending.get(block) ?? 0) + 1);
    this.#founded.add(block);
    const { trace } = this.#world;
    if (trace.on)
      trace.say(`${host.name}  ${block}  #${id} ${action.kind === 'read' ? 'read' : `write ${action.value ?? 'nothing'} if ${action.expect}`}`);
    host.run(block, operation, {
      lease,
      deadlineMs: this.#patient ? undefined : this.#world.settings.deadlineMs,
      done: (outcome, exclusive) => {
        this.pending.set(block, this.pending.get(block)! - 1);
        this.finished++;
        if (trace.on) trace.say(`${host.name}  ${block}  #${id} is told: ${describe(outcome)}`);
        done(outcome, exclusive);
      },
    });
  }

  #record(id: number, register: string, start: number, action: Action, outcome: Outcome): void {
    this.#world.judges.history.push({ id, register, start, end: outcome.status === 'unknown' ? Infinity : this.#world.now, action, outcome });
  }
}

function observe(accepted: Accepted | null): Observation {
  if (accepted === null) return { value: null };
  const { version, value } = accepted.record;
  return { version, value: value === null ? null : Buffer.from(value).toString('latin1') };
}

function describe(outcome: ProposalOutcome | undefined): string {
  if (outcome === undefined) return 'nothing, its host died';
  if (outcome.status === 'no-quorum' || outcome.status === 'unknown') return outcome.status;
  return `${outcome.status}, ${outcome.accepted === null ? 'nothing there' : `version ${outcome.accepted.record.version}`}`;
}
