import { InfinitError, retryPauseMs } from '../base/index.ts';
import { type Address, hashesTo, kindOf } from '../block/index.ts';
import {
  type Accepted,
  type AcceptorState,
  compareBallots,
  decodeState,
  givenUpRounds,
  isMember,
  type Operation,
  type PeerId,
  type ProposalOutcome,
  type ReplicaSet,
  type Reply,
  type Request,
} from '../consensus/index.ts';
import { type Disk, type DiskEntry, scrub, type ScrubOptions, type ScrubReport } from '../disk/index.ts';
import type { ClientsElsewhere } from './clients-elsewhere.ts';
import type { CopyStrain, ImmutableBlocks } from './immutable-blocks.ts';
import { type Copy, registersOn } from './inspection.ts';
import type { AskPeer, Registers } from './registers.ts';
import type { Replica } from './replica.ts';

/** Time and cancellation of one step of housekeeping. */
export interface HousekeepingCall {
  readonly deadlineMs?: number;
  readonly signal?: AbortSignal;
}

/** What resolving one register came to. */
export type Resolution =
  /** The block as a quorum has it; nothing of before is left on this host that the quorum does not know of. */
  | { readonly status: 'resolved'; readonly outcome: ProposalOutcome & { readonly status: 'committed' } }
  /** This host holds a record of a block of others that the block's record does not list: `settle` with `also` this host comes first. */
  | { readonly status: 'unlisted' }
  /** No quorum answered, or it knows less than this host holds: to be tried again. */
  | { readonly status: 'open' };

/** How many of those that were told of a record … */
interface Told {
  /** … have it, or a newer one, now. */
  readonly have: number;
  /** … acknowledge and store nothing, their floor being at or above its ballot: it could be a straggler of a block that they forgot. */
  readonly refuse: number;
  /** … do not answer. */
  readonly silent: number;
}

/** Housekeeping is patient: several rounds of an undisturbed change. */
const defaultDeadlineMs = 5000;
/** Giving up, register by register. */
const givingUpDeadlineMs = 3000;
const givingUpPage = 1024;
/** How often a host that gives up looks whether it was told where a block is, in ms. */
const toldMs = 20;
/** Enough that what goes to one host at once fills a frame. */
const givingUpAtOnce = 128;

/**
 * What repair may do with the blocks of this host and their copies elsewhere: the operations of the consensus core that clients have no use
 * for, and copies of immutable blocks. The rules for their use are in docs/consensus.md; `src/repair` follows them.
 */
export class Housekeeping {
  readonly #self: PeerId;
  readonly #disk: Disk;
  readonly #replica: Replica;
  readonly #registers: Registers;
  readonly #blocks: ImmutableBlocks;
  readonly #ask: AskPeer;
  readonly #clients: () => number;
  readonly #elsewhere: ClientsElsewhere;
  readonly #hasSay: () => boolean;
  /** For how long, by any clock within the bound, a lease outlives the host that granted it. */
  readonly leaseTermMs: number;

  constructor(parts: {
    readonly self: PeerId;
    readonly disk: Disk;
    readonly replica: Replica;
    readonly registers: Registers;
    readonly blocks: ImmutableBlocks;
    readonly ask: AskPeer;
    readonly clients: () => number;
    readonly elsewhere: ClientsElsewhere;
    readonly hasSay: () => boolean;
    readonly leaseTermMs: number;
  }) {
    this.#self = parts.self;
    this.#disk = parts.disk;
    this.#replica = parts.replica;
    this.#registers = parts.registers;
    this.#blocks = parts.blocks;
    this.#ask = parts.ask;
    this.#clients = parts.clients;
    this.#elsewhere = parts.elsewhere;
    this.#hasSay = parts.hasSay;
    this.leaseTermMs = parts.leaseTermMs;
  }

  /** Whether clients are at work: on this host, or on others that had it serve them lately. */
  get hasClients(): boolean {
    return this.#clients() > 0 || this.#elsewhere.atWork;
  }

  /** Blocks that are not here take no ballot of this round or lower. */
  get floor(): number {
    return this.#replica.acceptor.floor;
  }

  /** A round so far above all floors that this host heard of that no lost block's version was as high. */
  get aboveLost(): number {
    return this.#registers.nextRound + givenUpRounds;
  }

  /** What this host says to those that send it copies, and who hears what others say so. */
  set copyStrain(strain: CopyStrain) {
    this.#blocks.strain = strain;
  }

  /** Blocks on this host's disk. */
  get blocks(): number {
    return this.#disk.status().blocks;
  }

  /** Bytes of their values. */
  get bytes(): number {
    return this.#disk.status().liveBytes;
  }

  /** What this host holds, in pages, as {@link Disk.list}. */
  list(after: Address | undefined, limit: number): Promise<DiskEntry[]> {
    return this.#disk.list(after, limit);
  }

