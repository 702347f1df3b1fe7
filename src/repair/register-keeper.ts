import { type Address, isGivenUp, kindOf } from '../block/index.ts';
import { type Accepted, type AcceptorState, type BlockRecord, isMember, type PeerId, type ReplicaSet, sameReplicas } from '../consensus/index.ts';
import type { Counter } from './counts.ts';
import { maxWatchedTombstones } from './settings.ts';
import type { Standpoint } from './standpoint.ts';
import type { RosterView } from '../membership/index.ts';

/** `open`: not as it should be, try again. */
export type Tended = 'done' | 'open';

/** The first try to move a block waits for its hosts no longer, in ms: others are not to wait where one is silent. */
const firstTryMs = 1000;
/** Of so many tries to move a block whose hosts are away one is made. */
const triedBlindly = 4;

interface Tombstone {
  /** When it was first seen, and when it is looked at again. */
  readonly since: number;
  readonly dueAt: number;
  /** The check that met it last. */
  check: number;
}

/** Looks after the mutable and named blocks that this host holds, by the rules of docs/consensus.md. */
export class RegisterKeeper {
  readonly #at: Standpoint;
  /** Settled tombstones, the one that is looked at next first. */
  readonly #tombstones = new Map<Address, Tombstone>();
  #check = 0;

  constructor(standpoint: Standpoint) {
    this.#at = standpoint;
  }

