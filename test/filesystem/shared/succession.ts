import { InfinitError } from '../../../src/base/index.ts';
import type { Address } from '../../../src/block/index.ts';
import { type Backing, SharedFileSystem, type Volume } from '../../../src/filesystem/index.ts';
import { decodeCall } from '../../../src/filesystem/shared/calls.ts';
import type { BlockStore, CommitResult, Stage } from '../../../src/store/index.ts';
import { MemoryBlockStore } from '../../suites/memory-block-store.ts';
import { open, put, root, user } from '../harness.ts';
import { Memory } from '../redo-host.ts';
import { none, Serving } from './serving.ts';

/** When the host that serves the volume dies: before what it does is durable, when it is and nobody knows, when it is about to answer. */
export type Moment = 'before it is durable' | 'when it is durable' | 'while it answers';
export const moments: readonly Moment[] = ['before it is durable', 'when it is durable', 'while it answers'];

const never = new Promise<never>(() => {});

/** A host's way to the store, which ends at a moment. */
class MortalWay implements BlockStore {
  readonly #store: BlockStore;
  readonly #dead = Promise.withResolvers<void>();
  dies: Moment | undefined;

  constructor(store: BlockStore) {
    this.#store = store;
  }

  get dead(): Promise<void> {
    return this.#dead.promise;
  }

  die(): void {
    this.#dead.resolve();
  }

  get(...what: Parameters<BlockStore['get']>): Promise<Uint8Array> {
    return this.#store.get(...what);
  }

  fetch(address: Address): ReturnType<BlockStore['fetch']> {
    return this.#store.fetch(address);
  }

  async commit(stages: readonly Stage[]): Promise<CommitResult> {
    if (this.dies === undefined || this.dies === 'while it answers') return this.#store.commit(stages);
    if (this.dies === 'when it is durable') await this.#store.commit(stages);
    this.die();
    return never;
  }
}

/** A volume that goes from host to host, with one guest throughout. */
export class Succession {
  readonly store = new MemoryBlockStore();
  readonly guest = new SharedFileSystem('guest', () => this.#holds);
  way!: MortalWay;
  serving!: Serving;
  /** What the daemon of the host that serves the volume would leave to the next one there. */
  memory = new Memory();
  #holds = false;

  get volume(): Volume {
    return this.serving.volume;
  }

  /** @param left by the daemon before, on the same host. */
  async next(left?: Memory): Promise<void> {
    const way = (this.way = new MortalWay(this.store));
    this.memory = left?.copy() ?? new Memory();
    const setup = { memory: this.memory, ...(left === undefined ? {} : { inherits: true, resumed: true }) };
    const serving = (this.serving = new Serving(await open(way, {}, setup)));
    this.guest.setBacking(this.#remote(way, serving));
  }

  /** The guest comes to serve the volume. */
  async takeOver(): Promise<void> {
    const volume = await open(this.store);
    this.#holds = true;
    this.serving = new Serving(volume);
    this.guest.setBacking({ kind: 'local', volume, grace: none });
  }

  #remote(way: MortalWay, serving: Serving): Backing {
    const ask = async (call: Uint8Array): Promise<Uint8Array> => {
      const gone = way.dead.then(() => {
        throw new InfinitError('unknown-outcome', 'the host is gone');
      });
      const answer = await Promise.race([serving.server.serve('guest', call), gone]);
      if (way.dies === 'while it answers' && decodeCall(call).tag !== undefined) {
        way.die();
        throw new InfinitError('unknown-outcome', 'the host is gone');
      }
      return answer;
    };
    return { kind: 'remote', ask };
  }

  /** Does something, in the middle of which the host that serves the volume dies. @param meanwhile after another host serves it, and before the guest asks that one. */
  async through<T>(
    moment: Moment,
    work: () => T | Promise<T>,
    succeed: () => Promise<void> = () => this.next(),
    meanwhile?: (between: Volume) => Promise<void>,
  ): Promise<T> {
    await this.guest.syncfs();
    this.way.dies = moment;
    const done = (async () => work())();
    done.catch(() => {});
    await this.way.dead;
    this.guest.setBacking(undefined);
    if (meanwhile !== undefined) {
      const between = await open(this.store);
      await meanwhile(between);
      await between.syncfs();
      await between.abandon();
    }
    await succeed();
    return done;
  }
}

/** With two files and a directory. */
export async function begin(): Promise<Succession> {
  const all = new Succession();
  await all.next();
  for (const name of ['f', 'g']) await put(all.volume, root, name, name, true);
  await all.volume.mkdir(root, 'd', 0o755, 0, user);
  await all.volume.syncfs();
  // What it is told with the first answer is of use from then on.
  await all.guest.mkdir(root, 'first', 0o755, 0, user);
  await all.guest.rmdir(root, 'first');
  return all;
}
