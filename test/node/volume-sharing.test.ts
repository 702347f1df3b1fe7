import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { MessageChannel } from 'node:worker_threads';

import { namedAddress } from '../../src/block/index.ts';
import { InfinitError, silentLogger } from '../../src/base/index.ts';
import { Sealer } from '../../src/block/index.ts';
import { DirtySet } from '../../src/node/volumes/dirty-set.ts';
import { type OpenVolume, SharedRole, type SharedRoleParts } from '../../src/node/sharing/shared-role.ts';
import type { Volume } from '../../src/filesystem/index.ts';
import { encodeCall } from '../../src/filesystem/shared/calls.ts';
import type { BlockStore } from '../../src/store/index.ts';
import type { OpenCommand, VolumeCommand, VolumeEvent } from '../../src/node/volumes/volume-worker-protocol.ts';
import { MemoryNetwork } from '../../src/overlay/index.ts';
import { bytes, contentOf, errnoOf, look, open, put, root, user, volumeId } from '../filesystem/harness.ts';
import { eventually } from '../docker/process.ts';
import { MemoryBlockStore } from '../suites/memory-block-store.ts';
import type { VolumeSharing } from '../../src/node/sharing/volume-sharing.ts';
import { sharingOf } from './sharing.ts';

/** The role of a worker of host `a`. */
function roleOf(parts: Pick<SharedRoleParts, 'open' | 'tell' | 'dirty'>): SharedRole {
  return new SharedRole({ self: 'a', volumeId, sealer: new Sealer(), logger: silentLogger, ...parts });
}

/** A worker's role with the main thread's part of the volume, on a store that both share. */
class Host implements AsyncDisposable {
  readonly sent: VolumeCommand[] = [];
  readonly role: SharedRole;
  readonly sharing: VolumeSharing;
  readonly #stack: AsyncDisposableStack;

  private constructor(role: SharedRole, sharing: VolumeSharing, stack: AsyncDisposableStack) {
    this.role = role;
    this.sharing = sharing;
    this.#stack = stack;
  }

