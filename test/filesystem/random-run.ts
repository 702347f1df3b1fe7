import assert from 'node:assert/strict';

import { FileSystemError, type Volume } from '../../src/filesystem/index.ts';
import type { MemoryBlockStore } from '../suites/memory-block-store.ts';
import { eventually } from '../suites/transport-suite.ts';
import { assertRests } from './at-rest.ts';
import { contentOf, namesOf, open, readAt, user } from './harness.ts';
import { describe, Model, node, type Node } from './posix-model.ts';
import { kinds, type Step } from './random-steps.ts';

const names = ['a', 'b', 'c', 'd'];
const maxOffset = 40_000;
const renameFlags = { rename: 0, noreplace: 1, exchange: 2, whiteout: 4 } as const;
const typesByBits: Readonly<Record<number, Node['type']>> = { 0o040000: 'directory', 0o120000: 'symlink', 0o020000: 'whiteout' };

/** A volume beside a simple model of it. */
export class Run {
  readonly store: MemoryBlockStore;
  readonly model = new Model();
  readonly nodes = new Map<number, Node>();
  readonly background: Promise<unknown>[] = [];
  volume: Volume;
  /** What programs have open, with or without a name. */
  held: { readonly file: Node; readonly handle: number }[] = [];
  /** References that the kernel has, by inode. */
  readonly #references = new Map<number, number>();
  /** Files without a name that it gave back are looked at. */
  readonly #givenBack: Promise<unknown>[] = [];
  /** The store refuses some of what is to be brought to its place: that stays in the journal. */
  fails = false;
  /** Index of the last state of names that was acknowledged as durable. */
  durable = 0;

  constructor(store: MemoryBlockStore, volume: Volume) {
    this.store = store;
    this.volume = volume;
    this.nodes.set(1, this.model.root);
  }

  /** The same on both sides, or the same error. */
  async both<T>(model: () => T, volume: () => unknown): Promise<{ model: T; volume: never } | undefined> {
    let expected = 'done';
    let result: T | undefined;
    try {
      result = model();
    } catch (error) {
      if (!(error instanceof FileSystemError)) throw error;
      expected = error.errno;
    }
    let seen = 'done';
    let answer: unknown;
    try {
      answer = await volume();
    } catch (error) {
      if (!(error instanceof FileSystemError)) throw error;
      seen = error.errno;
    }
    assert.equal(seen, expected);
    return expected === 'done' ? { model: result as T, volume: answer as never } : undefined;
  }

