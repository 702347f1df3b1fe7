import { type Clock, InfinitError, LeaseClock } from '../base/index.ts';
import type { Address } from '../block/index.ts';
import {
  type Accepted,
  decodeLeaseMessage,
  type EarlierHolder,
  encodeLeaseMessage,
  LeaseHolder,
  type LeaseGrants,
  type LeaseMessage,
  type LeaseRequest,
  type LeaseTable,
  maxClockDrift,
  type PeerId,
} from '../consensus/index.ts';
import type { Disk } from '../disk/index.ts';
import type { Transport } from '../overlay/index.ts';
import { kinds } from './kinds.ts';
import { LeasePolicy } from './lease-policy.ts';
import type { Permits } from './permits.ts';

/** How long a lease lives without news of its holder, in ms: for so long a host that died may hold up writers of what it read often. The same on all hosts. */
export const defaultLeaseTermMs = 3000;
/** Heartbeats in a term. */
const heartbeatsPerTerm = 4;
/** Heartbeats go on for so many terms after the last lease was wanted. */
const idleTerms = 4;
/** Where the disk keeps who may hold leases granted here. */
const holdersKey = 'acceptor/lease-holders';

export interface LeasesOptions {
  readonly self: PeerId;
  readonly incarnation: number;
  readonly disk: Disk;
  readonly clock: Clock;
  readonly transport: Transport | undefined;
  readonly permits: Permits;
  readonly termMs: number;
}

/** Who may hold leases that this host's acceptor granted before it was restarted. @throws InfinitError `damaged`. */
export async function earlierHolders(disk: Disk): Promise<readonly EarlierHolder[]> {
  const bytes = await disk.readMeta(holdersKey);
  if (bytes === undefined) return [];
  try {
    return JSON.parse(Buffer.from(bytes).toString('utf8')) as EarlierHolder[];
  } catch (cause) {
    throw new InfinitError('damaged', 'the list of lease holders on this disk cannot be read', { cause });
  }
}

/**
 * Shared leases of this host on blocks that it reads often, and the messages of both sides: while a lease holds, a read is answered from memory, and is as
 * fresh as a quorum's answer (docs/consensus.md, “Quorum leases”). A lease costs others one recall when they write the block.
 */
export class Leases implements Disposable {
  readonly #options: LeasesOptions;
  readonly #table: LeaseTable;
  readonly #holder: LeaseHolder;
  readonly #policy = new LeasePolicy();
  readonly #clock: LeaseClock;
  #beating: NodeJS.Timeout | undefined;
  #wantedAt = -Infinity;
  /** The write that makes the holders durable; undefined: they are. */
  #remembering: Promise<void> | undefined;
  #forgot = false;
  #closed = false;
  readonly #stopListening: () => void;
  /** Forgets what expired at this host's acceptor, once a term while heartbeats come and once after the last. */
  #sweeping: NodeJS.Timeout | undefined;

  constructor(options: LeasesOptions, table: LeaseTable) {
    this.#options = options;
    this.#table = table;
    const { self, incarnation, transport, permits, termMs } = options;
    this.#clock = new LeaseClock(options.clock);
    this.#holder = new LeaseHolder({ self, incarnation, termMs, drift: maxClockDrift });
    transport?.handle(kinds.lease, (peer, body) => {
      const message = decodeLeaseMessage(peer, body);
      // Only an acceptor recalls, grants and forgets.
      const isHolders = message.type === 'heartbeat' || message.type === 'release' || message.type === 'forgot-reply';
      if (isHolders || permits.answers(peer)) this.#hear(message);
      return undefined;
    });
    this.#stopListening = transport?.onPeerUp((peer) => this.#askToForget(peer)) ?? (() => {});
    for (const peer of transport?.connected() ?? []) this.#askToForget(peer);
  }

  /** The holder's count of requests, which all accepts carry. */
  readonly requests = (): number => this.#holder.clock;

