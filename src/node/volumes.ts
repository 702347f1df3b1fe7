import { randomBytes } from 'node:crypto';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import {
  checkVolumeName,
  differences,
  type EffectiveOptions,
  type Health,
  parseVolumeOptions,
  parseVolumeChanges,
  quotaBytes,
  typedOptions,
  type Volume,
  type VolumeControl,
  type VolumeUsage,
} from '../api/index.ts';
import { InfinitError, KeyedQueue, type Logger, systemClock } from '../base/index.ts';
import { Sealer } from '../block/index.ts';
import { storedUsage } from '../filesystem/index.ts';
import type { BlockStore } from '../store/index.ts';
import { bindAgain, refuseOwnPlaces } from './bound-places.ts';
import type { Catalogue } from './catalogue.ts';
import type { CatalogueEntry } from './catalogue-entry.ts';
import { holdersInWords } from './holder-names.ts';
import { LeftOverHolders } from './left-over-holders.ts';
import type { MountTable } from './mount-table.ts';
import { noVolume } from './no-volume.ts';
import { explainSlowEnd } from './slow-end.ts';
import { createVolumeKey, removeVolumeKey, volumeKey } from './volume-key.ts';
import { deviceMountedAt, foreignUsers, otherPlaces } from './mount-users.ts';
import { refuseTooSmall } from './volume-size.ts';
import { OwedVolumes } from './owed-volumes.ts';
import { NotWrittenOut, type ServedVolume, type VolumeServer } from './served-volume.ts';

/** How often a mount without holders is looked at again, in ms: its container may end at any time. */
const idleCheckMs = 2000;
/** Looks that a mount whose end was refused again and again is left alone for, at the most: each attempt may take the store half a minute. */
const maxSkippedLooks = 16;

/** How long a stop waits for volumes that are being mounted, in ms: one that waits for other hosts must not hold it up. */
const startsPatienceMs = 5000;

/** How long other hosts are asked whether they have a volume mounted, where it is only shown, in ms: engines ask at every turn. */
const inspectDeadlineMs = 500;

/** What {@link Volumes} needs of the rest of the host. */
export interface VolumesContext {
  readonly hostName: string;
  readonly mountDir: string;
  readonly keyDir: string;
  readonly store: BlockStore;
  readonly catalogue: Catalogue;
  readonly table: MountTable;
  readonly server: VolumeServer;
  readonly fallbacks: () => Partial<EffectiveOptions>;
  readonly health: () => Health;
  /** Why this host is no member of its cluster; undefined: it is one, or alone by choice. */
  readonly whyOutside: () => string | undefined;
  /** @throws InfinitError `denied` where this host may not write. */
  readonly checkWrites: () => void;
  /** Hosts other than this one that say they have the volume mounted: to be shown. */
  readonly mountedElsewhere: (volumeId: string, deadlineMs: number) => Promise<readonly string[]>;
  /** Hosts other than this one that have the volume mounted, or that serve those who have: where nothing may be done meanwhile. */
  readonly usedElsewhere: (volumeId: string) => Promise<readonly string[]>;
  /** Which other hosts have which volumes mounted: names by volume id. */
  readonly mounts: (deadlineMs: number) => Promise<ReadonlyMap<string, readonly string[]>>;
  /** A volume came or went. */
  readonly onCatalogueChange: () => void;
  readonly logger: Logger;
}

/** The volumes of this host: one catalogue for all hosts, one served file system for each volume mounted here. */
export class Volumes implements VolumeControl, AsyncDisposable {
  readonly #context: VolumesContext;
  readonly #served = new Map<string, ServedVolume>();
  /** One change at a time for each volume. */
  readonly #mutex = new KeyedQueue();
  readonly #idle: NodeJS.Timeout;
  /** The containers that refer to a volume on this host, by name; undefined: the engine does not say. Whoever knows the engine sets it. */
  containersOf: (volume: string) => Promise<readonly string[] | undefined> = () => Promise.resolve(undefined);
  /** Volumes on their way to being served, by name. */
  readonly #starting = new Map<string, Promise<ServedVolume>>();
  /** What the daemon before had mounted. */
  readonly #owed: OwedVolumes;
  readonly #leftOver: LeftOverHolders;
  #stopping = false;
  /** Volumes that are being looked at because nobody may need them any more. */
  readonly #closing = new Set<string>();
  /** Mounts without holders whose end was refused: how many looks they are left alone for, and how many after the next refusal. */
  readonly #refused = new Map<ServedVolume, { skip: number; readonly next: number }>();

