import assert from 'node:assert/strict';

import { InfinitError, silentLogger } from '../../../src/base/index.ts';
import { Sealer } from '../../../src/block/index.ts';
import { BlockReader, SharedFileSystem, UnsaidMemory } from '../../../src/filesystem/index.ts';
import { decodeCall, encodeFailure } from '../../../src/filesystem/shared/calls.ts';
import { MemoryBlockStore } from '../../suites/memory-block-store.ts';
import { contentOf, open, root, user, volumeId } from '../harness.ts';
import { Memory } from '../redo-host.ts';
import { Serving } from './serving.ts';

const mebibyte = 1024 * 1024;

/** A guest whose process dies, and is followed by another that has its memory. */
export class KilledGuest {
  readonly #serving: () => Serving;
  readonly #store: MemoryBlockStore;
  #memory = new Memory(40 * mebibyte);
  /** As a set of dirty files. */
  #unsynced = new Set<number>();
  readonly #lost = new Set<number>();
  #life = 0;
  #requests = 1000;
  #answers = Infinity;
  fileSystem!: SharedFileSystem;
  /** Inodes of which it is known that something is lost. */
  readonly heard: number[] = [];
  /** Calls that this process was about to make when it died. */
  readonly late: Uint8Array[] = [];

  constructor(serving: () => Serving, store: MemoryBlockStore) {
    this.#serving = serving;
    this.#store = store;
    this.#start();
  }

  get peer(): string {
    return 'guest';
  }

  /** So many puts are done yet; then this process does not hear what came of them, and those that follow come late. */
  dieAfter(puts: number): void {
    this.#answers = puts;
  }

  /** It asks nothing from now on, and hears nothing. */
  freeze(): void {
    this.#life++;
  }

  die(): void {
    this.freeze();
    this.#answers = Infinity;
    this.#memory = this.#memory.copy();
    this.#unsynced = new Set(this.#unsynced);
    this.#start();
  }

  #start(): void {
    const life = this.#life;
    const left = new Set(this.#unsynced);
    const unsynced = this.#unsynced;
    const unsaid = UnsaidMemory.open(this.#memory, volumeId, (inode) => left.has(inode) && !this.#lost.has(inode))!;
    const written = {
      onDirty: (inode: number) => void unsynced.add(inode),
      onClean: (inode: number) => void unsynced.delete(inode),
      onLost: (inode: number) => {
        this.#lost.add(inode);
        this.heard.push(inode);
      },
    };
    const { clock } = this.#serving().time;
    this.fileSystem = new SharedFileSystem('guest', () => false, { mount: 'mount', clock, written, unsaid });
    const taken = new Set(this.fileSystem.leftUnsaid());
    for (const inode of left) assert.ok(taken.has(inode) || this.#lost.has(inode), 'what was noted as unsaid is there');
    const writes = { store: this.#store, sealer: new Sealer(), volumeId, logger: silentLogger };
    const ask = async (call: Uint8Array): Promise<Uint8Array> => {
      const forEver = new Promise<never>(() => {});
      if (life !== this.#life) return forEver;
      if (decodeCall(call).method === 'put' && --this.#answers < 0) {
        this.late.push(Uint8Array.from(call));
        return forEver;
      }
      const serving = this.#serving();
      const { method } = decodeCall(call);
      if (serving.unknown.has(method)) return encodeFailure(new InfinitError('bad-argument', `unknown method ${method}`));
      const answer = await serving.server.serve(this.peer, call);
      return life === this.#life ? answer : forEver;
    };
    this.#serving().welcome(this.fileSystem, this.peer, this.#store);
    this.fileSystem.setBacking({ kind: 'remote', ask, blocks: new BlockReader(this.#store, new Sealer()), writes });
  }

  /** Its daemon did not note in which memory of calls its requests were made. */
  forgetCalls(): void {
    UnsaidMemory.open(this.#memory, volumeId, () => true)!.memory.callMemory = 0;
  }

  /** It has what it may keep in memory. */
  async ready(): Promise<SharedFileSystem> {
    await this.fileSystem.getattr(root);
    for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
    await this.fileSystem.getattr(root);
    return this.fileSystem;
  }

  /** Makes a file, and writes nothing yet. */
  async make(name: string): Promise<{ inode: number; handle: number }> {
    const guest = await this.ready();
    guest.asking({ asker: 'mount', number: ++this.#requests });
    const made = guest.create(root, name, 0o644, 0, 1, user);
    guest.asking(undefined);
    const { attributes, handle } = await made;
    await guest.fsync(attributes.inode, handle, false);
    return { inode: attributes.inode, handle };
  }
}

export interface Scene {
  readonly store: MemoryBlockStore;
  /** Set where another host comes to serve the volume. */
  serving: Serving;
  readonly guest: KilledGuest;
}

/** A host that serves a new volume, and a guest of it. */
export async function begin(): Promise<Scene> {
  const store = new MemoryBlockStore();
  let serving = new Serving(await open(store));
  const guest = new KilledGuest(() => serving, store);
  return {
    store,
    guest,
    get serving() {
      return serving;
    },
    set serving(next) {
      serving = next;
    },
  };
}

/** What is in a file where the volume is open, once guests have said what they have. */
export async function seen(serving: Serving, inode: number): Promise<Buffer> {
  await serving.own.getattr(inode);
  return contentOf(serving.volume, inode);
}