  /** What the block holds for certain now; undefined: a quorum must be asked. */
  read(block: Address): Accepted | undefined {
    if (this.#policy.held === 0) return undefined;
    const accepted = this.#holder.read(block, this.#clock.now());
    if (accepted !== undefined) this.#policy.used(block);
    return accepted;
  }

  /** What a read of a quorum should carry so that the next ones need none; undefined where it is not worth it. */
  ask(block: Address): LeaseRequest | undefined {
    if (this.#options.transport === undefined || this.#closed) return undefined;
    const now = this.#clock.now();
    if (!this.#policy.isWanted(block, now)) return undefined;
    this.#wantedAt = now;
    this.#beating ??= this.#startBeating();
    return this.#holder.request(block, 'shared');
  }

  /** Takes what a read without accepts brought. */
  granted(block: Address, grants: LeaseGrants): void {
    if (this.#holder.granted(block, grants, this.#clock.now())) this.#keep(block, grants.accepted);
  }

  /** Before the first accept of an operation is sent. */
  beginWrite(block: Address): void {
    this.#holder.beginWrite(block);
  }

  /** After an operation that sent accepts. `committed`: what it made sure of, if that is known. */
  endWrite(block: Address, committed: Accepted | undefined, grants: LeaseGrants | null): void {
    if (this.#holder.endWrite(block, committed, grants, this.#clock.now())) this.#keep(block, committed!);
    else this.#policy.dropped(block);
  }

  /** The block was written by this host alone, in one step: what is held of it is of before. */
  forget(block: Address): void {
    if (this.#policy.holds(block)) this.#release(block);
  }

  /** Sends a recall: somebody waits for a block that another host holds. */
  recall(holder: PeerId, block: Address): void {
    this.#tell(holder, { type: 'recall', from: this.#options.self, block });
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    this.#stopListening();
    clearInterval(this.#beating);
    clearTimeout(this.#sweeping);
  }

  /** This acceptor abstains for hosts that may hold leases of before it was restarted, until they say that they do not. */
  #askToForget(peer: PeerId): void {
    const { to, message } = this.#table.forgot();
    if (to.includes(peer)) this.#tell(peer, message);
  }

  #keep(block: Address, { record }: Accepted): void {
    for (const surplus of this.#policy.keep(block, record.value?.length ?? 0)) this.#release(surplus);
  }

  #release(block: Address): void {
    this.#policy.dropped(block);
    const message = this.#holder.drop(block);
    for (const peer of this.#everybody()) this.#tell(peer, message);
  }

  #everybody(): readonly PeerId[] {
    return [this.#options.self, ...(this.#options.transport?.connected() ?? [])];
  }

  #tell(peer: PeerId, message: LeaseMessage): void {
    if (peer === this.#options.self) this.#hear(message);
    else this.#options.transport?.notify(peer, kinds.lease, encodeLeaseMessage(message));
  }

  #hear(message: LeaseMessage): void {
    switch (message.type) {
      case 'heartbeat': {
        const { reply, remember } = this.#table.heartbeat(message, this.#options.clock.monotonicMs());
        if (remember !== undefined || this.#forgot) this.#remember();
        this.#sweepLater();
        if (reply === undefined) return;
        if (this.#remembering === undefined) this.#tell(message.from, reply);
        else
          this.#remembering.then(
            () => this.#tell(message.from, reply),
            () => {},
          );
        return;
      }
      case 'heartbeat-reply':
        return this.#holder.onHeartbeatReply(message);
      case 'recall':
        this.#policy.recalled(message.block as Address, this.#clock.now());
        return this.#release(message.block as Address);
      case 'release':
        return this.#table.release(message, this.#options.clock.monotonicMs());
      case 'forgot': {
        const answer = this.#holder.onForgot(message, this.#clock.now());
        return answer === undefined ? undefined : this.#tell(message.from, answer);
      }
      case 'forgot-reply':
        return this.#table.onForgotReply(message);
    }
  }

  #sweepLater(): void {
    if (this.#closed) return;
    this.#sweeping ??= setTimeout(() => {
      this.#sweeping = undefined;
      this.#table.sweep(this.#options.clock.monotonicMs());
    }, 2 * this.#options.termMs).unref();
  }

  /** Makes durable who may hold leases: without it a restarted acceptor would not know for whom to abstain. */
  #remember(): void {
    const bytes = Buffer.from(JSON.stringify(this.#table.holders()));
    const write = this.#options.disk.write([{ type: 'put-meta', key: holdersKey, bytes }]);
    this.#forgot = false;
    this.#remembering = write;
    const settled = (failed: boolean): void => {
      if (failed) this.#forgot = true;
      if (this.#remembering === write) this.#remembering = undefined;
    };
    write.then(
      () => settled(false),
      () => settled(true),
    );
  }

  #startBeating(): NodeJS.Timeout {
    this.#beat();
    return setInterval(() => this.#beat(), this.#options.termMs / heartbeatsPerTerm).unref();
  }

  /** One heartbeat a pair of hosts keeps all leases; none is sent while no lease is wanted. */
  #beat(): void {
    const now = this.#clock.now();
    for (const block of this.#holder.sweep(now)) this.#release(block as Address);
    for (const block of this.#policy.unused()) this.#release(block);
    if (now - this.#wantedAt > idleTerms * this.#options.termMs && this.#policy.held === 0) {
      clearInterval(this.#beating);
      this.#beating = undefined;
      return;
    }
    for (const peer of this.#everybody()) this.#tell(peer, this.#holder.heartbeat(now));
  }
}
