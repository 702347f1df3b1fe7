import { InfinitError } from '../../base/index.ts';
import type { FileLock, FileSystem, LockOwner } from '../file-system.ts';
import { decodeCall, encodeFailure, encodeResult, type SharedCall, type SharedMethod } from './calls.ts';

/** Handles that one other host may have open. */
const maxHandles = 100_000;

/** Operations after which everything so far is made durable before the answer leaves: a host that dies loses only its own writes. */
const changesNames: ReadonlySet<SharedMethod> = new Set(['setattr', 'symlink', 'mknod', 'mkdir', 'unlink', 'rmdir', 'rename', 'link', 'create', 'setxattr', 'removexattr', 'fallocate', 'copyFileRange']);

/** Operations whose answer shows what is in the volume. */
const shows: ReadonlySet<SharedMethod> = new Set(['lookup', 'getattr', 'read', 'readdir', 'readlink', 'open', 'lseek', 'getxattr', 'listxattr']);

/** What another host has open and locked here. */
class Guest {
  readonly handles = new Map<number, { readonly inode: number; readonly directory: boolean }>();
  /** Every (inode, owner) that ever took a lock; a release of none is harmless. */
  readonly owners = new Map<string, { readonly inode: number; readonly kind: FileLock['kind']; readonly owner: LockOwner }>();
  readonly waits = new Set<AbortController>();
}

/**
 * Serves other hosts' operations on the volume that is open here. Their changes are written through. What a host has open and locked
 * is let go when it is gone.
 */
export class CallServer {
  readonly #volume: FileSystem;
  readonly #isDirty: () => boolean;
  readonly #guests = new Map<string, Guest>();

  /** @param isDirty whether anything that a guest could see is not durable yet. */
  constructor(volume: FileSystem, isDirty: () => boolean) {
    this.#volume = volume;
    this.#isDirty = isDirty;
  }

  /** Answers one call; never rejects: failures are answers too. */
  async serve(peer: string, bytes: Uint8Array, signal?: AbortSignal): Promise<Uint8Array> {
    try {
      return encodeResult(await this.#perform(peer, decodeCall(bytes), signal));
    } catch (error) {
      return encodeFailure(error);
    }
  }

  /** The host is gone: its handles are closed, its locks released. */
  async dismiss(peer: string): Promise<void> {
    const guest = this.#guests.get(peer);
    if (guest === undefined) return;
    this.#guests.delete(peer);
    for (const wait of guest.waits) wait.abort();
    for (const { inode, kind, owner } of guest.owners.values()) {
      await this.#volume.setlk(inode, { kind, type: 'unlock', owner, pid: 0, start: 0, end: Infinity }, false);
    }
    for (const [handle, { inode, directory }] of guest.handles) {
      if (directory) await this.#volume.releasedir(inode, handle);
      else await this.#volume.release(inode, handle);
    }
  }

  async #perform(peer: string, { method, args }: SharedCall, signal: AbortSignal | undefined): Promise<unknown> {
    const guest = this.#guest(peer);
    // What a guest sees must not be undone by the loss of this host: a read never goes backwards.
    if (shows.has(method) && this.#isDirty()) await this.#volume.syncfs();
    switch (method) {
      case 'forget':
        // Kernel references of another host are not counted here: what it has open is.
        return undefined;
      case 'read': {
        const slices = await this.#call<readonly Uint8Array[]>(method, args);
        return slices.length === 1 ? slices[0] : Buffer.concat(slices);
      }
      case 'write': {
        const written = await this.#call<number>(method, args);
        await this.#volume.fsync(args[0] as number, args[1] as number, true);
        return written;
      }
      case 'setlk':
        return this.#lock(guest, args as unknown as readonly [number, FileLock, boolean], signal);
      default: {
        const result = await this.#call(method, args);
        this.#account(guest, method, args, result);
        if (changesNames.has(method)) await this.#volume.syncfs();
        return result;
      }
    }
  }

  async #call<T>(method: SharedMethod, args: readonly unknown[]): Promise<T> {
    const operation = this.#volume[method] as (...values: readonly unknown[]) => T | Promise<T>;
    return operation.apply(this.#volume, [...args]);
  }

  async #lock(guest: Guest, [inode, lock, wait]: readonly [number, FileLock, boolean], signal: AbortSignal | undefined): Promise<void> {
    guest.owners.set(`${inode} ${lock.kind} ${lock.owner}`, { inode, kind: lock.kind, owner: lock.owner });
    const controller = new AbortController();
    guest.waits.add(controller);
    try {
      await this.#volume.setlk(inode, lock, wait, signal === undefined ? controller.signal : AbortSignal.any([signal, controller.signal]));
    } finally {
      guest.waits.delete(controller);
    }
  }

  #account(guest: Guest, method: SharedMethod, args: readonly unknown[], result: unknown): void {
    const inode = args[0] as number;
    switch (method) {
      case 'open':
      case 'opendir':
        guest.handles.set(result as number, { inode, directory: method === 'opendir' });
        break;
      case 'create':
      case 'tmpfile': {
        const { attributes, handle } = result as { attributes: { inode: number }; handle: number };
        guest.handles.set(handle, { inode: attributes.inode, directory: false });
        break;
      }
      case 'release':
      case 'releasedir':
        guest.handles.delete(args[1] as number);
        break;
    }
  }

  #guest(peer: string): Guest {
    let guest = this.#guests.get(peer);
    if (guest === undefined) this.#guests.set(peer, (guest = new Guest()));
    if (guest.handles.size >= maxHandles) throw new InfinitError('overloaded', `host ${peer} has ${maxHandles} files open on this volume`);
    return guest;
  }
}