  /**
   * For the retirement of a view: resolves the block (its last word at a quorum, nothing here that the quorum does not know) and moves it to the
   * next view's set, not past it.
   * @param patience How often it was tried before: whose turn it is the first time may not come.
   */
  async move(address: Address, to: RosterView, patience: number, signal: AbortSignal): Promise<Tended> {
    const { housekeeping } = this.#at;
    const state = await housekeeping.inspect(address);
    if (state === undefined) return 'done';
    // Nobody could answer; now and then it is tried all the same, since the block may be elsewhere by now.
    const kept = state.accepted?.pointer === false ? state.accepted.record : undefined;
    if (kept !== undefined && patience % triedBlindly !== triedBlindly - 1 && !this.#at.isInReach(kept)) return 'open';
    const call = { signal, ...(patience === 0 ? { deadlineMs: firstTryMs } : {}) };
    let found = await housekeeping.resolve(address, call);
    if (found.status === 'unlisted') {
      await housekeeping.settle(address, this.#revoked(), [this.#at.self], call);
      found = await housekeeping.resolve(address, call);
    }
    if (found.status !== 'resolved') {
      // It only promised something, to somebody who found no majority either: its floor keeps that as well, and no salvage would ever make a quorum of what holds nothing.
      if (state.lost || state.accepted !== null || patience === 0) return 'open';
      await housekeeping.forgetPromise(address);
      return (await housekeeping.inspect(address)) === undefined ? 'done' : 'open';
    }
    const record = found.outcome.accepted?.record;
    if (record === undefined) return 'done';
    const wanted = this.#at.successors(address, to);
    if (wanted.length === 0 || isAt(record, wanted)) return 'done';
    if (!this.#at.mayMove(record, patience) || !this.#at.canTake(wanted)) return 'open';
    return (await housekeeping.change(address, record.epoch, wanted, call)).status === 'committed' ? 'done' : 'open';
  }

  /** All that is known of a block that does not move, for the log. */
  async account(address: Address, to: RosterView, signal: AbortSignal): Promise<Record<string, unknown>> {
    const { housekeeping, transport, self } = this.#at;
    const state = await housekeeping.inspect(address);
    const found = await housekeeping.resolve(address, { signal });
    const copies = await housekeeping.copies(address, [self, ...transport.connected()]);
    return {
      address,
      own: { lost: state?.lost, promised: state?.promised, accepted: inShort(state?.accepted) },
      found: found.status,
      current: found.status === 'resolved' ? inShort(found.outcome.accepted) : undefined,
      wanted: this.#at.successors(address, to),
      gone: [...this.#at.views.countedOut()],
      hosts: copies.map((copy) => (copy.kind === 'register' ? { ...copy, accepted: inShort(copy.accepted) } : copy)),
    };
  }

  /** Between changes of the roster: replaces a lost record, brings the block to where it belongs, settles it, forgets what was removed. */
  async tend(address: Address, counter: Counter, signal: AbortSignal): Promise<Tended> {
    const state = await this.#at.housekeeping.inspect(address);
    if (state === undefined) {
      // Another host had it forgotten.
      this.#tombstones.delete(address);
      return 'done';
    }
    if (!state.lost && state.accepted === null && this.#isForeign(address)) {
      // A late prepare left it here: no block belongs to it, and no other rule would ever take it away.
      await this.#at.housekeeping.forgetPromise(address);
      return 'done';
    }
    counter[kindOf(address)]++;
    if (state.lost) return this.#replaceLost(address, counter, signal);
    const { accepted } = state;
    if (accepted === null) return 'done';
    const { record } = accepted;
    // Also where this host is among those that a joint record leaves: a founding that came to nothing may have left it here after all was resolved.
    if (accepted.pointer || !record.replicas.includes(this.#at.self)) {
      counter.surplus++;
      if (!accepted.pointer) return this.#list(address, signal);
      // It left the set because its copy was damaged, and is to have one again: its replicas may not look at the block for long.
      return this.#at.onlyView === undefined || this.#isForeign(address) ? 'done' : ((await this.#bringHome(address, record, signal)) ?? 'done');
    }
    this.#count(record, counter);
    if (!this.#at.isMyTurn(record.replicas, 0)) return 'done';
    const brought = await this.#bringHome(address, record, signal);
    if (brought !== undefined) return brought;
    if (record.unsettled.length > 0) return this.#settle(address, record, signal);
    return record.value === null ? this.#forget(address, record, signal) : 'done';
  }

  #isForeign(address: Address): boolean {
    const view = this.#at.onlyView;
    return view !== undefined && !this.#at.home(address, view).includes(this.#at.self);
  }

  /** This host holds something of a block of others: its record must say so before that may go. */
  async #list(address: Address, signal: AbortSignal): Promise<Tended> {
    const found = await this.#at.housekeeping.resolve(address, { signal });
    if (found.status === 'unlisted') await this.#at.housekeeping.settle(address, this.#revoked(), [this.#at.self], { signal });
    return found.status === 'open' ? 'open' : 'done';
  }

  /** docs/consensus.md, “Lost records”: out of the set, told so, and then an ordinary newcomer. */
  async #replaceLost(address: Address, counter: Counter, signal: AbortSignal): Promise<Tended> {
    const { housekeeping, self } = this.#at;
    const found = await housekeeping.resolve(address, { signal });
    const record = found.status === 'resolved' ? found.outcome.accepted?.record : undefined;
    if (record === undefined) {
      counter.damaged++;
      return found.status === 'open' ? 'open' : 'done';
    }
    if (isMember(record, self)) {
      const others = record.replicas.filter((peer) => peer !== self);
      // Without a majority of others that is for a person (`infinit salvage` on one of them); where there are none, the block is gone.
      const left = others.length > 0 && (await housekeeping.change(address, record.epoch, others, { signal })).status === 'committed';
      if (!left) {
        counter.damaged++;
        return 'open';
      }
    }
    await housekeeping.settle(address, this.#revoked(), [self], { signal });
    if ((await housekeeping.inspect(address))?.lost === true) {
      counter.damaged++;
      return 'open';
    }
    const only = this.#at.onlyView;
    if (only === undefined) return 'done';
    const now = await housekeeping.resolve(address, { signal });
    const current = now.status === 'resolved' ? now.outcome.accepted?.record : undefined;
    return current === undefined ? 'open' : ((await this.#bringHome(address, current, signal)) ?? 'done');
  }

  /** Moves a block that is not where the next view says; undefined: it is. */
  async #bringHome(address: Address, local: BlockRecord, signal: AbortSignal): Promise<Tended | undefined> {
    const wanted = this.#at.successors(address, this.#at.nextView);
    if (wanted.length === 0 || isAt(local, wanted) || !this.#at.canTake(wanted)) return undefined;
    const found = await this.#at.housekeeping.resolve(address, { signal });
    const record = found.status === 'resolved' ? found.outcome.accepted?.record : undefined;
    if (record === undefined) return 'open';
    if (isAt(record, wanted)) return undefined;
    const isAhead = this.#at.isAhead(address, record);
    if (isAhead && record.previous.length === 0) return undefined;
    // A change that others began is finished all the same.
    const [fromEpoch, to] = isAhead ? [record.epoch - 1, record.replicas] : [record.epoch, wanted];
    return (await this.#at.housekeeping.change(address, fromEpoch, to, { signal })).status === 'committed' ? undefined : 'open';
  }

  /** Waits for all, so it is begun only where all can be asked; and not while an older view still leads to those that left. */
  async #settle(address: Address, record: BlockRecord, signal: AbortSignal): Promise<Tended> {
    if (this.#at.onlyView === undefined) return 'done';
    const revoked = this.#revoked();
    const all = [...record.replicas, ...record.unsettled.filter((peer) => !revoked.includes(peer))];
    if (!all.every((peer) => this.#at.isUp(peer))) return 'done';
    return (await this.#at.housekeeping.settle(address, revoked, [], { signal })).status === 'committed' ? 'done' : 'open';
  }

  async #forget(address: Address, record: BlockRecord, signal: AbortSignal): Promise<Tended> {
    if (this.#at.onlyView === undefined || !record.replicas.every((peer) => this.#at.isUp(peer))) return 'done';
    const now = performance.now();
    const watched = this.#tombstones.get(address);
    if (watched === undefined) {
      const dueAt = now + this.#at.settings.tombstoneMs;
      if (this.#tombstones.size < maxWatchedTombstones) this.#tombstones.set(address, { since: now, dueAt, check: this.#check });
      return 'done';
    }
    watched.check = this.#check;
    if (now - watched.since < this.#at.settings.tombstoneMs) return 'done';
    this.#tombstones.delete(address);
    await this.#at.housekeeping.forget(address, { signal });
    return 'done';
  }

  /**
   * Tombstones that it is time to look at. Each is looked at again as much later: what keeps one here, a replica that is away or another host whose
   * turn it is, may take long.
   */
  ripe(): Address[] {
    const now = performance.now();
    const ripe: Address[] = [];
    for (const [address, tombstone] of this.#tombstones) {
      if (tombstone.dueAt > now) break;
      ripe.push(address);
    }
    for (const address of ripe) {
      const { since, check } = this.#tombstones.get(address)!;
      this.#tombstones.delete(address);
      this.#tombstones.set(address, { since, dueAt: now + this.#at.settings.tombstoneMs, check });
    }
    return ripe;
  }

  /** When the next tombstone is to be looked at; undefined: none is waited for. */
  get ripeAt(): number | undefined {
    const first = this.#tombstones.values().next();
    return first.done === true ? undefined : first.value.dueAt;
  }

  /** A check of everything begins; what it does not meet again is no tombstone any longer. */
  beginCheck(): void {
    for (const [address, { check }] of this.#tombstones) if (check < this.#check) this.#tombstones.delete(address);
    this.#check++;
  }

  #count(record: BlockRecord, counter: Counter): void {
    if (record.value === null) counter.tombstones++;
    const up = this.#at.up(record.replicas);
    if (up[0] !== this.#at.self) return;
    if (isGivenUp(record.value)) counter.givenUp++;
    if (up.length < Math.floor(record.replicas.length / 2) + 1) counter.underQuorum++;
    if (up.length < this.#at.copiesWanted) counter.underReplicated++;
  }

  #revoked(): PeerId[] {
    return [...this.#at.views.countedOut()].filter((peer) => peer !== this.#at.self);
  }
}

function inShort(accepted: Accepted | null | undefined): object | undefined {
  if (accepted === null || accepted === undefined) return undefined;
  const { ballot, pointer, record } = accepted;
  const { version, epoch, replicas, previous, unsettled, value } = record;
  return { ballot, pointer, version, epoch, replicas, previous, unsettled, removed: value === null };
}

function isAt(record: BlockRecord, wanted: ReplicaSet): boolean {
  return record.previous.length === 0 && sameReplicas(record.replicas, wanted);
}

/** The digits that two hosts compare of a register: what its acceptor accepted last. */
export function stampOf(state: AcceptorState | undefined): string {
  const accepted = state?.accepted ?? null;
  if (accepted === null || accepted.pointer || state?.lost === true) return '';
  const { round, peer, incarnation, serial } = accepted.ballot;
  return `${round}.${peer}.${incarnation}.${serial}`;
}
