import { type Clock, silentLogger } from '../../src/base/index.ts';
import { headerBytes, namedAddress, ownerOf, Sealer } from '../../src/block/index.ts';
import { Volume, type VolumeOptions, type VolumeSetup } from '../../src/filesystem/index.ts';
import type { BlockStore } from '../../src/store/index.ts';
import { MemoryBlockStore } from '../suites/memory-block-store.ts';

export const volumeId = '00112233445566778899aabbccddeeff';
export const root = 1;
export const user = { uid: 1000, gid: 100, pid: 7 };

/** A clock that moves only when told, or with each look at it. */
export class TestClock implements Clock {
  now = 1_700_000_000_000;
  monotonicMs(): number {
    return this.now;
  }
  wallMs(): number {
    return this.now++;
  }
}

let session = 0;

/** For what opens the volume by itself. */
export function nextSession(): number {
  return ++session;
}

/** Opens the test volume; each time as a new session, for a process that dies with the store's next crash. Nothing is written out unless asked for. */
export function open(store: BlockStore, options: VolumeOptions = {}, more: Partial<VolumeSetup> = {}): Promise<Volume> {
  return Volume.open({
    store: store instanceof MemoryBlockStore ? store.way() : store,
    sealer: new Sealer(),
    volumeId,
    session: nextSession(),
    clock: new TestClock(),
    logger: silentLogger,
    options: { flushDelayMs: 3_600_000, ...options },
    ...more,
  });
}

export function bytes(text: string): Uint8Array {
  return Buffer.from(text, 'latin1');
}

/** Creates a file with a content, synced where wanted; returns its inode number. */
export async function put(volume: Volume, parent: number, name: string, content: Uint8Array | string, sync = false): Promise<number> {
  const { attributes, handle } = await volume.create(parent, name, 0o644, 0o022, 1, user);
  const data = typeof content === 'string' ? bytes(content) : content;
  if (data.length > 0) await volume.write(attributes.inode, handle, 0, data, false);
  if (sync) await volume.fsync(attributes.inode, handle, false);
  await volume.release(attributes.inode, handle);
  return attributes.inode;
}

/** Numbers of the volume's inodes in the store, as a host tells them of its own disk. */
export async function* inodesIn(store: MemoryBlockStore): AsyncGenerator<number> {
  for (const address of store.mutableAddresses()) {
    const { payload } = (await store.fetch(address).catch(() => undefined)) ?? {};
    const inode = payload === undefined || payload.length < headerBytes ? undefined : ownerOf(payload).inode;
    if (inode !== undefined && namedAddress(volumeId, `inode:${inode}`) === address) yield inode;
  }
}

/** The whole content of a file. */
export async function contentOf(volume: Volume, inode: number): Promise<Buffer> {
  const { size } = await volume.getattr(inode);
  return readAt(volume, inode, 0, size);
}

export async function readAt(volume: Volume, inode: number, offset: number, length: number): Promise<Buffer> {
  return Buffer.concat(await volume.read(inode, 0, offset, length));
}

export async function look(volume: Volume, parent: number, name: string): Promise<number | undefined> {
  const attributes = await volume.lookup(parent, name);
  if (attributes === undefined) return undefined;
  volume.forget(attributes.inode, 1);
  return attributes.inode;
}

/** All names of a directory but "." and "..". */
export async function namesOf(volume: Volume, inode: number, limit = 4096): Promise<string[]> {
  const names: string[] = [];
  let cookie = 0;
  for (;;) {
    const entries = await volume.readdir(inode, 0, cookie, limit, false);
    if (entries.length === 0) return names.filter((name) => name !== '.' && name !== '..');
    names.push(...entries.map(({ name }) => name));
    cookie = entries.at(-1)!.cookie;
  }
}

/** The errno that something fails with. */
export async function errnoOf(work: () => unknown): Promise<string> {
  try {
    await work();
  } catch (error) {
    return (error as { errno?: string }).errno ?? String(error);
  }
  return 'none';
}

/** Bytes of which each four say where they are, another series for each seed. */
export function pattern(length: number, seed: number): Buffer {
  const data = new Uint32Array(Math.ceil(length / 4));
  for (let at = 0; at < data.length; at++) data[at] = Math.imul(at, 2_654_435_761) + seed;
  return Buffer.from(data.buffer, 0, length);
}
