import { codeOf, InfinitError } from '../base/index.ts';
import { type Address, addressBytes, addressFromBytes, addressToBytes, hashesTo, kindOf } from '../block/index.ts';
import type { Disk, DiskOperation } from '../disk/index.ts';
import type { Handler, PeerId, Transport } from '../overlay/index.ts';
import { type CallOptions, maxImmutableBytes, type SealedBlock } from './block-store.ts';
import { AnswerTimes, type Waits } from './answer-times.ts';
import { CopyTurns } from './copy-turns.ts';
import { DroppedBlocks } from './dropped-blocks.ts';
import { Hedge } from './hedge.ts';
import { kinds } from './kinds.ts';
import type { Permits } from './permits.ts';
import { Spread } from './spread.ts';
import type { StorePlacement } from './store-placement.ts';

/** What one message says is dropped. */
const maxDropsAMessage = 4096;
/** A copy of so many bytes is sent after a question whether the host has it by now: it may have waited for its turn for long. */
const askedBytes = 64 * 1024;
/** How long a host is waited for before another is asked for its copy as well. */
const copyWaits: Waits = { minMs: 20, maxMs: 1000, firstMs: 60 };
/** Copies that are made anew after a read, at once. */
const maxWriteBacks = 8;

export interface ImmutableBlocksOptions {
  readonly self: PeerId;
  readonly disk: Disk;
  readonly transport: Transport | undefined;
  readonly placement: StorePlacement;
  readonly permits: Permits;
  readonly defaultDeadlineMs: number;
  /** Told that clients of other hosts wait for what is kept here. */
  readonly onClients: () => void;
  /** Whether clients are at work, on this host or on others that it serves. */
  readonly isBusy: () => boolean;
}

/** What a host that takes a copy says of itself, and whom that is told: times as long as a copy took that whoever sends it is to rest. */
export interface CopyStrain {
  own(): number;
  told(factor: number): void;
}

/** Immutable blocks on all hosts: no consensus, since the address says what the bytes must be. */
export class ImmutableBlocks {
  readonly #options: ImmutableBlocksOptions;
  readonly #dropped = new DroppedBlocks();
  readonly #times = new AnswerTimes(copyWaits);
  readonly #turns: CopyTurns;
  #writingBack = 0;
  /** Repair's, where there is one. */
  strain: CopyStrain = { own: () => 1, told: () => {} };

