import { fstatSync, ftruncateSync, openSync, readlinkSync } from 'node:fs';

import { type SurvivingMemory, unsaidMemoryBytes } from '../../filesystem/index.ts';
import { giveRoom, mapFile, memoryFile, takeRoom } from '../../fuse/index.ts';

/** Of one mount: what may be unsynced in the file system's own buffers and the room to log it anew, see redo-log.ts. Taken as it is used, and given back in a quiet moment. */
const redoBytes = 512 * 1024 * 1024 + 4096;
/** Behind it: what a guest has not said yet. Daemons that know of no guests' memory made less, and that stays so. */
const memoryBytes = redoBytes + unsaidMemoryBytes;
const pageBytes = 4096;

/** A descriptor of memory for a mount that a holder keeps; undefined where the kernel, or the add-on, has none. */
export function createMemory(): number | undefined {
  return memoryFile(memoryBytes);
}

/** Is that descriptor one of {@link createMemory}? A holder of an earlier version passes a number on, and not what it stood for. */
export function isMemory(descriptor: number): boolean {
  try {
    return readlinkSync(`/proc/self/fd/${descriptor}`).startsWith('/memfd:infinit') && fstatSync(descriptor).size > 0;
  } catch {
    return false;
  }
}

/**
 * Memory without a name in any file system, which the holder keeps as well. Never on a disk but where the host swaps, as the daemon's own. It stays as large as the daemon made it that
 * mounted the volume: where things lie in it depends on that.
 */
export class MappedMemory {
  /** Of the host that serves the volume. */
  readonly redo: SurvivingMemory;
  /** Of a guest; undefined where an earlier version's daemon mounted the volume. */
  readonly unsaid: SurvivingMemory | undefined;

  private constructor(descriptor: number, bytes: Uint8Array) {
    const end = Math.min(redoBytes, bytes.length);
    this.redo = new Part(descriptor, bytes, 0, end);
    this.unsaid = bytes.length < memoryBytes ? undefined : new Part(descriptor, bytes, end, memoryBytes);
  }

  /** undefined: there is no memory for it. */
  static open(descriptor: number): MappedMemory | undefined {
    try {
      // This thread's own: it ends with the thread, whoever closes the other.
      const own = openSync(`/proc/self/fd/${descriptor}`, 'r+');
      let { size } = fstatSync(own);
      // An earlier version's daemon died while it gave its memory back, which cut the file for a moment: there was nothing in it.
      if (size <= pageBytes) ftruncateSync(own, (size = memoryBytes));
      const mapped = takeRoom(own, 0, pageBytes) ? mapFile(own, size) : undefined;
      return mapped === undefined ? undefined : new MappedMemory(own, mapped);
    } catch {
      return undefined;
    }
  }
}

/** A part of it that is used by itself. */
class Part implements SurvivingMemory {
  readonly bytes: Uint8Array;
  readonly #descriptor: number;
  readonly #from: number;

  constructor(descriptor: number, bytes: Uint8Array, from: number, to: number) {
    this.#descriptor = descriptor;
    this.#from = from;
    this.bytes = bytes.subarray(from, to);
  }

  provide(from: number, to: number): boolean {
    return takeRoom(this.#descriptor, this.#from + from, to - from);
  }

  release(from: number): void {
    giveRoom(this.#descriptor, this.#from + from, this.bytes.length - from);
  }
}
