import { assert, type Clock, codeOf, InfinitError, type Logger, messageOf, type Random, systemClock, systemRandom } from '../base/index.ts';

import { type Address, kindOf } from '../block/index.ts';
import {
  decodeReply,
  decodeRequest,
  encodeReply,
  encodeRequest,
  maxClockDrift,
  type Operation,
  type PeerId,
  type ProposalOutcome,
  read,
  type View,
} from '../consensus/index.ts';
import type { Disk } from '../disk/index.ts';
import type { Transport } from '../overlay/index.ts';
import type { BlockStore, CallOptions, CommitResult, Stage, StoredBlock, Update, UpdateOutcome } from './block-store.ts';
import { elsewhere, Here } from './here.ts';
import { Housekeeping } from './housekeeping.ts';
import { ImmutableBlocks } from './immutable-blocks.ts';
import { ChangeFeed } from './change-feed.ts';
import { ClientsElsewhere } from './clients-elsewhere.ts';
import { type Copy, inspectBlock, type InspectionContext } from './inspection.ts';
import { kinds } from './kinds.ts';
import { defaultLeaseTermMs, Leases } from './leases.ts';
import { blockIn, blockOf, outcomeOf } from './outcomes.ts';
import { Permits, type RightsOf } from './permits.ts';
import { RegisterLink } from './register-link.ts';
import { type AskPeer, Registers } from './registers.ts';
import { Replica } from './replica.ts';
import { soloPlacement, type StorePlacement } from './store-placement.ts';
import { checkUpdate, operationOf } from './update-operation.ts';

/** Where a call names no deadline, in ms. */
const defaultDeadlineMs = 5000;
/** Blocks that are deleted in one group. */
const forgetGroup = 1024;

export interface StoreOptions {
  readonly self: PeerId;
  readonly incarnation: number;
  readonly disk: Disk;
  readonly logger: Logger;
  /** The way to other hosts and the rule which of them hold what; absent: this host alone. */
  readonly cluster?: {
    readonly transport: Transport;
    readonly placement: StorePlacement;
    /** What other hosts may do; absent: everything. */
    readonly rightsOf?: RightsOf;
  };
  readonly clock?: Clock;
  readonly random?: Random;
  /** How long a lease lives without news of its holder; the same on all hosts. */
  readonly leaseTermMs?: number;
}

/** What agreement on mutable blocks took, as proposer (operations, rounds) and as replica (requests, loads from the disk). */
export interface StoreMeter {
  readonly operations: number;
  readonly rounds: number;
  readonly requests: number;
  readonly loads: number;
}

/** The block store of this host: acceptor, proposer and disk put together. */
export class Store implements BlockStore, AsyncDisposable {
  readonly #disk: Disk;
  readonly #logger: Logger;
  readonly #replica: Replica;
  readonly #registers: Registers;
  readonly #blocks: ImmutableBlocks;
  readonly #placement: StorePlacement;
  readonly #inspection: InspectionContext;
  readonly #changes: ChangeFeed;
  readonly #leases: Leases;
  readonly #link: RegisterLink;
  readonly #here: Here;
  readonly #listening: readonly ((() => void) | undefined)[];

  #clients = 0;
  readonly #elsewhere = new ClientsElsewhere();
  /** Told of a register whose record on this host turned out to be damaged. */
  onLost: (address: Address) => void = () => {};
  /** Told of a register that a replica refused, since its floor is too high or for somebody's lease: it may be short of a copy. */
  onRefused: (address: Address) => void = () => {};
  /** What repair may do. */
  readonly housekeeping: Housekeeping;

