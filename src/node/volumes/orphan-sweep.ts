import { setTimeout as sleep } from 'node:timers/promises';

import { codeOf, InfinitError, type Logger } from '../../base/index.ts';
import { type Address, headerBytes, kindOf, ownerOf } from '../../block/index.ts';
import type { Disk } from '../../disk/index.ts';
import type { OwnedBlock } from '../../filesystem/index.ts';
import type { PeerId, Transport } from '../../overlay/index.ts';
import type { BlockStore } from '../../store/index.ts';
import type { Catalogue } from './catalogue.ts';
import { jsonBody } from '../control/json-body.ts';
import { nodeKinds } from '../kinds.ts';
import type { Volumes } from './volumes.ts';
import { leaseHolder } from '../sharing/volume-lease.ts';

/** How often a host looks through its blocks, and how long after its start it does so first, in ms. */
const everyMs = 6 * 3_600_000;
const firstMs = 15 * 60_000;
/** Blocks looked at in one step; after each the sweep sleeps so many times as long as it worked. */
const pageBlocks = 64;
const restFactor = 4;
/** Blocks of one volume that are asked about at once. */
const groupBlocks = 2048;
/** Volumes that are gathered for at once; of more, the fullest is asked about first. */
const maxGroups = 1024;
const askDeadlineMs = 60_000;
const volumeIdBytes = 16;

export interface OrphanSweepContext {
  readonly disk: Disk;
  readonly store: BlockStore;
  readonly catalogue: Catalogue;
  readonly volumes: Volumes;
  /** Whether a member has the right to store: who stores nothing has no blocks to ask about. */
  readonly mayStore: (peer: PeerId) => boolean;
  /** The way to other hosts, where this one belongs to a cluster at this moment. */
  readonly cluster: () => Transport | undefined;
  readonly logger: Logger;
}

/** How a sweep is limited. */
export interface SweepLimits {
  /** Only this volume. */
  readonly volumeId?: string;
  /** Count only, free nothing. */
  readonly dry?: boolean;
  readonly signal?: AbortSignal;
}

/** What a sweep saw on this host. */
export interface SweepReport {
  /** Immutable blocks that were looked at. */
  readonly blocks: number;
  /** Of those, blocks that nothing refers to, and their bytes. */
  readonly unreferenced: number;
  readonly unreferencedBytes: number;
}

/**
 * Frees what writers that crashed left behind. Each host looks through its own disk; every immutable block says whose it is, and whoever has
 * that volume open is asked whether anything refers to it. A volume that nobody has open is left for later; one that was deleted for good
 * needs no asking. What belongs to no volume that is known (a bucket's blocks, say) is not touched.
 */
export class OrphanSweep implements AsyncDisposable {
  readonly #context: OrphanSweepContext;
  readonly #stop = new AbortController();
  #timer: NodeJS.Timeout;
  #running: Promise<unknown> = Promise.resolve();

  constructor(context: OrphanSweepContext, transport: Transport) {
    this.#context = context;
    transport.handle(nodeKinds.judgeBlocks, (peer, body) => {
      if (!context.mayStore(peer)) throw new InfinitError('denied', `host ${peer} has no right to store blocks, so it asks about none`);
      return this.#answer(body);
    });
    this.#timer = setTimeout(() => this.#inBackground(), firstMs);
    this.#timer.unref();
  }

  #inBackground(): void {
    this.#running = this.run({ signal: this.#stop.signal })
      .then(({ blocks, unreferenced, unreferencedBytes }) => {
        if (unreferenced > 0) this.#context.logger.info('freed what crashed writers had left', { blocks, unreferenced, bytes: unreferencedBytes });
      })
      .catch((error: unknown) => this.#context.logger.debug('the sweep for orphaned blocks ended early', { error }))
      .finally(() => {
        this.#timer = setTimeout(() => this.#inBackground(), everyMs);
        this.#timer.unref();
      });
  }

