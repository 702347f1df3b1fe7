import { type Address, immutableAddress, mutableAddress } from '../../../src/block/index.ts';
import { ExtentMap, type ExtentCommit, type ExtentNodeIo, type ExtentOptions } from '../../../src/filesystem/extents/index.ts';
import type { SealedBlock } from '../../../src/store/index.ts';
import { MemoryBlockStore } from '../../suites/memory-block-store.ts';

export const inodeAddress: Address = mutableAddress(new Uint8Array(31).fill(9));

const sequenceBytes = 12;

/** A data block to be. */
export interface TestBlock {
  readonly address: Address;
  readonly size: number;
}

/** One file over a block store: data blocks that carry nothing but their number, the map, and the inode's block with the map's root. */
export class TestFile {
  readonly store: MemoryBlockStore;
  readonly options: ExtentOptions;
  readonly pause: (() => Promise<void>) | undefined;
  map: ExtentMap;
  #version = 0;
  #sequence = 0;
  #pending: SealedBlock[] = [];

  constructor(store: MemoryBlockStore = new MemoryBlockStore(), options: ExtentOptions = {}, pause?: () => Promise<void>) {
    this.store = store;
    this.pause = pause;
    this.options = options;
    this.map = ExtentMap.open(undefined, this.io, options);
  }

  get io(): ExtentNodeIo {
    return {
      read: async (address) => (await this.store.get(address)).subarray(sequenceBytes),
      seal: (body) => this.#seal(body),
      ...(this.pause === undefined ? {} : { pause: this.pause }),
    };
  }

  /** A map of what is durable. */
  async reopen(): Promise<void> {
    const stored = await this.store.fetch(inodeAddress);
    this.#version = stored?.version ?? 0;
    this.#pending = [];
    this.map = ExtentMap.open(stored?.payload, this.io, this.options);
  }

  /** A data block of `size` bytes; put with the next commit. */
  newBlock(size: number): TestBlock {
    const block = this.#seal(Buffer.from(`data of ${size}`));
    this.#pending.push(block);
    return { address: block.address, size };
  }

  async load(offset: number, length: number): Promise<void> {
    for (let wait = this.map.ensureLoaded(offset, length); wait !== undefined; wait = this.map.ensureLoaded(offset, length)) await wait;
  }

  async write(offset: number, length: number, block = this.newBlock(length), at = 0): Promise<Address> {
    await this.load(offset, length);
    this.map.write(offset, length, block.address, at, block.size);
    return block.address;
  }

  async punch(offset: number, length: number): Promise<void> {
    await this.load(offset, length);
    this.map.punch(offset, length);
  }

  /** Makes a prepared commit durable. */
  async run(commit: ExtentCommit, blocks: readonly SealedBlock[] = this.take()): Promise<void> {
    const result = await this.store.commit([
      { put: [...blocks, ...commit.nodes] },
      { update: [{ address: inodeAddress, expect: this.#version === 0 ? 'absent' : this.#version, payload: commit.root }] },
      { drop: commit.drops.map(({ address }) => address) },
    ]);
    if (!result.done) return commit.failed();
    this.#version++;
    commit.succeeded();
  }

  /** The data blocks made since the last commit. */
  take(): SealedBlock[] {
    return this.#pending.splice(0);
  }

  async commit(): Promise<ExtentCommit> {
    const commit = await this.map.prepareCommit();
    await this.run(commit);
    return commit;
  }

  /** Data blocks and nodes that the map owns, each of which must be listed once. */
  async owned(): Promise<readonly [data: Set<Address>, nodes: Set<Address>]> {
    const data = new Set<Address>();
    const nodes = new Set<Address>();
    for await (const { address, kind } of this.map.allBlocks()) {
      if (data.has(address) || nodes.has(address)) throw new Error(`block ${address} is listed twice`);
      (kind === 'data' ? data : nodes).add(address);
    }
    return [data, nodes];
  }

  #seal(body: Uint8Array): SealedBlock {
    // As the real sealer does, a sequence number makes each block unique.
    const sealed = new Uint8Array(Buffer.concat([Buffer.from(String(this.#sequence++).padStart(sequenceBytes)), Buffer.from(body)]));
    return { address: immutableAddress(sealed), sealed };
  }
}