  private constructor(
    { self, incarnation, disk, logger, cluster, clock = systemClock, random = systemRandom, leaseTermMs = defaultLeaseTermMs }: StoreOptions,
    replica: Replica,
  ) {
    const { transport, placement } = cluster ?? { transport: undefined, placement: soloPlacement(self) };
    const views = (address: Address): readonly View[] => placement.views(address);
    this.#disk = disk;
    this.#logger = logger;
    this.#replica = replica;
    const ask = askThrough(transport);
    const permits = new Permits(cluster?.rightsOf);
    this.#link = new RegisterLink({ self, transport, replica, permits, onReply: (reply) => this.#registers.hear(reply), onBug: saysBugs(logger) });
    const hasSay = (): boolean => placement.hasSay !== false;
    this.#leases = new Leases({ self, incarnation, disk, clock, transport, permits, termMs: leaseTermMs }, replica.acceptor.leases);
    const onRefused = (address: Address): void => this.onRefused(address);
    this.#registers = new Registers({
      self,
      incarnation,
      replica,
      views,
      hasSay,
      floor: () => placement.floor ?? 0,
      mayBeLost: (address) => placement.mayBeLost?.(address) === true,
      send: (peers, request, again) => this.#link.send(peers, request, again),
      isConnected: (peer) => peer === self || transport?.isConnected(peer) === true,
      leases: this.#leases,
      random,
      onRefused,
      onWaiting: (waiting) => logger.debug('operations on mutable blocks wait for hosts', { ...waiting }),
    });
    this.#here = new Here(disk, replica, this.#registers);
    this.#listening = [transport?.onPeerUp((peer) => this.#registers.peerUp(peer)), transport?.onPeerDown(() => this.#registers.peerDown())];
    this.#changes = new ChangeFeed({ self, transport, permits, placement });
    this.#inspection = { self, replica, ask, disk, transport, placement };
    this.#blocks = new ImmutableBlocks({
      self,
      disk,
      transport,
      placement,
      permits,
      defaultDeadlineMs,
      onClients: () => this.#elsewhere.note(),
      isBusy: () => this.housekeeping.hasClients,
    });
    // What arrives may be part of a large receive buffer, and its value is kept: hence the copy.
    transport?.handle(kinds.register, async (peer, body) => {
      const request = decodeRequest(peer, new Uint8Array(body));
      permits.check(request);
      return encodeReply(await this.#replica.serve(request));
    });
    this.#placement = placement;
    this.housekeeping = new Housekeeping({
      self,
      disk,
      replica: this.#replica,
      registers: this.#registers,
      blocks: this.#blocks,
      ask,
      clients: () => this.#clients,
      elsewhere: this.#elsewhere,
      hasSay,
      leaseTermMs: leaseTermMs * (1 + 2 * maxClockDrift),
    });
  }

  /** @throws InfinitError as the disk's reads. */
  static async open(options: StoreOptions): Promise<Store> {
    const { self, incarnation, disk, cluster, clock = systemClock, leaseTermMs = defaultLeaseTermMs } = options;
    const placement = cluster?.placement ?? soloPlacement(self);
    const views = (address: Address): readonly View[] => placement.views(address);
    const onLost = (address: Address): void => store.onLost(address);
    const onDurable = (address: Address): void => store.#changes.changed(address);
    const recall = (holder: PeerId, address: Address): void => store.#leases.recall(holder, address);
    const replica = await Replica.open({
      self,
      incarnation,
      disk,
      clock,
      views,
      hasSay: () => placement.hasSay !== false,
      isMember: () => placement.isMember !== false,
      leaseTermMs,
      recall,
      onLost,
      onDurable,
      onBug: saysBugs(options.logger),
      onClients: () => store.#elsewhere.note(),
    });
    const store: Store = new Store(options, replica);
    return store;
  }

  get(address: Address, options: CallOptions = {}): Promise<Uint8Array> {
    assert(kindOf(address) === 'immutable', 'get is for immutable blocks; mutable ones are fetched');
    return this.#counted(this.#blocks.get(address, options));
  }

  fetch(address: Address, options: CallOptions = {}): Promise<StoredBlock | undefined> {
    return this.#counted(this.#fetch(address, options));
  }

  /** Counts since the start. */
  get meter(): StoreMeter {
    return { ...this.#registers.meter, ...this.#replica.meter };
  }

  /** Blocks of which this host as acceptor, and as proposer, has something in memory. */
  get cached(): { readonly registers: number; readonly hints: number } {
    return { registers: this.#replica.cached, hints: this.#registers.hints };
  }

  /** Has `listener` told when a mutable block may have changed; see {@link ChangeFeed}. */
  watch(address: Address, listener: () => void): Disposable {
    return this.#changes.watch(address, listener);
  }

  /** What each host that should have the block has of it: for people, not for decisions. */
  inspect(address: Address, deadlineMs?: number): Promise<Copy[]> {
    return inspectBlock(this.#inspection, address, deadlineMs);
  }

  async #counted<T>(call: Promise<T>): Promise<T> {
    this.#clients++;
    try {
      return await call;
    } finally {
      this.#clients--;
    }
  }

  async #fetch(address: Address, options: CallOptions): Promise<StoredBlock | undefined> {
    if (this.#registers.isHere(address)) {
      const found = await this.#here.fetch(address);
      if (found !== elsewhere) return found;
    }
    const held = this.#leases.read(address);
    return held === undefined ? blockIn(await this.#run(address, read, options), address) : blockOf(held, address);
  }

  #run(address: Address, operation: Operation, { deadlineMs = defaultDeadlineMs, signal, unleased = false }: CallOptions): Promise<ProposalOutcome> {
    return this.#registers.run(address, operation, { deadlineMs, signal, unleased });
  }

  commit(stages: readonly Stage[], options: CallOptions = {}): Promise<CommitResult> {
    for (const { update } of stages) if (update !== undefined) for (const each of update) checkUpdate(each);
    if (!this.#placement.alone) return this.#commitAcross(stages, options);
    // Updates go on for a while on a full disk, and removals always: nothing could be deleted otherwise.
    if (stages.some((stage) => (stage.put?.length ?? 0) > 0)) {
      const { state, reason } = this.#disk.status();
      if (state === 'read-only')
        return Promise.reject(new InfinitError('disk-full', `this host takes no more data: ${reason ?? 'its disk is read-only'}`));
    }
    return this.#counted(this.#commitAlone(stages, options));
  }

  async #commitAlone(stages: readonly Stage[], options: CallOptions): Promise<CommitResult> {
    const result = await this.#here.commit(stages, () => this.#placement.alone);
    return result === elsewhere ? this.#commitAcross(stages, options) : result;
  }

  /** Stage by stage, each over the network. */
  async #commitAcross(stages: readonly Stage[], options: CallOptions): Promise<CommitResult> {
    const versions: number[][] = [];
    let changed = false;
    this.#clients++;
    try {
      for (const [index, stage] of stages.entries()) {
        const proceeds = options.proceed?.();
        if ((proceeds instanceof Promise ? await proceeds : proceeds) === false)
          throw new InfinitError(index === 0 ? 'cancelled' : 'unknown-outcome', `stage ${index} of a commit was not to be begun any more`);
        if (stage.put !== undefined && stage.put.length > 0)
          await this.#blocks.put(stage.put, options).catch((error: unknown) => {
            if (!changed) throw error;
            throw new InfinitError('unknown-outcome', `a commit of several stages broke off: ${messageOf(error)}`, { cause: error });
          });
        const updates = stage.update ?? [];
        // One alone is waited for as it is: most commits have one, and to gather promises costs as much as a step of its register.
        const outcomes =
          updates.length === 1
            ? [await this.#updateAcross(updates[0]!, options)]
            : await Promise.all(updates.map((update) => this.#updateAcross(update, options)));
        versions.push(outcomes.map((outcome) => (outcome.status === 'committed' ? outcome.version : 0)));
        if (outcomes.some((outcome) => outcome.status !== 'committed')) return { done: false, stage: index, outcomes };
        changed ||= outcomes.length > 0;
        if (stage.drop !== undefined && stage.drop.length > 0) await this.#dropAcross(stage.drop);
        if (stage.erase !== undefined && stage.erase.length > 0) await this.#blocks.erase(stage.erase, options);
      }
    } finally {
      this.#clients--;
    }
    return { done: true, versions };
  }

  /** The others were told; a copy of nothing that stays on this host's disk is no reason to say that the commit failed. */
  async #dropAcross(addresses: readonly Address[]): Promise<void> {
    try {
      await this.#disk.write(this.#blocks.drop(addresses));
    } catch (error) {
      this.#logger.warn('blocks that nothing refers to stay on the disk', { blocks: addresses.length, error: messageOf(error) });
    }
  }

  async #updateAcross(update: Update, options: CallOptions): Promise<UpdateOutcome> {
    let running: Promise<ProposalOutcome>;
    try {
      running = this.#run(update.address, operationOf(update), options);
    } catch (error) {
      // It was not begun, but its siblings were, and earlier stages are committed.
      if (codeOf(error) === 'bug') throw error;
      return { status: 'failed', code: codeOf(error), message: messageOf(error) };
    }
    return outcomeOf(await running, update.address);
  }

  /** For a host that was alone and joins others: nothing that it kept means anything there. */
  async forgetEverything(): Promise<void> {
    let after: Address | undefined;
    for (;;) {
      const entries = await this.#disk.list(after, forgetGroup);
      if (entries.length === 0) break;
      await this.#disk.write(entries.map(({ address }) => ({ type: 'delete', address })));
      after = entries.at(-1)!.address;
    }
    this.#replica.clear();
    this.#registers.clear();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const stop of this.#listening) stop?.();
    this.#link[Symbol.dispose]();
    this.#changes[Symbol.dispose]();
    this.#leases[Symbol.dispose]();
    // What was held back leaves at the end of this turn, before anybody closes the connections.
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Register requests over the wire. A reply is checked against what was asked by the proposer itself. */
function askThrough(transport: Transport | undefined): AskPeer {
  if (transport === undefined) return (peer) => Promise.reject(new InfinitError('unavailable', `no way to host ${peer}`));
  return async (peer, request, signal) =>
    decodeReply(peer, new Uint8Array(await transport.request(peer, kinds.register, encodeRequest(request), { signal })));
}

/** A bug that another host's request meets ends neither this host nor what was asked beside it. */
function saysBugs(logger: Logger): (error: unknown) => void {
  return (error) => logger.error('requests of other hosts failed', { error });
}