  /** Looks through this host's immutable blocks once. @throws InfinitError where the disk fails, or the signal's reason. */
  async run(limits: SweepLimits = {}): Promise<SweepReport> {
    const run = new SweepRun(this.#context, limits);
    return run.all();
  }

  /** Another host asks about blocks of a volume that is open here. */
  async #answer(body: Uint8Array): Promise<Uint8Array> {
    const volumeId = Buffer.from(body.subarray(0, volumeIdBytes)).toString('hex');
    const blocks = decodeHeld(body.subarray(volumeIdBytes));
    const found = await this.#context.volumes.servedById(volumeId)?.unreferenced(blocks);
    return Buffer.from(JSON.stringify(found ?? null));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearTimeout(this.#timer);
    this.#stop.abort(new InfinitError('closed', 'the daemon stops'));
    await this.#running;
    clearTimeout(this.#timer);
  }
}

/** @throws InfinitError `bad-argument` for what is no list of blocks. */
function decodeHeld(body: Uint8Array): OwnedBlock[] {
  const rows = jsonBody(body);
  if (!Array.isArray(rows)) throw new InfinitError('bad-argument', 'no list of blocks');
  return rows.map((row: unknown) => {
    const [address, inode, session] = Array.isArray(row) ? (row as unknown[]) : [];
    if (typeof address !== 'string' || !Number.isSafeInteger(inode) || !Number.isSafeInteger(session))
      throw new InfinitError('bad-argument', 'a list of blocks holds something else');
    return { address: address as Address, inode: inode as number, session: session as number };
  });
}

interface Held extends OwnedBlock {
  readonly size: number;
}

/** One walk over the disk. */
class SweepRun {
  readonly #context: OrphanSweepContext;
  readonly #limits: SweepLimits;
  readonly #groups = new Map<string, Held[]>();
  /** Volumes of which nothing can be learned in this run. */
  readonly #silent = new Set<string>();
  #blocks = 0;
  #unreferenced = 0;
  #unreferencedBytes = 0;

  constructor(context: OrphanSweepContext, limits: SweepLimits) {
    this.#context = context;
    this.#limits = limits;
  }

  async all(): Promise<SweepReport> {
    const { disk } = this.#context;
    for (let after: Address | undefined; ;) {
      this.#limits.signal?.throwIfAborted();
      const began = performance.now();
      const page = await disk.list(after, pageBlocks);
      // Immutable addresses come first.
      const blocks = page.filter(({ address }) => kindOf(address) === 'immutable');
      await Promise.all(blocks.map(({ address, size }) => this.#note(address, size)));
      for (const [volumeId, held] of this.#groups) {
        if (held.length >= groupBlocks || this.#groups.size > maxGroups) await this.#settle(volumeId, held);
      }
      after = page.at(-1)?.address;
      if (page.length < pageBlocks || blocks.length < page.length) break;
      if (this.#limits.volumeId === undefined) await sleep((performance.now() - began) * restFactor, undefined, { signal: this.#limits.signal });
    }
    for (const [volumeId, held] of this.#groups) await this.#settle(volumeId, held);
    return { blocks: this.#blocks, unreferenced: this.#unreferenced, unreferencedBytes: this.#unreferencedBytes };
  }

  async #note(address: Address, size: number): Promise<void> {
    try {
      const head = await this.#context.disk.head(address, headerBytes);
      if (head === undefined) return;
      const { volume, inode, session } = ownerOf(head);
      const volumeId = Buffer.from(volume).toString('hex');
      if (this.#silent.has(volumeId) || (this.#limits.volumeId ?? volumeId) !== volumeId) return;
      this.#blocks++;
      const held = { address, inode, session, size };
      const group = this.#groups.get(volumeId);
      if (group === undefined) this.#groups.set(volumeId, [held]);
      else group.push(held);
    } catch (error) {
      // Scrub and repair see to damage; a block that is none of ours is none of ours.
      if (codeOf(error) !== 'damaged') throw error;
    }
  }

  async #settle(volumeId: string, held: readonly Held[]): Promise<void> {
    this.#groups.delete(volumeId);
    const found = await this.#unreferencedOf(volumeId, held).catch((error: unknown) => {
      this.#context.logger.debug('nothing can be learned of a volume’s blocks now', { volumeId, error });
      return undefined;
    });
    if (found === undefined) {
      this.#silent.add(volumeId);
      return;
    }
    const condemned = new Set(found);
    const garbage = held.filter(({ address }) => condemned.has(address));
    this.#unreferenced += garbage.length;
    for (const { size } of garbage) this.#unreferencedBytes += size;
    // Wherever copies are: what is nobody's is nobody's everywhere.
    if (garbage.length > 0 && this.#limits.dry !== true) await this.#context.store.commit([{ drop: garbage.map(({ address }) => address) }]);
  }

  /** undefined: not known. */
  async #unreferencedOf(volumeId: string, held: readonly Held[]): Promise<readonly Address[] | undefined> {
    const { catalogue, volumes, store, cluster } = this.#context;
    const known = (await catalogue.list()).some(({ id }) => id === volumeId);
    if (!known) return (await catalogue.isGone(volumeId)) ? held.map(({ address }) => address) : undefined;
    const here = await volumes.servedById(volumeId)?.unreferenced(held);
    const transport = cluster();
    if (here !== undefined || transport === undefined) return here;
    const holder = await leaseHolder(store, volumeId);
    if (holder === undefined || !transport.isConnected(holder)) return undefined;
    return this.#ask(transport, holder, volumeId, held);
  }

  async #ask(transport: Transport, holder: PeerId, volumeId: string, held: readonly Held[]): Promise<readonly Address[] | undefined> {
    const rows = held.map(({ address, inode, session }) => [address, inode, session]);
    const body = [Buffer.from(volumeId, 'hex'), Buffer.from(JSON.stringify(rows))];
    const answer = await transport.request(holder, nodeKinds.judgeBlocks, body, { channel: 'bulk', deadlineMs: askDeadlineMs });
    return (jsonBody(answer) as Address[] | null) ?? undefined;
  }
}
