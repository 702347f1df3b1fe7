import assert from 'node:assert/strict';

import type { SurvivingMemory, Volume, VolumeOptions } from '../../src/filesystem/index.ts';
import { MemoryBlockStore } from '../suites/memory-block-store.ts';
import { open } from './harness.ts';
import type { Run } from './random-run.ts';

/** As a process finds it that follows one that died: a copy, so that what of the dead one still runs in this process changes nothing. */
export class Memory implements SurvivingMemory {
  readonly bytes: Uint8Array;

  constructor(bytes: Uint8Array | number = 4096 + 1024 * 1024) {
    this.bytes = new Uint8Array(bytes as number);
  }

  /** A process that died now would have left something that counts. */
  get whole(): boolean {
    return new Float64Array(this.bytes.buffer)[7] === 1;
  }

  provide(): boolean {
    return true;
  }

  release(): void {}

  copy(): Memory {
    return new Memory(this.bytes);
  }
}

/** A volume whose process dies and is followed by another. */
export class Host<Store extends MemoryBlockStore = MemoryBlockStore> {
  readonly store: Store;
  readonly #options: VolumeOptions;
  memory: Memory;
  volume!: Volume;

  constructor(store: Store, memory: Memory, options: VolumeOptions) {
    this.store = store;
    this.memory = memory;
    this.#options = options;
  }

  static async start(store?: MemoryBlockStore, memory?: Memory): Promise<Host>;
  static async start<Store extends MemoryBlockStore>(store: Store, memory?: Memory, options?: VolumeOptions): Promise<Host<Store>>;
  static async start(store = new MemoryBlockStore(), memory = new Memory(), options: VolumeOptions = {}): Promise<Host> {
    const host = new Host(store, memory, options);
    host.volume = await open(host.store, options, { memory: host.memory });
    return host;
  }

  async die(lostInodes: ReadonlySet<number> = new Set()): Promise<Volume> {
    this.memory = this.memory.copy();
    this.store.restart();
    void this.volume.abandon();
    this.volume = await open(this.store, this.#options, { memory: this.memory, inherits: true, resumed: true, lostInodes });
    return this.volume;
  }
}

/** The run's volume is whole, and what it is is durable after a sync, whatever is lost with the host. It is closed then. */
export async function assertDurable(run: Run): Promise<void> {
  assert.deepEqual((await run.volume.check()).problems, []);
  await run.volume.syncfs();
  run.store.restart();
  run.leave();
  run.volume = await open(run.store);
  await run.compare();
  await run.volume.close();
}
