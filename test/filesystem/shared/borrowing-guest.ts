import { SharedFileSystem } from '../../../src/filesystem/index.ts';
import { MemoryBlockStore } from '../../suites/memory-block-store.ts';
import { open } from '../harness.ts';
import { Serving } from './serving.ts';

export const mebibyte: number = 1024 * 1024;

let guests = 0;

/** What it is granted is good however slow the machine is. */
export function guestOf(serving: Serving, leaseHeld: () => boolean = () => false): SharedFileSystem {
  return new SharedFileSystem('guest', leaseHeld, { clock: serving.time.clock });
}

export async function keeping(serving: Serving, store: MemoryBlockStore, guest = guestOf(serving)): Promise<SharedFileSystem> {
  serving.welcome(guest, `guest ${++guests}`, store);
  await serving.keeps(guest);
  return guest;
}

export async function begin(): Promise<{ store: MemoryBlockStore; serving: Serving; guest: SharedFileSystem }> {
  const store = new MemoryBlockStore();
  const serving = new Serving(await open(store));
  return { store, serving, guest: await keeping(serving, store) };
}

/** The host that serves the volume is lost, and another one opens it. */
export async function next(serving: Serving, store: MemoryBlockStore): Promise<Serving> {
  await serving.volume.abandon();
  store.restart();
  return new Serving(await open(store));
}

export function pattern(bytes: number): Buffer {
  const data = Buffer.alloc(bytes);
  for (let at = 0; at + 4 <= bytes; at += 4) data.writeUInt32LE(Math.imul(at, 2_654_435_761) >>> 0, at);
  return data;
}