  /** @param lost inodes that a killed daemon had unsynced writes of. */
  static async start(store: MemoryBlockStore, openVolume: OpenVolume, lost: readonly number[] = []): Promise<Host> {
    await using stack = new AsyncDisposableStack();
    const directory = await mkdtemp(path.join(tmpdir(), 'infinit-sharing-'));
    stack.defer(() => rm(directory, { recursive: true, force: true }));
    const file = path.join(directory, 'dirty');
    const before = DirtySet.open(file, false);
    for (const inode of lost) before.set.add(inode);
    const dirty = DirtySet.open(file, true);
    stack.defer(() => dirty.set.close(true));
    const transport = stack.use(new MemoryNetwork().open('a'));
    const tell = (event: VolumeEvent): void => void sharing.hear(event);
    const role = roleOf({ open: openVolume, tell, dirty });
    stack.use(role);
    const sharing = sharingOf(transport, store, (command) => role.hear(command));
    stack.use(sharing);
    await sharing.start();
    return new Host(role, sharing, stack.move());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

test('a volume that was deleted while this host was cut off is not made anew by its return', async () => {
  const store = new MemoryBlockStore();
  await using transport = new MemoryNetwork().open('a');
  const [sent, deleted] = [[] as VolumeCommand[], Promise.withResolvers<void>()];
  const sharing = sharingOf(transport, store, (command) => sent.push(command), {
    isDeleted: () => Promise.resolve(true),
    onDeleted: deleted.resolve,
  });
  await sharing.start();
  await deleted.promise;
  await sharing[Symbol.asyncDispose]();
  const left = await Promise.all(['session', 'lease'].map((name) => store.fetch(namedAddress(volumeId, name))));
  assert.deepEqual([sent, left], [[], [undefined, undefined]]);
});

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

test('a mount of a volume that nobody can open, since blocks of its own are lost, is told so; one that can be opened, or only waits, is not', async () => {
  for (const code of ['lost', 'unavailable', undefined] as const) {
    const store = new MemoryBlockStore();
    let fails = code !== undefined;
    const openVolume: OpenVolume = (way, session) => {
      if (fails) return Promise.reject(new InfinitError(code!, 'the root directory is lost'));
      return open(way, {}, { session });
    };
    await using host = await Host.start(store, openVolume);
    const { sharing } = host;
    if (code === 'lost')
      await assert.rejects(sharing.opened(), { code: 'lost', message: /volume "data" cannot be opened: the root directory is lost/ });
    else await sharing.opened();
    assert.equal(sharing.lostParts?.code, code === 'lost' ? code : undefined);
    fails = false;
    const { attributes } = await host.role.fileSystem.create(root, 'f', 0o644, 0, 1, user);
    assert.ok(attributes.inode > root);
    assert.equal(sharing.lostParts, undefined);
  }
});

test('a late write of the holder before costs the programs here nothing', async () => {
  const store = new MemoryBlockStore();
  const before = await open(store);
  const inode = await put(before, root, 'f', 'old', true);
  await before.recall();
  // The volume's own block names the file by now: a later fsync need not write that block, which the next holder makes its own.
  await before.write(inode, 0, 0, bytes('older'), false);
  await before.fsync(inode, 0, false);
  await using host = await Host.start(store, (_store, _session, onOvertaken) => open(store, {}, { onOvertaken }));
  const { fileSystem } = host.role;
  const handle = await fileSystem.open(inode, 2);
  await fileSystem.mkdir(root, 'here', 0o755, 0, user);
  // Sent before the lease ended, and held up by the network until now.
  await before.write(inode, 0, 0, bytes('late'), false);
  await before.fsync(inode, 0, false);
  await before.abandon();
  await fileSystem.write(inode, handle, 0, bytes('my'), false);
  await fileSystem.fsync(inode, handle, false);
  await fileSystem.syncfs();
  const after = await open(store);
  assert.equal((await contentOf(after, (await look(after, root, 'f'))!)).toString(), 'myder');
  assert.ok((await look(after, root, 'here')) !== undefined);
});

test('a volume that another session has written to is opened anew, and programs go on', async () => {
  const store = new MemoryBlockStore();
  const before = await open(store);
  const inode = await put(before, root, 'f', 'old', true);
  await before.close();
  await using host = await Host.start(store, (_store, _session, onOvertaken) => open(store, {}, { onOvertaken }));
  const { fileSystem } = host.role;
  const handle = await fileSystem.open(inode, 2);
  await fileSystem.mkdir(root, 'here', 0o755, 0, user);
  // The lease did not show it.
  const other = await open(store);
  await other.write(inode, 0, 0, bytes('theirs'), false);
  await other.close();
  await fileSystem.write(inode, handle, 0, bytes('mine'), false);
  assert.equal(await errnoOf(() => fileSystem.fsync(inode, handle, false)), 'EIO', 'what was acknowledged but not synced is lost, and said to be');
  await errnoOf(() => fileSystem.fsync(inode, handle, false));
  const directory = await fileSystem.opendir(root);
  assert.equal(await errnoOf(() => fileSystem.fsyncdir(root, directory)), 'EIO', 'a name, too');
  assert.equal(await errnoOf(() => fileSystem.syncfs()), 'EIO');
  await fileSystem.mkdir(root, 'after', 0o755, 0, user);
  await fileSystem.syncfs();
  const after = await open(store);
  assert.equal((await contentOf(after, (await look(after, root, 'f'))!)).toString(), 'theirs');
  assert.ok((await look(after, root, 'after')) !== undefined);
});

test('a volume that is opened anew in the same tenure is another opening in the lease: guests take their locks again', async () => {
  const store = new MemoryBlockStore();
  let overtaken: (() => void) | undefined;
  await using host = await Host.start(store, (way, _session, onOvertaken) => {
    overtaken = onOvertaken;
    return open(way, {}, { onOvertaken });
  });
  await host.role.fileSystem.getattr(root);
  const opening = async (): Promise<unknown> => {
    const block = await store.fetch(namedAddress(volumeId, 'lease'));
    return (JSON.parse(Buffer.from(block!.payload).toString()) as { opening?: unknown }).opening;
  };
  const before = await opening();
  overtaken!();
  await host.role.fileSystem.getattr(root);
  await eventually('the lease says so', async () => ((await opening()) === before ? undefined : true));
});

test('the lease says who may have had locks and is not waited for, before others are given them', async () => {
  const store = new MemoryBlockStore();
  await using transport = new MemoryNetwork().open('a');
  const sent: VolumeCommand[] = [];
  const lostFor = new Map([
    ['b', 5000],
    ['c', 1000],
  ]);
  const sharing = sharingOf(transport, store, (command) => sent.push(command), { lostFor: () => lostFor });
  await using _ = sharing;
  await sharing.start();
  const dismissed = async (): Promise<unknown> => {
    const block = await store.fetch(namedAddress(volumeId, 'lease'));
    return (JSON.parse(Buffer.from(block!.payload).toString()) as { dismissed?: unknown }).dismissed;
  };
  const opened = await eventually('it is opened', async () => sent.find((command) => command.type === 'holder'));
  assert.deepEqual(await dismissed(), ['b']);
  assert.deepEqual(
    opened.lost.map(({ peer }) => peer),
    ['c'],
  );
  assert.deepEqual(opened.dismissed, [], 'here it is known what others had since');
  sharing.hear({ type: 'unheard', id: 7, peer: 'd' });
  await eventually('it is noted', async () => sent.find((command) => command.type === 'noted'));
  assert.deepEqual(await dismissed(), ['b', 'd']);
  opened.store.close();
});

test('a host that comes to serve the volume and had been given up is so in the lease until its own locks are let go, and no longer', async () => {
  const store = new MemoryBlockStore();
  await using transport = new MemoryNetwork().open('a');
  const payload = Buffer.from(JSON.stringify({ holder: 'b', count: 7, released: true, termMs: 4000, dismissed: ['a', 'c'] }));
  await store.commit([{ update: [{ address: namedAddress(volumeId, 'lease'), expect: 'any', payload }] }]);
  const sent: OpenCommand[] = [];
  await using sharing = sharingOf(transport, store, (command) => {
    if (command.type !== 'holder') return;
    command.store.close();
    sent.push(command);
  });
  await sharing.start();
  const dismissed = async (): Promise<unknown> => {
    const block = await store.fetch(namedAddress(volumeId, 'lease'));
    return (JSON.parse(Buffer.from(block!.payload).toString()) as { dismissed?: unknown }).dismissed;
  };
  const first = await eventually('it is opened', async () => sent[0]);
  assert.deepEqual(first.dismissed, ['a', 'c']);
  assert.deepEqual(await dismissed(), ['a', 'c']);
  sharing.hear({ type: 'opened', session: first.session });
  // What its programs locked since is theirs.
  sharing.hear({ type: 'not-opened', session: first.session, code: 'conflict', message: 'another session has written to the volume' });
  const second = await eventually('it is opened anew', async () => sent[1]);
  assert.deepEqual(second.dismissed, ['c']);
  await eventually('the lease says so', async () => (JSON.stringify(await dismissed()) === '["c"]' ? true : undefined));
});

test('a volume that another host had for a moment, unnoticed, is opened anew', async () => {
  const store = new MemoryBlockStore();
  await using host = await Host.start(store, (way, _session, onOvertaken) => open(way, {}, { onOvertaken }));
  const { fileSystem } = host.role;
  await fileSystem.mkdir(root, 'mine', 0o755, 0, user);
  await fileSystem.syncfs();
  assert.equal(await fileSystem.lookup(root, 'theirs'), undefined);
  // As it is for a host that was frozen: it looks at the lease when all is over.
  const other = await open(store);
  await other.mkdir(root, 'theirs', 0o755, 0, user);
  await other.close();
  const payload = Buffer.from(JSON.stringify({ holder: 'b', count: 7, released: true, termMs: 4000 }));
  await store.commit([{ update: [{ address: namedAddress(volumeId, 'lease'), expect: 'any', payload }] }]);
  await eventually('the host sees what the other one did', () => fileSystem.lookup(root, 'theirs'));
  assert.ok((await fileSystem.lookup(root, 'mine')) !== undefined);
});

test('a volume that comes back while its mount ends serves no other host', async () => {
  const store = new MemoryBlockStore();
  const before = await open(store);
  const inode = await put(before, root, 'f', 'x', true);
  await before.close();
  const gate = Promise.withResolvers<void>();
  const slow: BlockStore = {
    get: (address) => store.get(address),
    fetch: async (address) => {
      if (address === namedAddress(volumeId, `inode:${inode}`)) await gate.promise;
      return store.fetch(address);
    },
    commit: (stages) => store.commit(stages),
  };
  const directory = await mkdtemp(path.join(tmpdir(), 'infinit-sharing-'));
  await using stack = new AsyncDisposableStack();
  stack.defer(() => rm(directory, { recursive: true, force: true }));
  const dirty = DirtySet.open(path.join(directory, 'dirty'), false);
  stack.defer(() => dirty.set.close(true));
  const served = new Map<number, Uint8Array>();
  const tell = (event: VolumeEvent): void => void (event.type === 'served' && served.set(event.id, event.answer));
  const volumes: Volume[] = [];
  const openVolume: OpenVolume = async () => {
    const volume = await open(volumes.length === 0 ? slow : store);
    volumes.push(volume);
    return volume;
  };
  using role = roleOf({ open: openVolume, tell, dirty });
  const come = async (session: number): Promise<void> => {
    const { port1, port2 } = new MessageChannel();
    stack.defer(() => port1.close());
    role.hear({
      type: 'holder',
      session,
      awaited: [],
      lost: [],
      alone: false,
      inherited: false,
      store: port2,
      tenure: new Float64Array(new SharedArrayBuffer(16)).fill(Infinity).buffer,
    });
    await eventually('the volume is open', () => (volumes.length > session && role.volume === volumes[session] ? true : undefined));
  };
  const serve = (id: number, call: Uint8Array): void => role.hear({ type: 'serve', id, peer: 'b', call });
  const ask = (id: number, number: number): void => serve(id, encodeCall('getattr', [number]));
  await come(0);
  serve(0, encodeCall('relocked', []));
  ask(1, inode);
  const closing = role.close();
  await come(1);
  ask(2, root);
  await eventually('it is answered', () => (served.has(2) ? true : undefined));
  assert.equal(served.get(2)!.length, 0, 'the asker looks for the next holder');
  gate.resolve();
  await closing;
});

test('what a killed daemon lost is said once to each who had it open, however often the volume is opened then', async () => {
  const store = new MemoryBlockStore();
  const before = await open(store);
  const inode = await put(before, root, 'f', 'x', true);
  await before.close();
  let opened = 0;
  let overtaken: (() => void) | undefined;
  const openVolume: OpenVolume = (way, _session, onOvertaken) => {
    opened++;
    overtaken = onOvertaken;
    return open(way, {}, { onOvertaken });
  };
  await using host = await Host.start(store, openVolume, [inode]);
  const { fileSystem } = host.role;
  const handle = await fileSystem.open(inode, 2);
  assert.equal(await errnoOf(() => fileSystem.fsync(inode, handle, false)), 'EIO');
  assert.equal(await errnoOf(() => fileSystem.fsync(inode, handle, false)), 'none');
  // A program that had it open then, too, and comes only now.
  const other = await fileSystem.open(inode, 2);
  fileSystem.inherited(inode, other);
  assert.equal(await errnoOf(() => fileSystem.fsync(inode, other, false)), 'EIO');
  for (const heard of [handle, other]) assert.equal(await errnoOf(() => fileSystem.fsync(inode, heard, false)), 'none');
  overtaken!();
  await eventually('it is open again', async () => (await fileSystem.getattr(inode)) && (opened === 2 || undefined));
  assert.equal(await errnoOf(() => fileSystem.fsync(inode, handle, false)), 'none');
});

test('that no other host uses the volume any more counts also where it is said before the volume is open', async () => {
  const directory = await mkdtemp(path.join(tmpdir(), 'infinit-sharing-'));
  const dirty = DirtySet.open(path.join(directory, 'dirty'), true);
  const store = new MemoryBlockStore();
  const opening = Promise.withResolvers<void>();
  const openVolume: OpenVolume = async () => {
    await opening.promise;
    return open(store);
  };
  using role = roleOf({ open: openVolume, tell: () => {}, dirty });
  let told = 0;
  role.fileSystem.attach({
    removed: () => {},
    holds: () => Promise.resolve(true),
    drop: () => undefined,
    distrust: () => undefined,
    dropOpen: () => {},
    settle: () => {},
    lost: () => {},
    hasStale: () => false,
    beginSole: () => void told++,
    endSole: () => ({ expired: undefined, dropped: Promise.resolve() }),
  });
  const { port1, port2 } = new MessageChannel();
  const limits = new Float64Array(new SharedArrayBuffer(16)).fill(Infinity);
  role.hear({ type: 'holder', session: 1, awaited: [], lost: [], alone: false, inherited: false, store: port1, tenure: limits.buffer });
  role.hear({ type: 'alone' });
  assert.equal(told, 0);
  opening.resolve();
  await eventually('the kernel is told', () => told || undefined);
  assert.ok(role.volume !== undefined);
  // The machine was suspended: the monotonic clock is far from its limit, the wall's is past it.
  limits[1] = 1;
  assert.equal(role.volume, undefined);
  limits[1] = Infinity;
  await role.close();
  port2.close();
  dirty.set.close(true);
  await rm(directory, { recursive: true, force: true });
});

test('the daemons after one that had the volume alone let the kernel write no page beside other hosts, however many die', async () => {
  const store = new MemoryBlockStore();
  const bytesLeft = new Uint8Array(4096 + 1024 * 1024);
  await using stack = new AsyncDisposableStack();
  const directory = await mkdtemp(path.join(tmpdir(), 'infinit-sharing-'));
  stack.defer(() => rm(directory, { recursive: true, force: true }));
  /** What its kernel is told, and when another host was answered. */
  const serve = async (daemon: number, alone: boolean, stale: () => boolean = () => false): Promise<string[]> => {
    const told: string[] = [];
    const dirty = DirtySet.open(path.join(directory, 'dirty'), daemon > 1);
    const memory = { bytes: bytesLeft, provide: () => true, release: () => {} };
    const openVolume: OpenVolume = (_store, _session, _onOvertaken, inherits) => open(store, {}, { memory, inherits, resumed: daemon > 1 });
    const tell = (event: VolumeEvent): void => void (event.type === 'served' && told.push('answered'));
    using role = roleOf({ open: openVolume, tell, dirty });
    role.fileSystem.attach({
      removed: () => {},
      holds: () => Promise.resolve(true),
      drop: () => undefined,
      distrust: () => undefined,
      dropOpen: () => {},
      lost: () => {},
      settle: (right) => void told.push(right ? 'right' : 'wrong'),
      hasStale: () => stale() || (daemon > 1 && told.includes('others come')),
      beginSole: () => void told.push('alone'),
      endSole: (lost) => {
        if (!lost) told.push('others come');
        return { expired: undefined, dropped: Promise.resolve() };
      },
    });
    const { port1, port2 } = new MessageChannel();
    stack.defer(() => port1.close());
    const tenure = new Float64Array(new SharedArrayBuffer(16)).fill(Infinity).buffer;
    role.hear({ type: 'holder', session: daemon, awaited: [], lost: [], alone, inherited: false, store: port2, tenure });
    await eventually('the volume is open', () => role.volume);
    if (!alone) {
      for (const [id, call] of [encodeCall('relocked', []), encodeCall('getattr', [root]), encodeCall('getattr', [root])].entries())
        role.hear({ type: 'serve', id, peer: 'b', call });
      await eventually('another host is answered', () => (told.filter((what) => what === 'answered').length === 3 ? true : undefined));
    }
    // As a process leaves it that dies: what this one does at its end changes nothing.
    const left = new Uint8Array(bytesLeft);
    dirty.set.close(false);
    await role.volume!.abandon();
    bytesLeft.set(left);
    store.restart();
    return told;
  };
  const answered = ['answered', 'answered', 'answered'];
  assert.deepEqual(await serve(1, true), ['wrong', 'alone']);
  assert.deepEqual(await serve(2, false), ['right', 'others come', ...answered], 'what it had alone is not written beside others');
  assert.deepEqual(await serve(3, false), ['wrong', 'others come', ...answered], 'and by the next one neither');
  bytesLeft.fill(0);
  assert.deepEqual(await serve(1, false), ['wrong', 'others come', ...answered]);
  assert.deepEqual(await serve(2, false), ['right', ...answered], 'pages that were written beside others already go on to be');
  bytesLeft.fill(0);
  await serve(1, false, () => true);
  assert.equal((await serve(2, true))[0], 'wrong', 'a lease was lost under it');
});
