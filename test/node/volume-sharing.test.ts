import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';

import { InfinitError, silentLogger, systemClock } from '../../src/base/index.ts';
import type { Volume } from '../../src/filesystem/index.ts';
import { DirtySet } from '../../src/node/dirty-set.ts';
import { SharedRole } from '../../src/node/shared-role.ts';
import { VolumeSharing } from '../../src/node/volume-sharing.ts';
import type { VolumeCommand, VolumeEvent } from '../../src/node/volume-worker-protocol.ts';
import { MemoryNetwork } from '../../src/overlay/index.ts';
import { errnoOf, open, root, user, volumeId } from '../filesystem/harness.ts';
import { MemoryBlockStore } from '../suites/memory-block-store.ts';

/** A worker's role with the main thread's part of the volume, on a store that both share. */
class Host implements AsyncDisposable {
  readonly sent: VolumeCommand[] = [];
  readonly role: SharedRole;
  readonly #stack: AsyncDisposableStack;

  private constructor(role: SharedRole, stack: AsyncDisposableStack) {
    this.role = role;
    this.#stack = stack;
  }

  static async start(store: MemoryBlockStore, openVolume: (session: number, onOvertaken: () => void) => Promise<Volume>): Promise<Host> {
    await using stack = new AsyncDisposableStack();
    const directory = await mkdtemp(path.join(tmpdir(), 'infinit-sharing-'));
    stack.defer(() => rm(directory, { recursive: true, force: true }));
    const { set } = DirtySet.open(path.join(directory, 'dirty'));
    stack.defer(() => set.close());
    const leaseUntilMs = new SharedArrayBuffer(8);
    const transport = stack.use(new MemoryNetwork().open('a'));
    const tell = (event: VolumeEvent): void => void sharing.hear(event);
    const role = new SharedRole({ self: transport.self, leaseUntilMs }, set, openVolume, tell, silentLogger);
    const sharing = new VolumeSharing({
      volumeId,
      store,
      transport,
      clock: systemClock,
      logger: silentLogger,
      leaseUntilMs: new Float64Array(leaseUntilMs),
      send: (command) => role.hear(command),
      exclusive: false,
      hostName: String,
    });
    stack.use(sharing);
    await sharing.start();
    return new Host(role, stack.move());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

test('a volume that could not be opened when its lease came is opened a moment later', async () => {
  const store = new MemoryBlockStore();
  let attempts = 0;
  await using host = await Host.start(store, () => {
    if (++attempts < 3) return Promise.reject(new InfinitError('unavailable', 'too few replicas answered'));
    return open(store);
  });
  const { attributes } = await host.role.fileSystem.create(root, 'f', 0o644, 0, 1, user);
  assert.ok(attributes.inode > root);
  assert.equal(attempts, 3);
});

test('a late write of the holder before has the volume opened anew, and programs go on', async () => {
  const store = new MemoryBlockStore();
  const before = await open(store);
  await before.mkdir(root, 'd', 0o755, 0, user);
  await before.recall();
  await using host = await Host.start(store, (_session, onOvertaken) => open(store, {}, { onOvertaken }));
  const { fileSystem } = host.role;
  await fileSystem.mkdir(root, 'here', 0o755, 0, user);
  // Sent before the lease ended, and held up by the network until now.
  await before.mkdir(root, 'late', 0o755, 0, user);
  await before.fsyncdir(root, 0);
  await before.abandon();
  const handle = await fileSystem.opendir(root);
  assert.equal(await errnoOf(() => fileSystem.fsyncdir(root, handle)), 'EIO', 'what was acknowledged but not synced is lost, and said to be');
  await errnoOf(() => fileSystem.fsyncdir(root, handle));
  await fileSystem.mkdir(root, 'after', 0o755, 0, user);
  await fileSystem.syncfs();
  const after = await open(store);
  for (const name of ['d', 'late', 'after']) assert.ok((await after.lookup(root, name)) !== undefined, name);
});
