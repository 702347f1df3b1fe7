import assert from 'node:assert/strict';
import { test } from 'node:test';

import { CallServer, LockGrace, type Volume } from '../../../src/filesystem/index.ts';
import { decodeResult, encodeCall, type SharedMethod } from '../../../src/filesystem/shared/calls.ts';
import { MemoryBlockStore } from '../../suites/memory-block-store.ts';
import { errnoOf, open, put, readAt, root } from '../harness.ts';

const mebibyte = 1024 * 1024;

/** A host that serves a volume, and dies. */
class Host {
  readonly store = new MemoryBlockStore({ delay: () => new Promise((resolve) => setImmediate(resolve)) });
  volume!: Volume;
  #server!: CallServer;

  static async start(): Promise<Host> {
    const host = new Host();
    await host.#open();
    return host;
  }

  /** What another host is answered. */
  async ask<T>(method: SharedMethod, ...args: readonly unknown[]): Promise<T> {
    return decodeResult(await this.#server.serve('guest', encodeCall(method, args))) as T;
  }

  /** The next host has what was durable. */
  async dies(): Promise<void> {
    await this.volume.abandon();
    this.store.restart();
    await this.#open();
  }

  async #open(): Promise<void> {
    this.volume = await open(this.store);
    this.#server = new CallServer(
      this.volume,
      (shown) => this.volume.keep(shown),
      new LockGrace([]),
      () => {},
    );
    await this.ask('relocked');
  }
}

test('what another host was shown is there still when the host that serves the volume dies', async () => {
  const host = await Host.start();
  const inode = await put(host.volume, root, 'f', Buffer.alloc(4 * mebibyte, 1), true);
  await host.volume.syncfs();

  // A whole block goes into the store at once, and what refers to it later.
  await host.volume.write(inode, 0, 0, Buffer.alloc(mebibyte, 2), false);
  while (host.volume.memory.dirtyBytes > 0) await new Promise((resolve) => setImmediate(resolve));
  assert.equal((await host.ask<Uint8Array>('read', inode, 0, 0, 1))[0], 2);
  await host.dies();
  assert.equal((await readAt(host.volume, inode, 0, 1))[0], 2);

  await host.volume.setattr(inode, { mode: 0o600 });
  assert.equal((await host.ask<{ mode: number }>('getattr', inode)).mode & 0o777, 0o600);
  await host.dies();
  assert.equal((await host.volume.getattr(inode)).mode & 0o777, 0o600);

  await host.volume.setxattr(inode, 'user.x', Buffer.from('y'), 0, false);
  assert.equal(Buffer.from(await host.ask<Uint8Array>('getxattr', inode, 'user.x')).toString(), 'y');
  await host.dies();
  assert.equal(Buffer.from(await host.volume.getxattr(inode, 'user.x')).toString(), 'y');

  await host.volume.removexattr(inode, 'user.x');
  assert.equal(await errnoOf(() => host.ask('getxattr', inode, 'user.x')), 'ENODATA');
  await host.dies();
  assert.equal(await errnoOf(() => host.volume.getxattr(inode, 'user.x')), 'ENODATA');

  await host.volume.setattr(inode, { size: 0 });
  assert.equal((await host.ask<{ size: number }>('lookup', root, 'f')).size, 0);
  await host.dies();
  assert.equal((await host.volume.getattr(inode)).size, 0);
});

test('nor does an answer show what a local program did while it was being made', async () => {
  const host = await Host.start();
  const inode = await put(host.volume, root, 'f', Buffer.alloc(64 * 1024, 1), true);
  await host.volume.syncfs();
  let value = 1;
  const write = (): unknown => {
    const data = Buffer.alloc(4);
    data.writeUInt32LE(++value);
    return host.volume.write(inode, 0, 0, data, false);
  };
  for (let round = 0; round < 10; round++) {
    await write();
    let waits = true;
    const shown = host.ask<Uint8Array>('read', inode, 0, 0, 4).finally(() => (waits = false));
    for (; waits; await new Promise((resolve) => setImmediate(resolve))) await write();
    const seen = Buffer.from(await shown).readUInt32LE();
    await host.dies();
    const now = (await readAt(host.volume, inode, 0, 4)).readUInt32LE();
    assert.ok(now >= seen, `${seen} was seen, and ${now} is there`);
    value = now;
  }
});

test('what is in the journal is durable: to show it costs no write', async () => {
  const host = await Host.start();
  const inode = await put(host.volume, root, 'f', Buffer.alloc(64 * 1024, 1), true);
  await host.volume.syncfs();
  await host.volume.write(inode, 0, 0, Buffer.alloc(10, 2), false);
  await host.volume.fsync(inode, 0, true);
  const { commits } = host.store.counts;
  assert.equal((await host.ask<Uint8Array>('read', inode, 0, 0, 10))[0], 2);
  assert.equal(host.store.counts.commits, commits);
});