  #refer(inode: number): void {
    this.#references.set(inode, (this.#references.get(inode) ?? 0) + 1);
  }

  /** The kernel gives its references back, all at once, unless something is open. */
  #drop(inode: number): void {
    const count = this.#references.get(inode);
    if (count === undefined || this.held.some(({ file }) => file.inode === inode)) return;
    this.#references.delete(inode);
    this.volume.forget(inode, count);
    if (this.nodes.get(inode)?.links === 0) this.#givenBack.push((async () => this.volume.getattr(inode))().catch(() => {}));
  }

  /** A kernel gives a file back once: a daemon that dies while it reads one without a name for that leaves it to the next mount. */
  async givenBack(): Promise<void> {
    await Promise.all(this.#givenBack.splice(0));
  }

  /** Something was made that nobody asked for by its name. */
  async #meet(directory: Node, name: string): Promise<void> {
    const made = directory.entries.get(name)!;
    const found = (await this.volume.lookup(directory.inode, name))!;
    assert.deepEqual([found.mode, found.device, found.links], [0o020000, 0, 1]);
    made.inode = found.inode;
    this.nodes.set(made.inode, made);
    this.#refer(made.inode);
    this.#drop(made.inode);
  }

  /** What a name stands for is looked up before the name goes. */
  async #removing<T>(directory: Node, name: string, work: () => Promise<T>): Promise<T> {
    const target = directory.entries.get(name);
    if (target === undefined) return work();
    await this.volume.lookup(directory.inode, name);
    this.#refer(target.inode);
    const done = await work();
    this.#drop(target.inode);
    return done;
  }

  /** Does these one after the other, until the store crashes if it does; then it is started again, and what was under way has ended. */
  async untilCrash(steps: readonly Step[]): Promise<void> {
    for (const step of steps) {
      try {
        await this.step(step);
      } catch (error) {
        if (!this.store.crashed) throw error;
      }
      if (this.store.crashed) break;
    }
    this.store.restart();
    await Promise.all(this.background.splice(0));
  }

  async step([kind, a, b, c, d]: Step): Promise<void> {
    const { model, volume } = this;
    const directories = model.directories();
    const files = model.files();
    const dir = directories[a % directories.length]!;
    const dir2 = directories[c % directories.length]!;
    const name = names[b % names.length]!;
    const name2 = names[d % names.length]!;
    const file = files[a % Math.max(1, files.length)];
    const what = kinds[kind % kinds.length]!;
    switch (what) {
      case 'create':
      case 'mkdir':
      case 'symlink': {
        const type = what === 'create' ? 'file' : what === 'mkdir' ? 'directory' : 'symlink';
        const done = await this.both(
          () => model.make(dir, name, type, type === 'symlink' ? 0o777 : 0o644),
          () =>
            what === 'create'
              ? volume.mknod(dir.inode, name, 0o100644, 0, 0, user)
              : what === 'mkdir'
                ? volume.mkdir(dir.inode, name, 0o644, 0, user)
                : volume.symlink(dir.inode, name, 'target', user),
        );
        if (done === undefined) return;
        const made = done.volume as { inode: number };
        done.model.inode = made.inode;
        this.nodes.set(made.inode, done.model);
        this.#refer(made.inode);
        this.#drop(made.inode);
        model.note(done.model, dir);
        return;
      }
      case 'unlink':
      case 'rmdir': {
        const done = await this.#removing(dir, name, () =>
          this.both(
            () => model[what](dir, name),
            () => volume[what](dir.inode, name),
          ),
        );
        if (done !== undefined) model.note(dir, done.model);
        return;
      }
      case 'rename':
      case 'exchange':
      case 'noreplace':
      case 'whiteout': {
        const flags = renameFlags[what];
        const concerned = [dir.entries.get(name), dir2.entries.get(name2), dir, dir2];
        const done = await this.#removing(dir2, name2, () =>
          this.both(
            () => model.rename(dir, name, dir2, name2, flags),
            () => volume.rename(dir.inode, name, dir2.inode, name2, flags),
          ),
        );
        if (done !== undefined && concerned[0] !== concerned[1]) {
          if (what === 'whiteout') await this.#meet(dir, name);
          model.note(...concerned);
        }
        return;
      }
      case 'list':
        assert.deepEqual((await namesOf(volume, dir.inode, 60)).sort(), [...dir.entries.keys()].sort());
        assert.equal((await volume.getattr(dir.inode)).links, dir.links);
        return;
      case 'syncfs':
      case 'recall': {
        const index = model.history.length - 1;
        const marks = files.map((one) => [one, one.changes] as const);
        await volume[what]();
        if (volume.memory.unread === 0) assertRests(volume, what === 'syncfs' || this.fails ? 'sync' : 'recall');
        this.durable = Math.max(this.durable, index);
        for (const [one, changes] of marks) one.synced = changes;
        return;
      }
      case 'flush':
        this.background.push(volume.syncfs().catch(() => {}));
        return;
      case 'fsyncdir': {
        const index = dir.named;
        await volume.fsyncdir(dir.inode, 0);
        this.durable = Math.max(this.durable, index);
        return;
      }
      case 'tmpfile': {
        const { attributes, handle } = await volume.tmpfile(dir.inode, 0o600, 0, 2, user);
        const made = node('file', 0o600, undefined);
        made.links = 0;
        made.inode = attributes.inode;
        this.nodes.set(made.inode, made);
        this.#refer(made.inode);
        this.held.push({ file: made, handle });
        model.note(made);
        return;
      }
      case 'writeHeld':
      case 'linkHeld':
      case 'letGo':
        if (this.held.length > 0) await this.#onHeld(what, a % this.held.length, dir2, name2, b, c);
        return;
      default:
        if (file !== undefined) await this.#onFile(what, file, dir2, name2, b, c, d);
    }
  }

  /** All programs of the host are gone, and its kernel with them. */
  leave(): void {
    this.held = [];
    this.#references.clear();
  }

  async #onHeld(what: 'writeHeld' | 'linkHeld' | 'letGo', which: number, dir: Node, name: string, b: number, c: number): Promise<void> {
    const { model, volume } = this;
    const { file, handle } = this.held[which]!;
    if (what === 'letGo') {
      this.held.splice(which, 1);
      await volume.release(file.inode, handle);
      this.#drop(file.inode);
      return;
    }
    if (what === 'writeHeld') return this.#write(file, b * 300, Buffer.alloc(1 + c * 100, 1 + c));
    if (file.links > 0) return;
    const done = await this.both(
      () => model.link(file, dir, name),
      () => volume.link(file.inode, dir.inode, name),
    );
    if (done === undefined) return;
    this.#refer(file.inode);
    model.note(file, dir);
  }

  async #write(file: Node, offset: number, data: Buffer): Promise<void> {
    const grown = Buffer.alloc(Math.max(file.content.length, offset + data.length));
    file.content.copy(grown);
    data.copy(grown, offset);
    file.content = grown;
    file.changes++;
    await this.volume.write(file.inode, 0, offset, data, false);
  }

  async #onFile(what: (typeof kinds)[number], file: Node, dir: Node, name: string, b: number, c: number, d: number): Promise<void> {
    const { model, volume } = this;
    const offset = what === 'append' ? file.content.length : (b * 523 + c) % maxOffset;
    const length = 1 + ((c * 37 + d) % (d % 5 === 0 ? maxOffset : 300));
    switch (what) {
      case 'link': {
        const done = await this.both(
          () => model.link(file, dir, name),
          () => volume.link(file.inode, dir.inode, name),
        );
        if (done === undefined) return;
        this.#refer(file.inode);
        this.#drop(file.inode);
        model.note(file, dir);
        return;
      }
      case 'write':
      case 'append': {
        await this.#write(file, offset, Buffer.alloc(length, 1 + (d % 255)));
        return;
      }
      case 'hold': {
        // The kernel knows what it has open.
        const [name] = [...dir.entries].find(([, one]) => one === file) ?? [];
        if (name === undefined) return;
        await volume.lookup(dir.inode, name);
        this.#refer(file.inode);
        this.held.push({ file, handle: await volume.open(file.inode, 2) });
        return;
      }
      case 'truncate': {
        const cut = Buffer.alloc(offset);
        file.content.copy(cut);
        file.content = cut;
        file.changes++;
        await volume.setattr(file.inode, { size: offset });
        return;
      }
      case 'punch':
        file.content.fill(0, Math.min(offset, file.content.length), Math.min(offset + length, file.content.length));
        file.changes++;
        await volume.fallocate(file.inode, 0, 3, offset, length);
        return;
      case 'allocate': {
        const [keepSize, zeroRange] = [1, 16];
        const mode = [0, keepSize, zeroRange, zeroRange | keepSize][d % 4]!;
        const end = offset + length;
        if ((mode & zeroRange) !== 0) file.content.fill(0, Math.min(offset, file.content.length), Math.min(end, file.content.length));
        if ((mode & keepSize) === 0 && end > file.content.length) file.content = Buffer.concat([file.content], end);
        file.changes++;
        await volume.fallocate(file.inode, 0, mode, offset, length);
        return;
      }
      case 'read':
        assert.ok((await readAt(volume, file.inode, offset, length)).equals(file.content.subarray(offset, offset + length)));
        return;
      case 'chmod':
        file.mode = c & 0o777;
        assert.equal((await volume.setattr(file.inode, { mode: c & 0o777 })).mode, 0o100000 | file.mode);
        return;
      case 'setxattr':
        file.xattrs.set(`user.${name}`, String(c));
        await volume.setxattr(file.inode, `user.${name}`, Buffer.from(String(c)), 0, false);
        return;
      case 'fsync': {
        const { named, changes } = file;
        await volume.fsync(file.inode, 0, false);
        this.durable = Math.max(this.durable, named);
        file.synced = Math.max(file.synced, changes);
        return;
      }
      default:
    }
  }

  /** Everything that can be seen is as in the model. */
  async compare(): Promise<void> {
    for (const directory of this.model.directories()) {
      assert.deepEqual((await namesOf(this.volume, directory.inode)).sort(), [...directory.entries.keys()].sort());
      for (const [name, child] of directory.entries) {
        const attributes = await this.volume.lookup(directory.inode, name);
        assert.equal(attributes?.inode, child.inode);
        this.#refer(child.inode);
        this.#drop(child.inode);
        assert.equal(attributes?.links, child.links);
        if (child.type === 'file') assert.equal(attributes?.mode, 0o100000 | child.mode);
      }
    }
    for (const file of this.model.files()) {
      assert.ok((await contentOf(this.volume, file.inode)).equals(file.content), `content of inode ${file.inode}`);
      for (const [name, value] of file.xattrs) assert.equal(Buffer.from(await this.volume.getxattr(file.inode, name)).toString(), value);
    }
    await this.#compareUsage();
  }

  /** Inodes that there are: those with a name and those that are open. */
  async #compareUsage(): Promise<void> {
    const there = new Set([...this.#walk(this.model.root), ...this.held.map(({ file }) => file)].map(({ inode }) => inode));
    // One without a name that was out of reach is read before it goes, after its last reference was given back.
    await eventually(() => this.volume.usage.files === there.size, `there are ${there.size} inodes`);
  }

  /** What is there after a crash is a state that was, no older than what was acknowledged; then the model goes on from it. */
  async recover(): Promise<void> {
    this.volume = await open(this.store);
    const found = await this.#read(1, 'directory', undefined);
    const text = describe(found);
    const { history } = this.model;
    const index = history.lastIndexOf(text);
    assert.ok(
      index >= this.durable,
      `names after the crash are as of ${index}, acknowledged was ${this.durable}:\n${text}\n---\n${history[this.durable]}`,
    );
    for (const file of new Set(this.#walk(found))) {
      const known = this.nodes.get(file.inode)!;
      if (file.type === 'file' && known.synced === known.changes && known.changes > 0)
        assert.ok(file.content.equals(known.content), `acknowledged content of inode ${file.inode} after a crash`);
      this.nodes.set(file.inode, file);
    }
    this.model.root = found;
    this.leave();
    await this.#compareUsage();
    this.model.note();
    this.durable = history.length - 1;
  }

  *#walk(from: Node): Iterable<Node> {
    yield from;
    for (const child of from.entries.values()) yield* this.#walk(child);
  }

  async #read(inode: number, type: Node['type'], parent: Node | undefined, seen = new Map<number, Node>()): Promise<Node> {
    const known = seen.get(inode);
    if (known !== undefined) return known;
    const attributes = await this.volume.getattr(inode);
    const made = node(type, attributes.mode & 0o777, parent);
    seen.set(inode, made);
    made.inode = inode;
    made.links = attributes.links;
    if (type === 'file') made.content = await contentOf(this.volume, inode);
    if (type !== 'directory') return made;
    const entries = await this.volume.readdir(inode, 0, 0, 100_000, false);
    for (const { name, inode: child, type: bits } of entries) {
      if (name === '.' || name === '..') continue;
      const childType = typesByBits[bits] ?? 'file';
      made.entries.set(name, await this.#read(child, childType, childType === 'directory' ? made : undefined, seen));
    }
    return made;
  }
}