  constructor(options: ImmutableBlocksOptions) {
    this.#options = options;
    this.#turns = new CopyTurns(options.isBusy);
    const { transport, permits } = options;
    // The disk is done with the bytes when it acknowledged them.
    const [writes, keeps] = [(peer: PeerId): void => permits.checkWrites(peer), (peer: PeerId): void => permits.checkKeeps(peer)];
    transport?.handle(
      kinds.putBlock,
      permitted(writes, (body) => {
        options.onClients();
        return this.#keep(body);
      }),
      { borrows: true },
    );
    transport?.handle(
      kinds.copyBlock,
      permitted(keeps, (body) => this.#keepCopy(body)),
      { borrows: true },
    );
    transport?.handle(kinds.getBlock, (_peer, body) => this.#give(addressFromBytes(body)), { channel: 'bulk' });
    transport?.handle(
      kinds.dropBlocks,
      permitted(keeps, (body) => this.#dropHere(addressesIn(body))),
    );
    transport?.handle(
      kinds.eraseBlocks,
      permitted(writes, (body) => this.#eraseHere(addressesIn(body))),
    );
    transport?.handle(kinds.hasBlocks, (_peer, body) => this.#hasHere(addressesIn(body)));
  }

  /** Resolves when a majority of each block's replicas has it on stable storage; the others go on in the background. */
  async put(blocks: readonly SealedBlock[], options: CallOptions): Promise<void> {
    const here: DiskOperation[] = [];
    const away: Promise<void>[] = [];
    const local = Promise.withResolvers<void>();
    for (const block of blocks) {
      const ranked = this.#options.placement.rank(block.address);
      const wanted = Math.min(this.#options.placement.replicas, ranked.length);
      const mine = ranked.slice(0, wanted).includes(this.#options.self);
      this.#dropped.forget(block.address);
      if (mine) here.push({ type: 'put', address: block.address, bytes: block.sealed });
      away.push(this.#spread(block, ranked, wanted, mine ? local.promise : undefined, options));
    }
    if (here.length === 0) local.resolve();
    else this.#options.disk.write(here).then(local.resolve, local.reject);
    // Each block has its own majority; a host's failed disk is one copy fewer, not the end.
    local.promise.catch(() => {});
    await Promise.all(away);
  }

  /** The sealed bytes, from this host or whichever copy answers first; bytes that do not fit the address are not an answer. */
  async get(address: Address, { deadlineMs = this.#options.defaultDeadlineMs, signal, memory, part }: CallOptions): Promise<Uint8Array> {
    let unread: unknown;
    const own = await this.#readOwn(address, memory, part).catch((error: unknown) => {
      if (this.#options.transport === undefined || (codeOf(error) !== 'overloaded' && codeOf(error) !== 'damaged')) throw error;
      unread = error;
      return undefined;
    });
    if (own !== undefined) return own;
    const fetched = await this.#fetch(address, { deadlineMs, ...(signal === undefined ? {} : { signal }) }).catch((error: unknown) => {
      // This host's copy may be the only one: that others have none does not mean that there is none. One that cannot be read now may be read later.
      throw unread !== undefined && (codeOf(error) === 'not-found' || codeOf(unread) === 'overloaded') ? unread : error;
    });
    this.#writeBack(address, fetched);
    return part === undefined ? fetched : fetched.slice(part.offset, part.offset + part.length);
  }

  /** Read repair: a copy that should be here, and was missing or damaged, is made anew from the one that was fetched. */
  #writeBack(address: Address, fetched: Uint8Array): void {
    const { self, placement, disk } = this.#options;
    if (this.#writingBack >= maxWriteBacks || this.#dropped.has(address)) return;
    if (!placement.rank(address).slice(0, placement.replicas).includes(self)) return;
    this.#writingBack++;
    // The caller owns what it was given, and may change it.
    const write = disk.write([{ type: 'put', address, bytes: Uint8Array.from(fetched) }]);
    write.catch(() => {}).finally(() => this.#writingBack--);
  }

  /** The bytes from another host. */
  async #fetch(address: Address, { deadlineMs = this.#options.defaultDeadlineMs, signal }: CallOptions): Promise<Uint8Array> {
    const { self, transport, placement } = this.#options;
    const ranked = placement.rank(address);
    const isInReach = (peer: PeerId): boolean => peer !== self && transport?.isConnected(peer) === true;
    const replicas = ranked.slice(0, placement.replicas).filter(isInReach);
    const others = ranked.slice(placement.replicas).filter(isInReach);
    const inReach = replicas.length + others.length;
    if (transport === undefined || inReach === 0)
      throw new InfinitError(
        transport === undefined || placement.alone ? 'not-found' : 'unavailable',
        `there is no copy of block ${address} in reach`,
      );
    // A host that cannot be asked may be the one that has it.
    const certain = inReach === ranked.filter((peer) => peer !== self).length;
    const giveUpAt = performance.now() + deadlineMs;
    const ask = (peer: PeerId, cancel: AbortSignal): Promise<Uint8Array> => {
      const left = giveUpAt - performance.now();
      if (left <= 0) return Promise.reject(new InfinitError('deadline-exceeded', `host ${peer} was not asked: there was no time left`));
      const both = signal === undefined ? cancel : AbortSignal.any([signal, cancel]);
      return transport.request(peer, kinds.getBlock, addressToBytes(address), {
        channel: 'bulk',
        deadlineMs: left,
        signal: both,
        replyBytes: 1024 * 1024,
      });
    };
    const fetched = await new Hedge({ address, replicas, others, certain, times: this.#times, ask }).result;
    // It may lie in a receive buffer between other messages, and is to be the caller's own.
    return new Uint8Array(fetched);
  }

  /** Which of the blocks a host (or this one) has on stable storage, not known to be damaged. */
  async has(peer: PeerId, addresses: readonly Address[], { deadlineMs, signal }: CallOptions): Promise<readonly boolean[]> {
    const { self, transport } = this.#options;
    const answers: boolean[] = [];
    for (let at = 0; at < addresses.length; at += maxDropsAMessage) {
      const group = addresses.slice(at, at + maxDropsAMessage);
      const options = { ...(deadlineMs === undefined ? {} : { deadlineMs }), ...(signal === undefined ? {} : { signal }) };
      const bytes =
        peer === self
          ? await this.#hasHere(group)
          : await this.#way(peer, transport).request(peer, kinds.hasBlocks, group.map(addressToBytes), options);
      if (bytes.length !== group.length) throw new InfinitError('bad-argument', `host ${peer} answered ${bytes.length} of ${group.length} questions`);
      for (const byte of bytes) answers.push(byte === 1);
    }
    return answers;
  }

  /** This host's copy. undefined: there is no good one here. */
  async own(address: Address): Promise<Uint8Array | undefined> {
    const sealed = await this.#readOwn(address).catch((error: unknown) => {
      // As good as none: it is written anew when another was fetched.
      if (this.#options.transport === undefined || codeOf(error) !== 'damaged') throw error;
      return undefined;
    });
    return sealed !== undefined && hashesTo(address, sealed) ? sealed : undefined;
  }

  /** Has another host keep the block. Resolves to the bytes that were sent, 0 where it had it already; undefined: it was removed. */
  async give(address: Address, sealed: Uint8Array, peer: PeerId, call: CallOptions): Promise<number | undefined> {
    if (sealed.length >= askedBytes && (await this.has(peer, [address], call))[0] === true) return 0;
    const { deadlineMs, signal } = call;
    const options = { channel: 'bulk', ...(deadlineMs === undefined ? {} : { deadlineMs }), ...(signal === undefined ? {} : { signal }) } as const;
    try {
      const reply = await this.#way(peer, this.#options.transport).request(peer, kinds.copyBlock, [addressToBytes(address), sealed], options);
      // Hosts of before say nothing of themselves.
      if (reply.length > 0) this.strain.told(reply[0]!);
    } catch (error) {
      // It was removed, and the news did not come here.
      if (codeOf(error) !== 'conflict') throw error;
      await this.#dropHere([address]);
      return undefined;
    }
    return sealed.length;
  }

  /** Fetches a block that is missing or damaged here, and keeps it. Resolves to its bytes, 0 where a good copy came meanwhile. */
  async pull(address: Address, options: CallOptions): Promise<number> {
    if (this.#dropped.has(address)) {
      this.#tellDropped([address]);
      throw new InfinitError('not-found', `block ${address} was removed`);
    }
    if (await this.#isHere(address)) return 0;
    const sealed = await this.#fetch(address, options);
    await this.#options.disk.write([{ type: 'put', address, bytes: sealed }]);
    return sealed.length;
  }

  #way(peer: PeerId, transport: Transport | undefined): Transport {
    if (transport === undefined) throw new InfinitError('unavailable', `no way to host ${peer}`);
    return transport;
  }

  /**
   * Nothing refers to these any longer, and nobody will put them again: their bytes may go, here and elsewhere. What cannot be told now is found by scrub.
   */
  drop(addresses: readonly Address[]): DiskOperation[] {
    this.#dropped.add(addresses);
    this.#tellDropped(addresses);
    return addresses.map((address) => ({ type: 'delete', address }));
  }

  /**
   * Deletes blocks that may be put again. No mark stays, which would turn against the block put anew; and it ends when each host in reach has deleted
   * its copy, since a notice that comes late would do so. What was sent to a host whose connection is gone comes before all that it is told on the next one.
   * @throws InfinitError `unknown-outcome`.
   */
  async erase(addresses: readonly Address[], { deadlineMs = this.#options.defaultDeadlineMs, signal }: CallOptions): Promise<void> {
    const { transport } = this.#options;
    const options = { channel: 'bulk', deadlineMs, ...(signal === undefined ? {} : { signal }) } as const;
    const away = async (peer: PeerId, group: readonly Address[]): Promise<void> => {
      try {
        await transport!.request(peer, kinds.eraseBlocks, group.map(addressToBytes), options);
      } catch (error) {
        // Whatever kept a host in reach from it, its copy may be there still, or be deleted later. One of a version that knows no such request never will.
        if (codeOf(error) !== 'unsupported' && transport!.isConnected(peer)) throw error;
      }
    };
    const all: Promise<void>[] = [];
    for (let at = 0; at < addresses.length; at += maxDropsAMessage) {
      const group = addresses.slice(at, at + maxDropsAMessage);
      all.push(this.#eraseHere(group).then(() => {}));
      for (const peer of transport?.connected() ?? []) all.push(away(peer, group));
    }
    const failed = (await Promise.allSettled(all)).find((one) => one.status === 'rejected');
    if (failed !== undefined) throw new InfinitError('unknown-outcome', 'not every host in reach has deleted its copies', { cause: failed.reason });
  }

  #tellDropped(addresses: readonly Address[]): void {
    const { transport } = this.#options;
    for (const peer of transport?.connected() ?? []) {
      for (let at = 0; at < addresses.length; at += maxDropsAMessage)
        transport!.notify(peer, kinds.dropBlocks, addresses.slice(at, at + maxDropsAMessage).map(addressToBytes));
    }
  }

  #spread(block: SealedBlock, ranked: readonly PeerId[], wanted: number, local: Promise<void> | undefined, options: CallOptions): Promise<void> {
    const { self, transport, defaultDeadlineMs } = this.#options;
    const { address, sealed } = block;
    const body = [addressToBytes(address), sealed];
    const onReleased = (): void => options.onReleased?.(block);
    const ask = (peer: PeerId, deadlineMs: number): Promise<unknown> =>
      transport === undefined
        ? Promise.reject(new InfinitError('unavailable', `no way to host ${peer}`))
        : transport.request(peer, kinds.putBlock, body, { channel: 'bulk', deadlineMs });
    return new Spread({ address, ranked, wanted, self, local, deadlineMs: options.deadlineMs ?? defaultDeadlineMs, ask, onReleased }).done;
  }

  async #keep(body: Uint8Array): Promise<undefined> {
    const address = addressFromBytes(body);
    const sealed = body.subarray(addressBytes);
    if (sealed.length > maxImmutableBytes)
      throw new InfinitError('too-large', `block ${address} has ${sealed.length} bytes; ${maxImmutableBytes} are allowed`);
    if (!hashesTo(address, sealed)) throw new InfinitError('damaged', `the bytes sent as block ${address} do not hash to it`);
    this.#dropped.forget(address);
    await this.#options.disk.write([{ type: 'put', address, bytes: sealed }]);
  }

  async #keepCopy(body: Uint8Array): Promise<Uint8Array> {
    const address = addressFromBytes(body);
    // Several hosts may find at once that it is missing here.
    if (!(await this.#isWanted(address))) return this.#ownStrain();
    await this.#turns.run(async () => {
      // It may have been removed, or come from another host, while it waited for its turn.
      if (await this.#isWanted(address)) await this.#keep(body);
    });
    return this.#ownStrain();
  }

  /** @throws InfinitError `conflict` where it was removed. */
  async #isWanted(address: Address): Promise<boolean> {
    const isHere = await this.#isHere(address);
    if (this.#dropped.has(address)) throw new InfinitError('conflict', `block ${address} was removed`);
    return !isHere;
  }

  #ownStrain(): Uint8Array {
    return Uint8Array.of(Math.min(255, Math.round(this.strain.own())));
  }

  /** Whether this host has the block on stable storage, and knows of no damage to it. */
  async #isHere(address: Address): Promise<boolean> {
    const { disk } = this.#options;
    return (await disk.has(address)) && !disk.isDamaged(address);
  }

  async #give(address: Address): Promise<Uint8Array> {
    const bytes = await this.#options.disk.read(address);
    if (bytes === undefined) throw new InfinitError('not-found', `block ${address} is not on this host`);
    return bytes;
  }

  /** This host's copy, or the part of it. */
  #readOwn(address: Address, memory?: Uint8Array, part?: CallOptions['part']): Promise<Uint8Array | undefined> {
    const { disk } = this.#options;
    return part === undefined ? disk.read(address, memory) : disk.readPart(address, part.offset, part.length);
  }

  async #dropHere(addresses: readonly Address[]): Promise<undefined> {
    this.#dropped.add(addresses);
    return this.#eraseHere(addresses);
  }

  async #eraseHere(addresses: readonly Address[]): Promise<undefined> {
    await this.#options.disk.write(addresses.map((address) => ({ type: 'delete', address })));
  }

  async #hasHere(addresses: readonly Address[]): Promise<Uint8Array> {
    return Uint8Array.from(await Promise.all(addresses.map(async (address) => ((await this.#isHere(address)) ? 1 : 0))));
  }
}

function permitted(check: (peer: PeerId) => void, serve: (body: Uint8Array) => Promise<Uint8Array | undefined>): Handler {
  return (peer, body) => {
    check(peer);
    return serve(body);
  };
}

function addressesIn(body: Uint8Array): Address[] {
  if (body.length % addressBytes !== 0 || body.length > maxDropsAMessage * addressBytes)
    throw new InfinitError('bad-argument', `${body.length} bytes are no list of addresses`);
  return Array.from({ length: body.length / addressBytes }, (_, index) => immutableFrom(body, index * addressBytes));
}

/** Registers are not dropped by a message: what they promised must stay. */
function immutableFrom(body: Uint8Array, offset: number): Address {
  const address = addressFromBytes(body, offset);
  if (kindOf(address) !== 'immutable') throw new InfinitError('bad-argument', `block ${address} is not immutable`);
  return address;
}