  constructor(context: VolumesContext) {
    this.#context = context;
    this.#owed = new OwedVolumes({
      names: [...new Set([...context.server.adoptable(), ...context.table.volumes()])],
      isKept: (name) => context.server.keeps(name),
      serve: (name) => this.#serveAgain(name),
      isStopping: () => this.#stopping,
      logger: context.logger,
    });
    this.#leftOver = new LeftOverHolders(context.table.volumes(), {
      holders: (volume) => context.table.holders(volume),
      containersOf: (volume) => this.containersOf(volume),
      drop: (volume, holders) => this.#giveBack(volume, holders),
      logger: context.logger,
    });
    this.#idle = setInterval(() => this.#closeIdle(), idleCheckMs);
    this.#idle.unref();
  }

  async create(name: string, options: Readonly<Record<string, string>>): Promise<Volume> {
    checkVolumeName(name);
    this.#refuseWrites();
    const { catalogue } = this.#context;
    const fallbacks = this.#context.fallbacks();
    const effective = parseVolumeOptions(options, fallbacks);
    if (fallbacks.replicas !== undefined && effective.replicas !== fallbacks.replicas)
      throw new InfinitError(
        'bad-argument',
        `replicas=${effective.replicas}: all volumes have the copies of the --replicas of the cluster's first daemon, ${fallbacks.replicas} here; leave the option out`,
      );
    const entry: CatalogueEntry = { name, id: randomBytes(16).toString('hex'), createdAt: new Date().toISOString(), options: effective };
    const { encrypted } = typedOptions(effective);
    // Where it fails it may have been added all the same: then the key is needed.
    if (encrypted) createVolumeKey(this.#context.keyDir, entry.id);
    const current = await catalogue.add(entry);
    if (current.id !== entry.id) {
      if (encrypted) removeVolumeKey(this.#context.keyDir, entry.id);
      const different = differences(current.options, effective, options);
      if (different.length > 0) throw new InfinitError('already-exists', `volume "${name}" exists with other options: ${different.join('; ')}`);
    } else {
      this.#context.logger.info('volume created', { volume: name, id: entry.id });
      this.#context.onCatalogueChange();
    }
    return this.#show(current);
  }

  async inspect(name: string): Promise<Volume | undefined> {
    const entry = await this.#context.catalogue.find(name);
    if (entry === undefined) return undefined;
    const shown = this.#show(entry);
    return { ...shown, hosts: [...shown.hosts, ...(await this.#context.mountedElsewhere(entry.id, inspectDeadlineMs))] };
  }

  async list(): Promise<readonly Volume[]> {
    return (await this.#context.catalogue.list()).map((entry) => this.#show(entry));
  }

  async listEverywhere(): Promise<readonly Volume[]> {
    this.#refuseOutside();
    const [volumes, elsewhere] = await Promise.all([this.list(), this.#context.mounts(inspectDeadlineMs)]);
    return volumes.map((volume) => ({ ...volume, hosts: [...volume.hosts, ...(elsewhere.get(volume.id) ?? [])] }));
  }

  async remove(name: string, how: { readonly force?: boolean } = {}): Promise<void> {
    await this.#owed.settled(name);
    await this.#mutex.run(name, async () => {
      this.#refuseWrites();
      // What the name means now: on another host it may have been removed and made anew.
      const entry = await this.#context.catalogue.current(name);
      if (entry === undefined) {
        if (how.force === true) return;
        throw noVolume(name, await this.#context.catalogue.list());
      }
      const { sticky, onRemove } = typedOptions(entry.options);
      if (sticky)
        throw new InfinitError('in-use', `volume "${name}" has sticky=true: to remove it, \`infinit volume update ${name} -o sticky=false\` first`);
      const holders = this.#context.table.holders(name);
      if (holders.length > 0)
        throw new InfinitError(
          'in-use',
          `volume "${name}" is in use on ${this.#context.hostName} by ${holdersInWords(holders, (await this.containersOf(name)) ?? []).join(', ')}`,
        );
      await this.#close(name, true, how.force);
      const elsewhere = await this.#context.usedElsewhere(entry.id);
      if (elsewhere.length > 0) throw new InfinitError('in-use', `volume "${name}" is mounted on ${elsewhere.join(', ')}`);
      await this.#context.catalogue.remove(entry);
      this.#context.onCatalogueChange();
      this.#context.logger.info('volume removed', { volume: name, id: entry.id, data: onRemove });
    });
  }

  update(name: string, options: Readonly<Record<string, string>>): Promise<Volume> {
    const { changes, needsUnmount } = parseVolumeChanges(options);
    return this.#mutex.run(name, async () => {
      this.#refuseWrites();
      const { catalogue, hostName, usedElsewhere, onCatalogueChange, logger } = this.#context;
      const entry = await catalogue.current(name);
      if (entry === undefined) throw noVolume(name, await this.#context.catalogue.list());
      if (needsUnmount !== undefined) {
        const hosts = [...(this.#served.has(name) || this.#owed.has(name) ? [hostName] : []), ...(await usedElsewhere(entry.id))];
        if (hosts.length > 0)
          throw new InfinitError('in-use', `option "${needsUnmount}" cannot change while volume "${name}" is mounted: it is on ${hosts.join(', ')}`);
      }
      if (changes.size !== undefined)
        await refuseTooSmall(name, { wanted: quotaBytes(changes.size), now: typedOptions(entry.options).sizeBytes }, () => this.usage(name));
      const updated = await catalogue.setOptions(entry, { ...entry.options, ...changes });
      this.#served.get(name)?.apply(typedOptions(updated.options));
      onCatalogueChange();
      logger.info('volume changed', { volume: name, ...changes });
      return this.#show(updated);
    });
  }

  async usage(name: string): Promise<VolumeUsage> {
    const served = this.#served.get(name);
    if (served !== undefined) return served.usage();
    const { catalogue, keyDir, store, logger } = this.#context;
    const entry = await catalogue.find(name);
    if (entry === undefined) throw noVolume(name, await this.#context.catalogue.list());
    const { encrypted, sizeBytes } = typedOptions(entry.options);
    const sealer = new Sealer(encrypted ? volumeKey(keyDir, entry.id) : undefined);
    // As of its last mount's last word, which for one mounted on another host is a moment ago.
    const stored = await storedUsage({ store, sealer, volumeId: entry.id, session: 0, clock: systemClock, logger });
    return { name, usedBytes: stored?.allocated ?? 0, sizeBytes, inodes: stored?.files ?? 0 };
  }

  /** The catalogue was read anew: what is mounted here hears of changed options. */
  async applyOptions(): Promise<void> {
    for (const entry of await this.#context.catalogue.list()) {
      const served = this.#served.get(entry.name);
      if (served?.id === entry.id) served.apply(typedOptions(entry.options));
    }
  }

  async mount(name: string, holder: string, signal?: AbortSignal): Promise<string> {
    refuseOwnPlaces(holder, [path.dirname(this.#context.keyDir), this.#context.mountDir]);
    await this.#owed.settled(name);
    return this.#mutex.run(name, async () => {
      this.#refuseWrites();
      // What was unmounted and has not ended has no path to give; two of it at once would not know of each other.
      if (this.#served.get(name)?.detached === true) await this.#served.get(name)!.ended();
      const served = this.#served.get(name) ?? (await this.#serveCurrent(name));
      if (signal?.aborted === true) throw new InfinitError('cancelled', `the caller gave up while volume "${name}" was being mounted`);
      this.#leftOver.isGiven(name, holder);
      await this.#context.table.add(name, holder);
      this.#refused.delete(served);
      return served.mountpoint;
    });
  }

  unmount(name: string, holder: string): Promise<void> {
    return this.#mutex.run(name, async () => {
      await this.#context.table.delete(name, holder);
      if (this.#context.table.holders(name).length === 0) await this.#close(name, false);
    });
  }

  /** The mount ends when it is looked at next, unless the kernel says that somebody uses it. */
  #giveBack(name: string, holders: readonly string[]): Promise<void> {
    return this.#mutex.run(name, async () => {
      for (const holder of holders) await this.#context.table.delete(name, holder);
    });
  }

  mountpoint(name: string): string | undefined {
    const served = this.#served.get(name);
    return served?.detached === false ? served.mountpoint : undefined;
  }

  /** What is mounted here now. */
  mounted(): readonly string[] {
    return [...this.#served.keys()];
  }

  mountedIds(): readonly string[] {
    return [...this.#served.values()].map(({ id }) => id);
  }

  servedById(id: string): ServedVolume | undefined {
    return [...this.#served.values()].find((served) => served.id === id);
  }

  /** Whether a volume's programs here may have locks and open files: it is mounted, is being mounted, or was when the daemon before was killed and is not yet again. */
  async mayBeInUse(id: string): Promise<boolean> {
    if (this.servedById(id) !== undefined) return true;
    return (await this.#context.catalogue.list()).some((entry) => entry.id === id && (this.#starting.has(entry.name) || this.#owed.has(entry.name)));
  }

  served(name: string): ServedVolume | undefined {
    return this.#served.get(name);
  }

  /** Serves again what had holders when the daemon last stopped, mounts that outlived it first. */
  recover(): Promise<void> {
    return this.#owed.serveAll();
  }

  /** Volumes whose programs wait for this daemon to serve them, and why it does not yet: a sentence each. */
  waiting(): readonly string[] {
    return this.#owed.waiting();
  }

  /** Takes no turn: nobody else serves what is owed, and how long it takes is not known. */
  async #serveAgain(name: string): Promise<void> {
    const served = await this.#serve(name);
    // It may have changed meanwhile.
    const entry = await this.#context.catalogue.find(name);
    if (entry?.id === served.id) served.apply(typedOptions(entry.options));
    if (!this.#stopping) await bindAgain(name, served.mountpoint, this.#context.table.holders(name), this.#context.logger);
  }

  /** @throws InfinitError `unavailable` with the reason on a host that is no member of its cluster: what it asks of the others would only fail, and later. */
  #refuseOutside(): void {
    const why = this.#context.whyOutside();
    if (why !== undefined) throw new InfinitError('unavailable', `this host is no member of its cluster: ${why}; see \`infinit doctor\``);
  }

  /** @throws InfinitError as {@link #refuseOutside}, and `denied` on a host that may not write. */
  #refuseWrites(): void {
    this.#refuseOutside();
    this.#context.checkWrites();
  }

  /** What the name means now, not what this host remembers: it may have been removed on another. */
  async #serveCurrent(name: string): Promise<ServedVolume> {
    const { catalogue } = this.#context;
    await catalogue.current(name);
    const served = await this.#serve(name);
    // Removed while it was being mounted: nobody may write what is about to be deleted.
    if ((await catalogue.current(name))?.id === served.id) return served;
    await served.unmount({ discard: true });
    throw noVolume(name, []);
  }

  async #serve(name: string): Promise<ServedVolume> {
    if (this.#stopping) throw new InfinitError('unavailable', `volume "${name}" is not mounted: the daemon stops`);
    const starting = this.#start(name);
    this.#starting.set(name, starting);
    try {
      return await starting;
    } finally {
      this.#starting.delete(name);
    }
  }

  async #start(name: string): Promise<ServedVolume> {
    const { catalogue, server, mountDir } = this.#context;
    const entry = await catalogue.find(name);
    if (entry === undefined) throw noVolume(name, await catalogue.list());
    const served = await server.serve(entry, path.join(mountDir, name));
    this.#served.set(name, served);
    void served.closed.then((reason) => {
      if (this.#served.get(name) === served) this.#served.delete(name);
      this.#refused.delete(served);
      this.#context.logger.info('volume no longer mounted', { volume: name, reason });
    });
    return served;
  }

  /** Ends the mount unless the kernel says that somebody uses it. `insist`: being used is an error; `discard`: what is not written out need not be. */
  async #close(name: string, insist: boolean, discard = false): Promise<void> {
    const served = this.#served.get(name);
    if (served === undefined) return;
    const users = await this.#usersOf(served);
    if (users.length > 0) {
      if (insist) throw new InfinitError('in-use', `volume "${name}" is in use on ${this.#context.hostName} by ${users.join(', ')}`);
      return;
    }
    try {
      await served.unmount({ discard });
    } catch (error) {
      const skip = this.#refused.get(served)?.next ?? 0;
      this.#refused.set(served, { skip, next: Math.min(2 * skip + 1, maxSkippedLooks) });
      if (insist || error instanceof NotWrittenOut) throw explainSlowEnd(error, this.#context.health());
      this.#context.logger.debug('a mount without holders is still busy', { volume: name, error });
    }
  }

  async #usersOf(served: ServedVolume): Promise<readonly string[]> {
    const device = await deviceMountedAt(served.mountpoint);
    if (device === undefined) return [];
    const processes = (await foreignUsers(device, served.mountpoint)).map(({ pid, command }) => `process ${pid} (${command})`);
    return [...processes, ...(await otherPlaces(device, served.mountpoint)).map((place) => `the mount at ${place}`)];
  }

  #closeIdle(): void {
    for (const [name, served] of this.#served) {
      if (served.detached || this.#closing.has(name)) continue;
      const refused = this.#refused.get(served);
      if (refused !== undefined && refused.skip-- > 0) continue;
      this.#closing.add(name);
      this.#mutex
        .run(name, async () => {
          if (this.#context.table.holders(name).length === 0) await this.#close(name, false);
        })
        .catch((error: unknown) => this.#context.logger.warn('a mount without holders could not be ended', { volume: name, error }))
        .finally(() => this.#closing.delete(name));
    }
  }

  #show(entry: CatalogueEntry): Volume {
    const mountpoint = this.mountpoint(entry.name);
    return {
      name: entry.name,
      id: entry.id,
      createdAt: entry.createdAt,
      options: entry.options,
      ...(mountpoint === undefined ? {} : { mountpoint }),
      holders: this.#context.table.holders(entry.name),
      hosts: mountpoint === undefined ? [] : [this.#context.hostName],
      health: this.#context.health(),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#idle);
    this.#leftOver[Symbol.dispose]();
    this.#stopping = true;
    this.#context.server.leave();
    // What is being mounted at this moment would stay behind as a dead mount.
    await Promise.race([Promise.allSettled(this.#starting.values()), sleep(startsPatienceMs, undefined, { ref: false })]);
    await Promise.all([...this.#served.values()].map((served) => served.stop()));
  }
}
