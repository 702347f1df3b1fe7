import { InfinitError } from '../base/index.ts';
import { type Address, isAddress } from '../block/index.ts';
import type { Disk, DiskEntry, DiskOperation, DiskStatus } from './disk.ts';
import { checkOperations } from './operations.ts';
import { metaId } from './store-directory.ts';

export interface MemoryDiskOptions {
  /** The most that values may take together. */
  readonly capacityBytes?: number;
}

const defaultCapacityBytes = 2 ** 40;

/** A {@link Disk} that forgets: for tests and simulations. Everything it acknowledges is "durable" as long as the object lives. */
export class MemoryDisk implements Disk {
  readonly #blocks = new Map<Address, Uint8Array>();
  readonly #meta = new Map<string, Uint8Array>();
  readonly #damaged = new Set<Address>();
  readonly #listeners = new Set<(status: DiskStatus) => void>();
  readonly #capacityBytes: number;
  #liveBytes = 0;
  #metaBytes = 0;
  #damagedCount = 0;
  #written = 0;
  #state: DiskStatus['state'] = 'healthy';
  #closed = false;

  constructor(options: MemoryDiskOptions = {}) {
    this.#capacityBytes = options.capacityBytes ?? defaultCapacityBytes;
  }

  async read(address: Address): Promise<Uint8Array | undefined> {
    this.#checkOpen();
    if (!isAddress(address)) throw new InfinitError('bad-argument', `"${String(address).slice(0, 80)}" is not a block address`);
    if (this.#damaged.has(address)) throw new InfinitError('damaged', `block ${address} is damaged on this host: a test said so`);
    const bytes = this.#blocks.get(address);
    return bytes === undefined ? undefined : Uint8Array.from(bytes);
  }

  async head(address: Address, length: number): Promise<Uint8Array | undefined> {
    return (await this.read(address))?.slice(0, length);
  }

  async readPart(address: Address, offset: number, length: number): Promise<Uint8Array | undefined> {
    const bytes = await this.read(address);
    if (bytes === undefined) return undefined;
    if (offset < 0 || length <= 0 || offset + length > bytes.length)
      throw new InfinitError('bad-argument', `block ${address} has ${bytes.length} bytes; ${length} at ${offset} were asked for`);
    return bytes.subarray(offset, offset + length);
  }

  async has(address: Address): Promise<boolean> {
    this.#checkOpen();
    return this.#blocks.has(address);
  }

  isDamaged(address: Address): boolean {
    return this.#damaged.has(address);
  }

  async write(operations: readonly DiskOperation[]): Promise<void> {
    this.#checkOpen();
    checkOperations(operations);
    let growth = 0;
    for (const operation of operations) if ('bytes' in operation) growth += operation.bytes.length;
    if (growth > 0 && growth > this.#freeBytes) {
      this.#setState('read-only');
      throw new InfinitError('disk-full', `the memory disk has no room left: its capacity is ${this.#capacityBytes} bytes`);
    }
    for (const operation of operations) this.#apply(operation);
    this.#written += operations.length;
    if (this.#freeBytes > 0) this.#setState('healthy');
    // Durability takes a while on a real disk: callers must not lean on an answer in the same tick.
    await new Promise((resolve) => setImmediate(resolve));
  }

  async readMeta(key: string): Promise<Uint8Array | undefined> {
    this.#checkOpen();
    metaId(key);
    const bytes = this.#meta.get(key);
    return bytes === undefined ? undefined : Uint8Array.from(bytes);
  }

  async list(after: Address | undefined, limit: number): Promise<DiskEntry[]> {
    this.#checkOpen();
    const addresses = [...this.#blocks.keys()].filter((address) => after === undefined || address > after).sort();
    return addresses.slice(0, limit).map((address) => ({ address, size: this.#blocks.get(address)!.length }));
  }

  status(): DiskStatus {
    return {
      state: this.#state,
      ...(this.#state === 'healthy' ? {} : { reason: 'the memory disk is full' }),
      blocks: this.#blocks.size,
      liveBytes: this.#liveBytes,
      usedBytes: this.#liveBytes + this.#metaBytes,
      freeBytes: Math.max(0, this.#freeBytes),
      totalBytes: this.#capacityBytes,
      damaged: this.#damagedCount,
    };
  }

  get written(): number {
    return this.#written;
  }

  onStateChange(listener: (status: DiskStatus) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Makes a block read as damaged until it is written again or deleted: for the tests of repair. */
  damage(address: Address): void {
    this.#damaged.add(address);
    this.#damagedCount++;
  }

  /** Addresses that {@link damage} named and nobody wrote since. */
  damagedAddresses(): Address[] {
    return [...this.#damaged];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
  }

  get #freeBytes(): number {
    return this.#capacityBytes - this.#liveBytes - this.#metaBytes;
  }

  #apply(operation: DiskOperation): void {
    switch (operation.type) {
      case 'put':
      case 'delete':
        this.#liveBytes -= this.#blocks.get(operation.address)?.length ?? 0;
        this.#damaged.delete(operation.address);
        this.#blocks.delete(operation.address);
        if (operation.type === 'delete') return;
        this.#blocks.set(operation.address, Uint8Array.from(operation.bytes));
        this.#liveBytes += operation.bytes.length;
        return;
      case 'put-meta':
      case 'delete-meta':
        this.#metaBytes -= this.#meta.get(operation.key)?.length ?? 0;
        this.#meta.delete(operation.key);
        if (operation.type === 'delete-meta') return;
        this.#meta.set(operation.key, Uint8Array.from(operation.bytes));
        this.#metaBytes += operation.bytes.length;
    }
  }

  #setState(state: DiskStatus['state']): void {
    if (this.#state === state) return;
    this.#state = state;
    for (const listener of this.#listeners) listener(this.status());
  }

  #checkOpen(): void {
    if (this.#closed) throw new InfinitError('closed', 'the memory disk was closed');
  }
}