  /** What this host's acceptor keeps of a register. A damaged record is stored as lost first. */
  inspect(address: Address): Promise<AcceptorState | undefined> {
    return this.#replica.peek(address);
  }

  /**
   * A read through a quorum with this host's own acceptor answering: docs/consensus.md, “Genesis”, rule 2. What counts is what this host held when it
   * began: a block that is written all the time could not be resolved otherwise.
   */
  async resolve(address: Address, call: HousekeepingCall = {}): Promise<Resolution> {
    const accepted = (await this.inspect(address))?.accepted ?? null;
    const own = accepted !== null && !accepted.pointer;
    const outcome = await this.#registers.run(address, { kind: 'read', own }, { ...withDeadline(call), afresh: true });
    if (outcome.status !== 'committed') return { status: 'open' };
    if (accepted === null || accepted.pointer) return { status: 'resolved', outcome };
    const current = outcome.accepted;
    // Nobody else would ever take it away, and to whoever does not meet what proves it forgotten it would be the block.
    if (current === null) return (await this.#replica.dropForgotten(address, accepted.ballot)) ? { status: 'resolved', outcome } : { status: 'open' };
    if (compareBallots(accepted.ballot, current.ballot) > 0) return { status: 'open' };
    if (isMember(current.record, this.#self)) return { status: 'resolved', outcome };
    if (!current.record.unsettled.includes(this.#self)) return { status: 'unlisted' };
    // Should all be lost that know better, this host is not to be left with a record of before, which names none of those that have had the block since.
    await this.tell(address, current, [this.#self], call);
    return { status: 'resolved', outcome };
  }

  /**
   * Makes `replicas` the block's set, where its epoch is still `fromEpoch`. Not while this host's acceptor has no say: it may have been counted out
   * without knowing, and its views of where blocks belong be gone (docs/consensus.md, “Genesis”).
   */
  async change(address: Address, fromEpoch: number, replicas: ReplicaSet, call: HousekeepingCall = {}): Promise<ProposalOutcome> {
    if (!this.#hasSay()) return { status: 'no-quorum' };
    return this.#registers.run(address, { kind: 'change', fromEpoch, replicas }, withDeadline(call));
  }

  /** Tells former replicas where the block is and lets them forget it. `revoked` never speak again; `also` turned out to hold something. */
  settle(address: Address, revoked: readonly PeerId[], also: readonly PeerId[] = [], call: HousekeepingCall = {}): Promise<ProposalOutcome> {
    return this.#registers.run(address, { kind: 'settle', revoked, also }, withDeadline(call));
  }

  /** Forgets a settled tombstone. Only while one view of the roster is in force. */
  forget(address: Address, call: HousekeepingCall = {}): Promise<ProposalOutcome> {
    return this.#registers.run(address, { kind: 'forget' }, withDeadline(call));
  }

  /** Lets this host's acceptor forget that it promised something of a block of which it accepted nothing: its floor covers the promise. */
  async forgetPromise(address: Address): Promise<void> {
    // Nothing is accepted in round 0, so where something was accepted meanwhile, nothing is forgotten.
    const ballot = { round: 0, peer: this.#self, incarnation: 0, serial: 0 };
    await this.#replica.serve({ type: 'forget', from: this.#self, block: address, tag: 0, attempt: 1, ballot, floor: 0 });
  }

  /** Accepts the record once more at a ballot above all floors that were told: for replicas whose floor refuses the one it has. */
  renew(address: Address, call: HousekeepingCall = {}): Promise<ProposalOutcome> {
    return this.#registers.run(address, { kind: 'renew' }, withDeadline(call));
  }

  /** Makes replicas that lag behind know a record that was resolved, and so is chosen: each for itself, whatever becomes of the others. */
  async tell(address: Address, accepted: Accepted, peers: readonly PeerId[], call: HousekeepingCall = {}): Promise<Told> {
    const cancel = cancelOf(call);
    const { ballot, record } = accepted;
    const message: Request = { type: 'learn', from: this.#self, block: address, tag: 0, attempt: 1, ballot, record };
    const told = { have: 0, refuse: 0, silent: 0 };
    for (const answer of await Promise.allSettled(peers.map((peer) => this.#question(peer, message, cancel)))) {
      if (answer.status === 'rejected') {
        told.silent++;
        continue;
      }
      const reply = answer.value;
      this.#registers.hear(reply);
      if (reply.accepted !== null && compareBallots(reply.accepted.ballot, ballot) >= 0) told.have++;
      else told.refuse++;
    }
    return told;
  }

  /** What these hosts have of a register, for people. */
  copies(address: Address, peers: readonly PeerId[]): Promise<readonly Copy[]> {
    return registersOn({ self: this.#self, replica: this.#replica, ask: this.#ask }, peers, address);
  }

  /** What these hosts have of a register, each for itself. Who does not answer is left out. Promises nothing: for people. */
  async ask(address: Address, peers: readonly PeerId[], call: HousekeepingCall = {}): Promise<readonly Reply[]> {
    const message: Request = { type: 'read', from: this.#self, block: address, tag: 0, attempt: 1, view: -1, known: null, lease: null };
    const replies = await Promise.allSettled(peers.map((peer) => this.#question(peer, message, cancelOf(call))));
    return replies.flatMap((reply) => (reply.status === 'fulfilled' ? [reply.value] : []));
  }

  /**
   * Makes those that are left of a block's hosts its set, past any quorum: only where the majority is lost for good, by a person's decision. Each of them must promise first; what they accepted since
   * `from`, be it from another host that salvages or from a client, stays, and the outcome is a conflict. Who may hold something earlier is told where it can be; repair tells the others.
   */
  async salvage(
    address: Address,
    remains: Omit<Extract<Operation, { kind: 'salvage' }>, 'kind'>,
    call: HousekeepingCall = {},
  ): Promise<ProposalOutcome> {
    const outcome = await this.#registers.run(address, { kind: 'salvage', ...remains }, { ...withDeadline(call), afresh: true });
    // Not before: who is told believes that it was chosen.
    if (outcome.status === 'committed' && outcome.accepted !== null) await this.tell(address, outcome.accepted, remains.unsettled, call);
    return outcome;
  }

  /**
   * Makes what says that a block is lost its record, past any quorum: only where nothing is left of it, by a person's decision. Each host that may speak of it again must promise first; what one of them
   * has accepted since it was looked at stays, and the outcome is a conflict. Who may hold something is told.
   */
  async giveUp(address: Address, how: Omit<Extract<Operation, { kind: 'give-up' }>, 'kind'>, call: HousekeepingCall = {}): Promise<ProposalOutcome> {
    const outcome = await this.#registers.run(address, { kind: 'give-up', ...how }, { ...withDeadline(call), afresh: true });
    if (outcome.status === 'committed' && outcome.accepted !== null) await this.tell(address, outcome.accepted, how.unsettled, call);
    return outcome;
  }

  #question(peer: PeerId, message: Request, cancel: AbortSignal): Promise<Reply> {
    return peer === this.#self ? this.#replica.serve(message) : this.#ask(peer, message, cancel);
  }

  /** Which of these immutable blocks the peer (or this host) has, undamaged as far as it knows, on stable storage. */
  has(peer: PeerId, addresses: readonly Address[], call: HousekeepingCall = {}): Promise<readonly boolean[]> {
    return this.#blocks.has(peer, addresses, withDeadline(call));
  }

  /** Sends this host's copy of an immutable block to a peer. Resolves to its bytes once it is durable there; undefined: there is no good copy here. */
  async push(address: Address, peer: PeerId, call: HousekeepingCall = {}): Promise<number | undefined> {
    const sealed = await this.own(address);
    return sealed === undefined ? undefined : await this.give(address, sealed, peer, call);
  }

  /** This host's copy of an immutable block. undefined: there is no good one here. @throws InfinitError where its own disk fails. */
  async own(address: Address): Promise<Uint8Array | undefined> {
    return await this.#blocks.own(address);
  }

  /** Has another host keep an immutable block. undefined: it was removed. @throws InfinitError what the other says. */
  async give(address: Address, sealed: Uint8Array, peer: PeerId, call: HousekeepingCall = {}): Promise<number | undefined> {
    return await this.#blocks.give(address, sealed, peer, withDeadline(call));
  }

  /** Fetches an immutable block from wherever it is and keeps it here. Resolves to its bytes. @throws InfinitError as `get`. */
  async pull(address: Address, call: HousekeepingCall = {}): Promise<number> {
    return await this.#blocks.pull(address, withDeadline(call));
  }

  /** Removes this host's copies of immutable blocks. Only where all hosts that should have them do. */
  async trim(addresses: readonly Address[]): Promise<void> {
    await this.#disk.write(addresses.map((address) => ({ type: 'delete', address })));
  }

  /** Reads everything on this host's disk once, at a bounded rate, and tells of what is damaged. Damaged registers are stored as lost. */
  scrub(options: Pick<ScrubOptions, 'bytesPerSecond' | 'after' | 'signal' | 'onProgress' | 'onDamaged'>): Promise<ScrubReport> {
    return scrub(this.#disk, { ...options, verify: verifyStored });
  }

  /** A small durable fact of repair's own, such as how far it came; undefined: there is none. Whoever saves waits for all writes before. */
  async load(key: string): Promise<string | undefined> {
    const bytes = await this.#disk.readMeta(`repair/${key}`);
    return bytes === undefined ? undefined : Buffer.from(bytes).toString('utf8');
  }

  async save(key: string, text: string): Promise<void> {
    await this.#disk.write([{ type: 'put-meta', key: `repair/${key}`, bytes: Buffer.from(text) }]);
  }

  /**
   * For a host that was counted out, and that no view in force leads to: all registers of this host count as lost, and it returns when the last of them
   * is given up, which takes a chosen record that says where the block is, or a quorum that has nothing of it. Until then it must be in no view: a lost
   * state has no say, and two such hosts in one set would be no majority. Goes on from the beginning after a crash.
   * @param revoked Other hosts that never speak again.
   */
  async loseEverything(revoked: readonly PeerId[] = [], signal?: AbortSignal): Promise<void> {
    this.#registers.clear();
    await this.#replica.loseEverything();
    // It is counted out itself, but speaks again.
    const others = revoked.filter((peer) => peer !== this.#self);
    for (let [before, tries] = [Infinity, 1]; ; tries++) {
      const left = await this.#giveUpAll(others, signal);
      if (left === 0) return;
      if (left < before) tries = 1;
      before = left;
      const waitMs = retryPauseMs(tries, left);
      await new Promise((resolve) => void setTimeout(resolve, waitMs).unref());
    }
  }

  /** Tries it with every lost register once. Returns how many are left. */
  async #giveUpAll(revoked: readonly PeerId[], signal: AbortSignal | undefined): Promise<number> {
    let left = 0;
    let after: Address | undefined;
    for (;;) {
      const entries = await this.list(after, givingUpPage);
      const registers = entries.map(({ address }) => address).filter((address) => kindOf(address) !== 'immutable');
      // Several hands on one list: a register that has to wait for its hosts does not hold up the others.
      const hands = Array.from({ length: givingUpAtOnce }, async () => {
        for (let address = registers.pop(); address !== undefined; address = registers.pop()) {
          if (!(await this.#giveUp(address, revoked, signal))) left++;
        }
      });
      await Promise.all(hands);
      if (entries.length < givingUpPage) return left;
      after = entries.at(-1)!.address;
    }
  }

  async #giveUp(address: Address, revoked: readonly PeerId[], signal: AbortSignal | undefined): Promise<boolean> {
    const call = withDeadline({ deadlineMs: givingUpDeadlineMs, ...(signal === undefined ? {} : { signal }) });
    const state = await this.inspect(address);
    if (state?.lost !== true) return this.#replica.dropPointer(address);
    const found = await this.resolve(address, call);
    if (found.status !== 'resolved') return false;
    const record = found.outcome.accepted?.record;
    // What was damaged before, and is nowhere else, stays lost: its promise is not known, so no floor covers it.
    if (record === undefined) return (await this.#replica.dropLost(address)) || state.promised === null;
    if (isMember(record, this.#self)) return false;
    await this.#settleUntilTold(address, revoked, call);
    if ((await this.inspect(address))?.lost === true) return false;
    // Whoever settles a block leaves out a host that is counted out: nobody would ever tell this one that its pointer leads nowhere any more.
    return this.#replica.dropPointer(address);
  }

  /** Has this host listed and told where a block is. Others that are to be told may be away: the settling is not waited for. */
  async #settleUntilTold(address: Address, revoked: readonly PeerId[], call: HousekeepingCall): Promise<void> {
    const told = new AbortController();
    const signal = call.signal === undefined ? told.signal : AbortSignal.any([call.signal, told.signal]);
    let settling = true;
    const settled = this.settle(address, revoked, [this.#self], { ...call, signal }).finally(() => (settling = false));
    while (settling) {
      await Promise.race([settled, new Promise((resolve) => setTimeout(resolve, toldMs))]);
      if ((await this.inspect(address))?.lost !== true) told.abort();
    }
    await settled;
  }
}

function withDeadline({ deadlineMs = defaultDeadlineMs, signal }: HousekeepingCall): HousekeepingCall & { readonly deadlineMs: number } {
  if (signal?.aborted === true) throw new InfinitError('cancelled', 'housekeeping was stopped');
  return signal === undefined ? { deadlineMs } : { deadlineMs, signal };
}

function cancelOf(call: HousekeepingCall): AbortSignal {
  const { deadlineMs, signal } = withDeadline(call);
  const timeout = AbortSignal.timeout(deadlineMs);
  return signal === undefined ? timeout : AbortSignal.any([signal, timeout]);
}

/** @throws InfinitError `damaged` where the bytes are not what the address stands for. */
function verifyStored(address: Address, bytes: Uint8Array): void {
  if (kindOf(address) !== 'immutable') decodeState(bytes);
  else if (!hashesTo(address, bytes)) throw new InfinitError('damaged', `the bytes stored as block ${address} do not hash to it`);
}
