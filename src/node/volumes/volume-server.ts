import { closeSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads';

import { typedOptions } from '../../api/index.ts';
import { type Clock, InfinitError, KeyedQueue, type Logger, type LogLevel } from '../../base/index.ts';
import { type AdoptedMount, detachMount, type FuseMount, type HolderClient, listMounts, mountFuse, removeMountPoint } from '../../fuse/index.ts';
import type { Transport } from '../../overlay/index.ts';
import type { BlockStore } from '../../store/index.ts';
import { servePort } from '../../store/port/index.ts';
import type { CatalogueEntry } from './catalogue-entry.ts';
import { makeMountPoint } from '../mounts/mount-directory.ts';
import { ServedVolume, startDeadlineMs } from './served-volume.ts';
import { createMemory, isMemory } from './surviving-memory.ts';
import { volumeKey } from './volume-key.ts';
import { claimSession } from './volume-session.ts';
import { VolumeSharing } from '../sharing/volume-sharing.ts';
import type { VolumeCommand, VolumeWorkerData } from './volume-worker-protocol.ts';

/** A worker does not share the main thread's compile cache; found compiled, not even its first module has to be stripped of types. */
const threadSource = `require('node:module').enableCompileCache(); import(${JSON.stringify(import.meta.resolve('./volume-thread.ts'))});`;

/** Volumes whose threads are being started at once. */
const startsAtOnce = 2;

/** What serving volumes needs of the host. */
export interface VolumeServerContext {
  readonly store: BlockStore;
  /** The way to other hosts, where this one belongs to a cluster at this moment. */
  readonly cluster: () => Transport | undefined;
  readonly self: string;
  /** What people call a host. */
  readonly hostName: (peer: string) => string;
  /** As in {@link VolumeSharing}. */
  readonly lostFor: () => ReadonlyMap<string, number>;
  readonly clock: Clock;
  readonly holder: HolderClient;
  /** Where the dirty sets are: a tmpfs. */
  readonly runDir: string;
  readonly keyDir: string;
  readonly logLevel: LogLevel;
  /** Keep processors awake while requests flow. */
  readonly keepAwake: boolean;
  /** Whether a volume's data was deleted, or is being. */
  readonly isDeleted: (volumeId: string) => Promise<boolean>;
  /** What the store still takes: one float. */
  readonly freeBytes: SharedArrayBuffer;
  readonly logger: Logger;
  /** Absent: the thread of a volume. */
  readonly startThread?: typeof startThread;
}

/** @throws where the machine has no thread, or no memory, for it. */
function startThread(data: VolumeWorkerData, transferList: readonly MessagePort[]): Worker {
  return new Worker(threadSource, { eval: true, workerData: data, transferList: [...transferList], name: `volume ${data.name}` });
}

/** What a volume is served with. */
interface Serving {
  readonly key: Uint8Array | undefined;
  readonly session: number;
  readonly transport: Transport | undefined;
  readonly adopted: AdoptedMount | undefined;
}

/**
 * Starts volumes: takes over a mount that outlived an earlier daemon, or makes a new one. It goes by ids: what a name means may have changed on another host while a
 * mount of that name lives on here, and one volume is never served twice.
 */
export class VolumeServer {
  readonly #context: VolumeServerContext;
  /** By the name of the mount. */
  readonly #adoptable: Map<string, AdoptedMount>;
  readonly #starts = new KeyedQueue();
  #started = 0;
  /** Mounts that outlived an earlier daemon and are not served yet. */
  readonly #opening = new Set<ServedVolume>();
  #leaving = false;
  /** What is served, or about to be: the name of its mount by volume id. */
  readonly #serving = new Map<string, string>();

  constructor(context: VolumeServerContext) {
    this.#context = context;
    const inherited = context.holder.inherited().map((mount) => (isMemory(mount.memory ?? -1) ? mount : { ...mount, memory: undefined }));
    this.#adoptable = new Map(inherited.map((mount) => [mount.volume, mount]));
  }

  /** The names of mounts that outlived an earlier daemon and wait to be served, with the ids of their volumes; undefined: an earlier version's did not say. */
  adoptable(): ReadonlyMap<string, string | undefined> {
    return new Map([...this.#adoptable.values()].map(({ volume, id }) => [volume, id]));
  }

  /** The volume has a mount that outlived an earlier daemon and is not served. */
  keeps(name: string): boolean {
    return this.#adoptable.has(name) || [...this.#opening].some((served) => served.name === name);
  }

  /** A mount that outlived an earlier daemon cannot ever be served: its programs see errors from now on. */
  async giveUp(name: string): Promise<void> {
    const mount = this.#adoptable.get(name);
    if (mount === undefined) return;
    this.#adoptable.delete(name);
    this.#context.holder.release(mount.fd);
    await endUnserved(mount);
  }

  /** The daemon stops: what it has not taken over yet is left as it is. */
  leave(): void {
    this.#leaving = true;
    for (const served of this.#opening) served.leave();
  }

  /**
   * A few at a time: many volumes that come at once, as after a reboot, would otherwise all miss their deadlines together.
   * A mount that outlived an earlier daemon has no deadline, and where it fails is kept to be tried again, but for `in-use`: another host has the volume for itself.
   * @throws InfinitError `in-use` where this host has the volume mounted under another name.
   */
  async serve(entry: CatalogueEntry, place: string): Promise<ServedVolume> {
    this.#refuseTwice(entry);
    const { id } = entry;
    this.#serving.set(id, entry.name);
    try {
      const served = await this.#inTurn(entry, place);
      void served.closed.then(() => this.#serving.delete(id));
      return served;
    } catch (error) {
      this.#serving.delete(id);
      throw error;
    }
  }

  #refuseTwice({ name, id }: CatalogueEntry): void {
    const kept = [...this.#adoptable.values()].find((mount) => mount.id === id && mount.volume !== name)?.volume;
    const other = this.#serving.get(id) ?? kept;
    if (other !== undefined)
      throw new InfinitError(
        'in-use',
        `volume "${name}" is mounted on this host already, as "${other}", which was its name: stop what uses that first`,
      );
    const strange = this.#adoptable.get(name);
    if (strange?.id !== undefined && strange.id !== id)
      throw new InfinitError('in-use', `the mount "${name}" of this host is of another volume, which had that name before: stop what uses it first`);
  }

  async #inTurn(entry: CatalogueEntry, place: string): Promise<ServedVolume> {
    const begun = Promise.withResolvers<{ served: Promise<ServedVolume> }>();
    this.#starts
      .run(String(this.#started++ % startsAtOnce), async () => {
        const served = this.#serve(entry, place);
        begun.resolve({ served });
        await this.#inTime(served);
      })
      .catch(begun.reject);
    return (await begun.promise).served;
  }

  /** Resolves once it is served, or cannot be, or takes so long that others must not wait. */
  async #inTime(served: Promise<ServedVolume>): Promise<void> {
    const enough = new AbortController();
    const tooLong = sleep(startDeadlineMs, undefined, { ref: false, signal: enough.signal });
    await Promise.allSettled([Promise.race([served, tooLong])]);
    enough.abort();
    await tooLong.catch(() => {});
  }

  async #serve(entry: CatalogueEntry, place: string): Promise<ServedVolume> {
    const { keyDir, store, cluster, holder } = this.#context;
    const options = typedOptions(entry.options);
    const key = options.encrypted ? volumeKey(keyDir, entry) : undefined;
    const transport = cluster();
    const session = transport === undefined ? await claimSession(store, entry.id) : 0;
    const adopted = this.#adoptable.get(entry.name);
    const readOnly = options.readonly || options.access === 'readonly';
    const bare = adopted ?? (await this.#mount(entry, place, readOnly));
    const memory = adopted?.memory ?? (readOnly || !holder.connected ? undefined : createMemory());
    const mount = { ...bare, memory };
    let served: ServedVolume;
    try {
      served = await this.#start(entry, mount, { key, session, transport, adopted });
    } catch (error) {
      // Nobody would ever answer what the kernel asks.
      if (adopted === undefined) await endUnserved(mount);
      else if (memory !== undefined && adopted.memory === undefined) closeSync(memory);
      throw error;
    }
    if (adopted === undefined) await served.started();
    else await this.#takeOver(served, { ...adopted, memory });
    return served;
  }

  /** Starts the thread that serves a mount. */
  async #start(entry: CatalogueEntry, mount: FuseMount, { key, session, transport, adopted }: Serving): Promise<ServedVolume> {
    const { runDir, freeBytes, logLevel, keepAwake, self, store, holder, logger } = this.#context;
    const options = typedOptions(entry.options);
    // One that was unmounted, and that another mount namespace still has.
    const detached = adopted !== undefined && !(await isAttached(adopted));
    // The next daemon would find a take-over that was broken off, or a mount that nobody serves.
    if (this.#leaving) throw new InfinitError('unavailable', `volume "${entry.name}" is not mounted: the daemon stops`);
    const channel = transport === undefined ? new MessageChannel() : undefined;
    const data: VolumeWorkerData = {
      name: entry.name,
      volumeId: entry.id,
      session,
      key,
      options,
      descriptor: mount.fd,
      memory: mount.memory,
      adopted: adopted?.init,
      store: channel?.port2,
      dirtyFile: path.join(runDir, `${entry.id}.dirty`),
      locksFile: path.join(runDir, `${entry.id}.locks`),
      freeBytes,
      logLevel,
      keepAwake,
      shared: transport === undefined ? undefined : { self },
    };
    let worker: Worker;
    try {
      worker = (this.#context.startThread ?? startThread)(data, channel === undefined ? [] : [channel.port2]);
    } catch (error) {
      channel?.port1.close();
      throw error;
    }
    const onDeleted = (): void => void served.abandon();
    const sharing = transport === undefined ? undefined : this.#share(entry, transport, worker, onDeleted);
    const how = { adopted: adopted !== undefined, detached };
    const served = new ServedVolume(entry, mount, worker, holder, sharing, logger.with({ volume: entry.name }), how);
    if (channel !== undefined) servePort(channel.port1, store, (answer) => served.answer(answer));
    return served;
  }

  async #takeOver(served: ServedVolume, mount: AdoptedMount): Promise<void> {
    this.#adoptable.delete(served.name);
    this.#opening.add(served);
    try {
      await served.started();
    } catch (error) {
      if (served.kept) this.#adoptable.set(served.name, mount);
      throw error;
    } finally {
      this.#opening.delete(served);
    }
  }

  #share(entry: CatalogueEntry, transport: Transport, worker: Worker, onDeleted: () => void): VolumeSharing {
    const { store, clock, logger, hostName, lostFor, isDeleted } = this.#context;
    const send = (command: VolumeCommand, transfer: readonly MessagePort[] = []): void => worker.postMessage(command, transfer);
    return new VolumeSharing({
      volumeId: entry.id,
      name: entry.name,
      store,
      transport,
      clock,
      logger: logger.with({ volume: entry.name }),
      send,
      exclusive: typedOptions(entry.options).access === 'onewriter',
      hostName,
      lostFor,
      isDeleted: () => isDeleted(entry.id),
      onDeleted,
    });
  }

  async #mount(entry: CatalogueEntry, place: string, readOnly: boolean): Promise<FuseMount> {
    makeMountPoint(place);
    try {
      return await mountFuse({ source: entry.name, mountPoint: place, readOnly });
    } catch (error) {
      await removeMountPoint(place);
      throw error;
    }
  }
}

/** The descriptor first: with it the kernel's questions end, and nobody waits for their answers. */
async function endUnserved({ fd, memory, mountPoint, connection }: FuseMount): Promise<void> {
  closeSync(fd);
  if (memory !== undefined) closeSync(memory);
  if (await isAttached({ mountPoint, connection })) await detachMount(mountPoint).catch(() => {});
  await removeMountPoint(mountPoint);
}

/** It is mounted where it was. */
async function isAttached({ mountPoint, connection }: Pick<FuseMount, 'mountPoint' | 'connection'>): Promise<boolean> {
  return (await listMounts(mountPoint)).some((entry) => entry.mountPoint === mountPoint && entry.connection === connection);
}
