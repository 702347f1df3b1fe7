import assert from 'node:assert/strict';

import { InfinitError } from '../../../src/base/index.ts';
import { FileSystemError, SharedFileSystem, UnsaidMemory } from '../../../src/filesystem/index.ts';
import type { ContentStory } from '../../integration/durability/content-story.ts';
import type { ClosingWay } from './closing-way.ts';
import { OpenFiles } from './open-files.ts';
import { volumeId } from '../harness.ts';
import { Memory } from '../redo-host.ts';
import type { VirtualTime } from './virtual-time.ts';

/** What the code under test does wrong: each must be found out. */
export type Mutant =
  /** A guest's change is answered before it is durable. */
  | 'hasty'
  /** A read that another host's death interrupts comes short. */
  | 'short'
  /** What the host that is lost had made for a guest is not made again. */
  | 'forgetful'
  /** The next host knows of no append that it was made. */
  | 'unaware';

/** No file is longer. */
export const maxBytes: number = 96 * 1024;
const pageBytes = 4096;

/** Kernels number their requests. */
let requests = 0;

/** A host, from when it starts until it is killed. Its daemon may be killed before, and is followed by another. */
export class Host {
  readonly index: number;
  fileSystem: SharedFileSystem;
  /** What programs have open at this daemon. */
  open!: OpenFiles;
  /** Its way to the store while another host serves the volume. */
  way: ClosingWay | undefined;
  readonly died = Promise.withResolvers<'died'>();
  isDead = false;
  /** Of the daemon: when the next one begins. */
  next = Promise.withResolvers<'next'>();
  /** How often it came to serve the volume. */
  served = 0;
  /** Something is being done. */
  busy = false;
  /** Something was done that no sync covers, while the volume was open here. */
  exposed = false;
  /** What was exposed may be lost. */
  lost = false;
  readonly mount: string;
  readonly #start: (memory: Memory) => SharedFileSystem;
  #memory = new Memory(2 * 1024 * 1024);
  #unsynced = new Set<number>();
  readonly #lostInodes = new Set<number>();

