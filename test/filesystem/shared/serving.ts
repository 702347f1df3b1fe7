import { InfinitError, silentLogger } from '../../../src/base/index.ts';
import { Sealer } from '../../../src/block/index.ts';
import {
  BlockReader,
  CallServer,
  type FileLock,
  Grants,
  LockGrace,
  ownKernel,
  SharedFileSystem,
  SilentHosts,
  type Volume,
} from '../../../src/filesystem/index.ts';
import type { BlockStore } from '../../../src/store/index.ts';
import { decodeCall, encodeFailure } from '../../../src/filesystem/shared/calls.ts';
import { VirtualTime } from './virtual-time.ts';
import { root, volumeId } from '../harness.ts';

export const none = Promise.resolve();

export function flock(owner: string, type: FileLock['type']): FileLock {
  return { kind: 'flock', type, owner, pid: 1, start: 0, end: Infinity };
}

export function posix(owner: string, type: FileLock['type'], start: number, end: number): FileLock {
  return { kind: 'posix', type, owner, pid: 1, start, end };
}

/** A host that has the volume open, and guests of it. What is granted to guests is good until the test lets time pass, however slow the machine is. */
export class Serving {
  readonly volume: Volume;
  readonly time = new VirtualTime();
  readonly server: CallServer;
  readonly own: SharedFileSystem;
  /** What guests asked, by method. */
  readonly calls: string[] = [];
  /** Files that guests opened here. */
  opens = 0;
  /** Names that guests took away. */
  readonly removed: { readonly parent: number; readonly name: string }[] = [];
  readonly grants: Grants;
  /** Guests that are not heard. */
  readonly silent = new SilentHosts();
  readonly #guests = new Map<string, SharedFileSystem>();

  /** Guests that hear of no recall. */
  readonly unheard = new Set<string>();
  /** Methods that it does not know, as one of an earlier version. */
  readonly unknown = new Set<string>();
  /** Of an earlier version: it lets a guest in again without a term. */
  withoutTerms = false;
  #lost: string | undefined;
  #heldBack: { readonly method: string; readonly until: Promise<void> } | undefined;

  /** @param own this host's, where it was another one's guest before. */
  constructor(volume: Volume, grace = new LockGrace([]), own = new SharedFileSystem('holder', () => true)) {
    this.volume = volume;
    this.own = own;
    this.grants = new Grants({
      now: () => this.time.clock.monotonicMs(),
      sleep: (ms) => this.time.sleep(ms),
      leaseMs: () => Infinity,
      recall: async (peer, keys) => {
        if (peer === ownKernel) return this.own.distrust(keys);
        if (this.unheard.has(peer)) throw new InfinitError('unavailable', 'not heard');
        await this.#guests.get(peer)?.recall(keys);
      },
      onGivenUp: (peer, inode, lapsed) => this.server.givenUp(peer, inode, lapsed),
      earlierUntilMs: 0,
      silent: this.silent,
    });
    volume.guard(this.grants);
    this.server = new CallServer(
      volume,
      (shown) => volume.keep(shown),
      grace,
      (parent, name) => this.removed.push({ parent, name }),
      this.grants,
    );
    this.own.setBacking({
      kind: 'local',
      volume,
      grace: grace.over,
      names: grace.names?.over,
      lending: volume.lending,
      grants: this.grants,
    });
  }

  /** Such calls are made from now on, and never answered. undefined: all are answered again. */
  loseAnswers(method: string | undefined): void {
    this.#lost = method;
  }

  /** Such calls come here when what is returned is called, and not before. */
  holdBack(method: string): () => void {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#heldBack = { method, until: promise };
    return resolve;
  }

  /** @param store where the guest reads blocks itself. */
  welcome(guest: SharedFileSystem, name: string, store?: BlockStore): void {
    this.#guests.set(name, guest);
    guest.setBacking({
      kind: 'remote',
      ask: async (call) => {
        const { method, args } = decodeCall(call);
        if (this.unknown.has(method) || (this.withoutTerms && method === 'rejoin' && args.length > 0))
          return encodeFailure(new InfinitError('bad-argument', `unknown method ${method}`));
        if (method === this.#heldBack?.method) await this.#heldBack.until;
        const answer = await this.server.serve(name, call);
        this.calls.push(method);
        if (method === 'open') this.opens++;
        if (method === this.#lost) {
          await new Promise((resolve) => setTimeout(resolve, 20));
          throw new InfinitError('unknown-outcome', 'lost');
        }
        return answer;
      },
      ...(store === undefined
        ? {}
        : { blocks: new BlockReader(store, new Sealer()), writes: { store, sealer: new Sealer(), volumeId, logger: silentLogger } }),
    });
  }

  /** Resolves when the guest keeps what it is told; its calls are counted from then on. */
  async keeps(guest: SharedFileSystem): Promise<void> {
    this.calls.length = 0;
    // With the first question after it was let in it begins to.
    while (!this.calls.includes('renew')) {
      await guest.getattr(root);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await new Promise((resolve) => setTimeout(resolve, 1));
    await guest.getattr(root);
    this.calls.length = 0;
  }

  guest(name: string, store?: BlockStore): SharedFileSystem {
    const guest = new SharedFileSystem(name, () => false, { clock: this.time.clock });
    this.welcome(guest, name, store);
    return guest;
  }

  /** A guest that keeps what it is told, and what it asks from now on. */
  async keepingGuest(store?: BlockStore): Promise<SharedFileSystem> {
    const guest = this.guest('guest', store);
    await this.keeps(guest);
    return guest;
  }
}

export async function attributesOf(volume: Volume, inode: number): Promise<unknown> {
  try {
    return await volume.getattr(inode);
  } catch {
    return undefined;
  }
}

/** The volume with some methods of its own. */
export function standIn<T extends object>(volume: T, methods: Partial<T>): T {
  return new Proxy(volume, {
    get(target, name) {
      if (Object.hasOwn(methods, name)) return methods[name as keyof T];
      const member: unknown = Reflect.get(target, name, target);
      return typeof member === 'function' ? (member as () => unknown).bind(target) : member;
    },
  });
}