  constructor(index: number, life: number, leaseHeld: (host: Host) => boolean, time: VirtualTime) {
    this.index = index;
    this.mount = `mount ${index} ${life}`;
    this.#start = (memory) => {
      const [left, unsynced] = [new Set(this.#unsynced), this.#unsynced];
      const unsaid = UnsaidMemory.open(memory, volumeId, (inode) => left.has(inode) && !this.#lostInodes.has(inode));
      const written = {
        onDirty: (inode: number) => void unsynced.add(inode),
        onClean: (inode: number) => void unsynced.delete(inode),
        onLost: (inode: number) => void this.#lostInodes.add(inode),
      };
      const fileSystem: SharedFileSystem = new SharedFileSystem(`host ${index}`, () => this.fileSystem === fileSystem && leaseHeld(this), {
        onSaid: (inode) => void this.#lostInodes.delete(inode),
        mount: this.mount,
        clock: time.clock,
        written,
        unsaid,
      });
      const taken = new Set(fileSystem.leftUnsaid());
      fileSystem.inheritLost([...this.#lostInodes, ...[...left].filter((inode) => !taken.has(inode))]);
      this.open = new OpenFiles(fileSystem);
      return fileSystem;
    };
    this.fileSystem = this.#start(this.#memory);
  }

  /** As the kernel does it: what is asked for has a number. */
  ask<T>(work: () => T): T {
    const { fileSystem } = this;
    fileSystem.asking(this.request());
    try {
      return work();
    } finally {
      fileSystem.asking(undefined);
    }
  }

  request(): { readonly asker: string; readonly number: number } {
    return { asker: this.mount, number: ++requests };
  }

  /** The daemon alone is killed; another takes its place. @param forgets what was in memory is not there. */
  killDaemon(forgets: boolean): void {
    this.#memory = forgets ? new Memory(this.#memory.bytes.length) : this.#memory.copy();
    this.#unsynced = new Set(this.#unsynced);
    this.fileSystem = this.#start(this.#memory);
    const { next } = this;
    this.next = Promise.withResolvers();
    next.resolve('next');
  }
}

/** A program with a file of its own, and a story of what that contains. */
export class Program {
  readonly host: Host;
  readonly story: ContentStory;
  begun = false;
  readonly #inode: number;
  readonly #mutant: Mutant | undefined;
  #handle = 0;
  /** Of another opening. */
  #reading = 0;
  /** Of the daemon that they are open at. */
  #opened: SharedFileSystem | undefined;

  constructor(host: Host, inode: number, story: ContentStory, mutant: Mutant | undefined) {
    this.host = host;
    this.story = story;
    this.#inode = inode;
    this.#mutant = mutant;
  }

  /** What is there is what was, but for what no sync covered. */
  async begin(exact = false): Promise<void> {
    await this.#through(() => {});
    await this.#judge(exact);
    this.begun = true;
  }

  async write(offset: number, data: Uint8Array): Promise<void> {
    if (offset + data.length > maxBytes) return;
    this.story.write(offset, Buffer.from(data));
    await this.#change(async () => {
      assert.equal(await this.host.fileSystem.write(this.#inode, this.#handle, offset, data, false), data.length);
    }, false);
  }

  /** As the kernel does where memory that a file is mapped to is changed: pages are read, changed and, later, written whole. */
  async mapped(offset: number, data: Uint8Array, later: () => Promise<void>): Promise<void> {
    const { size } = this.story;
    const end = Math.min(size, offset + data.length);
    if (offset >= end) return;
    const from = offset - (offset % pageBytes);
    const until = Math.min(size, Math.ceil(end / pageBytes) * pageBytes);
    const pages = Buffer.alloc(until - from);
    pages.set((await this.#read(from, until - from)).subarray(0, until - from));
    pages.set(data.subarray(0, end - offset), offset - from);
    await this.#on(later);
    // The kernel is refused what it read before that, and a program that died with its host does nothing more.
    if (this.host.lost || this.host.isDead) return;
    this.story.write(offset, Buffer.from(data.subarray(0, end - offset)));
    await this.#change(() => this.host.fileSystem.writeMapped(this.#inode, this.#handle, from, pages), false);
  }

  /** Where the volume was open here nobody may know whether it was done. */
  async append(data: Uint8Array): Promise<void> {
    const { size } = this.story;
    // Behind what may be lost it would come somewhere else.
    if (size + data.length > maxBytes || this.host.exposed || this.host.lost) return;
    this.story.write(size, Buffer.from(data));
    const request = this.host.request();
    let again = false;
    let isHere = false;
    const append = async (): Promise<void> => {
      const { fileSystem } = this.host;
      isHere ||= fileSystem.local !== undefined;
      if (again) {
        // As for the kernel's requests that are sent again.
        fileSystem.asking({ ...request, again });
        const done = fileSystem.appended(this.#inode, this.#handle, data, false);
        fileSystem.asking(undefined);
        if ((await done) !== undefined) return;
        isHere ||= this.host.served > 0;
        if ((await fileSystem.getattr(this.#inode)).size > size) throw new InfinitError('unknown-outcome', 'it may have been made');
      }
      again = true;
      fileSystem.asking(request);
      const written = fileSystem.write(this.#inode, this.#handle, 0, data, false, true);
      fileSystem.asking(undefined);
      await written;
    };
    try {
      await this.#change(append, false);
    } catch (error) {
      if (!isHere || !(error instanceof InfinitError) || error.code !== 'unknown-outcome') throw error;
      await this.#judge(false);
    }
  }

  async truncate(size: number): Promise<void> {
    this.story.truncate(size);
    await this.#change(() => this.host.fileSystem.setattr(this.#inode, { size }));
  }

  async zero(mode: number, offset: number, length: number): Promise<void> {
    if (offset >= this.story.size) return;
    this.story.zero(offset, Math.min(this.story.size, offset + length));
    await this.#change(() => this.host.fileSystem.fallocate(this.#inode, this.#handle, mode, offset, length));
  }

  async sync(): Promise<void> {
    const { host } = this;
    try {
      await this.#on(() => host.fileSystem.fsync(this.#inode, this.#handle, false));
    } catch (error) {
      if (!(error instanceof FileSystemError) || error.errno !== 'EIO') throw error;
      assert.ok(host.lost, 'nothing was lost');
      return this.#judge(false);
    }
    // Whoever is not told of a loss has lost nothing.
    if (host.lost) await this.#judge(true);
    host.exposed = host.lost = false;
    this.story.synced();
  }

  async look(): Promise<void> {
    const seen = await this.#read(0, maxBytes);
    // It hears of it when it syncs.
    if (!this.host.lost) this.#require(seen, true);
  }

  /** As the kernel does, that asks for the attributes first: who has them in memory may answer from there. */
  async #read(offset: number, length: number): Promise<Buffer> {
    await this.#through(() => this.host.fileSystem.getattr(this.#inode));
    const wasHere = this.host.fileSystem.local !== undefined;
    const parts = await this.#through(() => this.host.fileSystem.read(this.#inode, this.#reading, offset, length));
    const cameHere = !wasHere && this.host.fileSystem.local !== undefined;
    return this.#mutant === 'short' && cameHere ? Buffer.alloc(parts.length) : Buffer.concat(parts);
  }

  async #change(work: () => unknown, settles = true): Promise<void> {
    const { host } = this;
    const { served } = host;
    const wasHere = host.fileSystem.local !== undefined;
    if (wasHere) host.exposed = true;
    await this.#on(work);
    if (wasHere || host.served !== served) host.exposed = true;
    // What a guest does is durable, with all that was done before; what it writes may be in its memory.
    else if (!host.exposed && settles) this.story.synced();
  }

  async #on(work: () => unknown): Promise<void> {
    this.host.busy = true;
    try {
      await this.#through(work);
    } finally {
      this.host.busy = false;
    }
  }

  /** Until a daemon has done it that lives: the kernel asks the next one for what the last one had not answered. */
  async #through<T>(work: () => T): Promise<Awaited<T>> {
    const { host } = this;
    for (;;) {
      const killed = host.next.promise;
      const { fileSystem } = host;
      if (this.#opened !== fileSystem) {
        const opened = await Promise.race([this.#open(fileSystem), killed]);
        if (opened === 'next' || host.fileSystem !== fileSystem) continue;
      }
      const done = (async () => ({ value: await work() }))();
      done.catch(() => {});
      const came = await Promise.race([done, killed]);
      if (came !== 'next') return came.value;
    }
  }

  async #open(fileSystem: SharedFileSystem): Promise<void> {
    const [handle, reading] = [await fileSystem.open(this.#inode, 2), await fileSystem.open(this.#inode, 0)];
    if (this.host.fileSystem !== fileSystem) return;
    if (this.begun) for (const each of [handle, reading]) fileSystem.inherited(this.#inode, each);
    [this.#handle, this.#reading, this.#opened] = [handle, reading, fileSystem];
  }

  /** What is there is where everything goes on from. */
  async #judge(exact: boolean): Promise<void> {
    const { host, story } = this;
    const seen = await this.#read(0, maxBytes);
    this.#require(seen, exact);
    if (exact) return;
    story.truncate(0);
    story.write(0, seen);
    // Unless it was seen where it was not durable. A guest's own memory may have some of it alone.
    if (host.fileSystem.local !== undefined) host.exposed = true;
    else if (await this.#syncs()) story.synced();
    host.lost = false;
  }

  /** Whether all is durable, as far as a sync says. */
  async #syncs(): Promise<boolean> {
    try {
      await this.#on(() => this.host.fileSystem.fsync(this.#inode, this.#handle, false));
      return true;
    } catch (error) {
      if (!(error instanceof FileSystemError) || error.errno !== 'EIO') throw error;
      return false;
    }
  }

  #require(seen: Buffer, exact: boolean): void {
    const problem = this.story.problem(seen, exact);
    assert.equal(problem, undefined, `host ${this.host.index}: ${problem}`);
  }
}
