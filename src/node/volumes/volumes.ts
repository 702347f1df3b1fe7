import { randomBytes } from 'node:crypto';
import path from 'node:path';

import {
  checkNewVolumeName,
  differences,
  mountsAlike,
  parseVolumeOptions,
  parseVolumeChanges,
  noVolume,
  noVolumeToRemove,
  quotaBytes,
  typedOptions,
  type Volume,
  type VolumeControl,
  type VolumeUsage,
} from '../../api/index.ts';
import { InfinitError, KeyedQueue, messageOf } from '../../base/index.ts';
import { refuseOwnPlaces } from '../mounts/bound-places.ts';
import type { CatalogueEntry } from './catalogue-entry.ts';
import { closedUsage } from './closed-usage.ts';
import { holdersInWords } from '../mounts/holder-names.ts';
import { LeftOverHolders } from '../mounts/left-over-holders.ts';
import { MountCloser } from '../mounts/mount-closer.ts';
import { refuseOutside } from '../members/membership-right.ts';
import { show as showTrashed } from './trash.ts';
import { createVolumeKey, removeVolumeKey } from './volume-key.ts';
import type { VolumesContext } from './volumes-context.ts';
import { refuseTooSmall } from './volume-size.ts';
import type { ServedVolume } from './served-volume.ts';
import { ServedVolumes } from './served-volumes.ts';

/** How long other hosts are asked whether they have a volume mounted, where it is only shown, in ms: engines ask at every turn. */
const inspectDeadlineMs = 500;
/** As long after a volume was removed or changed, where they said before that they have not. */
const lateDeadlineMs = 500;

/** The volumes of this host: one catalogue for all hosts, one served file system for each volume mounted here. */
export class Volumes implements VolumeControl, AsyncDisposable {
  readonly #context: VolumesContext;
  readonly #served: ServedVolumes;
  /** One change at a time for each volume. */
  readonly #mutex = new KeyedQueue();
  readonly #closer: MountCloser;
  /** The containers that refer to a volume on this host, by name; undefined: the engine does not say. Whoever knows the engine sets it. */
  containersOf: (volume: string) => Promise<readonly string[] | undefined> = () => Promise.resolve(undefined);
  readonly #leftOver: LeftOverHolders;

  constructor(context: VolumesContext) {
    this.#context = context;
    this.#served = new ServedVolumes(context);
    this.#leftOver = new LeftOverHolders(context.table.volumes(), {
      holders: (volume) => context.table.holders(volume),
      containersOf: (volume) => this.containersOf(volume),
      drop: (volume, holders) => this.#giveBack(volume, holders),
      logger: context.logger,
    });
    this.#closer = new MountCloser({
      hostName: context.hostName,
      served: () => this.#served.all(),
      holders: (name) => context.table.holders(name),
      inTurn: (name, job) => this.#mutex.run(name, job),
      health: context.health,
      logger: context.logger,
    });
  }

  async create(name: string, options: Readonly<Record<string, string>>): Promise<Volume> {
    checkNewVolumeName(name);
    return this.#served.make(
      name,
      () => this.#refuseWrites(),
      () => this.#make(name, options),
    );
  }

  async #make(name: string, options: Readonly<Record<string, string>>): Promise<Volume> {
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
    if (encrypted) await createVolumeKey(this.#context.keyDir, entry.id);
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
    return { ...shown, hosts: [...shown.hosts, ...(await this.#context.mountedElsewhere(entry.id, inspectDeadlineMs))].toSorted() };
  }

  async list(): Promise<readonly Volume[]> {
    const entries = await this.#context.catalogue.list();
    // All of this host: looked at once, and not for each of thousands.
    const [health, fallbacks] = [this.#context.health(), this.#context.fallbacks()];
    return entries.map((entry) => this.#show(entry, health, fallbacks));
  }

  async listEverywhere(): Promise<readonly Volume[]> {
    this.#refuseOutside();
    const [volumes, elsewhere] = await Promise.all([this.list(), this.#context.mounts(inspectDeadlineMs)]);
    return volumes.map((volume) => ({ ...volume, hosts: [...volume.hosts, ...(elsewhere.get(volume.id) ?? [])].toSorted() }));
  }

  async remove(name: string, how: { readonly force?: boolean } = {}): Promise<void> {
    await this.#served.settled(name);
    await this.#mutex.run(name, async () => {
      this.#refuseWrites();
      // What the name means now: on another host it may have been removed and made anew.
      const entry = await this.#context.catalogue.current(name);
      if (entry === undefined) {
        if (how.force === true) return;
        const { catalogue } = this.#context;
        throw noVolumeToRemove(name, await catalogue.list(), (await catalogue.trash()).map(showTrashed));
      }
      const { sticky, onRemove } = typedOptions(entry.options);
      if (sticky)
        throw new InfinitError('in-use', `volume "${name}" has sticky=true: to remove it, \`infinit volume update ${name} -o sticky=false\` first`);
      const holders = this.#holdersOf(entry);
      if (holders.length > 0)
        throw new InfinitError(
          'in-use',
          `volume "${name}" is in use on ${this.#context.hostName} by ${holdersInWords(holders, (await this.containersOf(name)) ?? []).join(', ')}`,
        );
      await this.#closeForGood(entry, how.force);
      const { usedElsewhere, removalTimeMs, catalogue } = this.#context;
      const [elsewhere, removedMs] = await Promise.all([usedElsewhere(entry.id), removalTimeMs()]);
      if (elsewhere.length > 0) throw new InfinitError('in-use', `volume "${name}" is mounted on ${elsewhere.join(', ')}`);
      await catalogue.remove(entry, removedMs);
      await this.#refuseLateMounts(entry);
      this.#context.onCatalogueChange();
      this.#context.logger.info('volume removed', { volume: name, id: entry.id, data: onRemove });
    });
  }

  /** A host that began to mount it after it was asked may have looked the name up before that went: the volume is brought back. @throws InfinitError `in-use`. */
  async #refuseLateMounts(entry: CatalogueEntry): Promise<void> {
    const late = await this.#context.mountedElsewhere(entry.id, lateDeadlineMs);
    if (late.length === 0) return;
    await this.#context.catalogue.restore(entry, entry.name);
    this.#context.onCatalogueChange();
    throw new InfinitError('in-use', `volume "${entry.name}" is mounted on ${late.join(', ')}`);
  }

  update(name: string, options: Readonly<Record<string, string>>): Promise<Volume> {
    const { changes, needsUnmount } = parseVolumeChanges(options);
    return this.#mutex.run(name, async () => {
      this.#refuseWrites();
      const { catalogue, hostName, usedElsewhere, mountedElsewhere, onCatalogueChange, logger } = this.#context;
      const entry = await catalogue.current(name);
      if (entry === undefined) throw noVolume(name, await this.#context.catalogue.list());
      const refuse = (hosts: readonly string[]): void => {
        if (hosts.length > 0)
          throw new InfinitError('in-use', `option "${needsUnmount}" cannot change while volume "${name}" is mounted: it is on ${hosts.join(', ')}`);
      };
      if (needsUnmount !== undefined) refuse([...((await this.mayBeInUse(entry.id)) ? [hostName] : []), ...(await usedElsewhere(entry.id))]);
      if (changes.size !== undefined)
        await refuseTooSmall(name, { wanted: quotaBytes(changes.size), now: typedOptions(entry.options).sizeBytes }, () => this.usage(name));
      const updated = await catalogue.setOptions(entry, changes);
      if (needsUnmount !== undefined) {
        // A host that began to mount it after it was asked may have read the options before.
        const late = await mountedElsewhere(entry.id, lateDeadlineMs);
        if (late.length > 0) {
          await catalogue.setOptions(entry, Object.fromEntries(Object.keys(changes).map((key) => [key, entry.options[key]!])));
          onCatalogueChange();
        }
        refuse(late);
      }
      this.servedById(updated.id)?.apply(typedOptions(updated.options));
      onCatalogueChange();
      logger.info('volume changed', { volume: name, ...changes });
      return this.#show(updated);
    });
  }

  async usage(name: string): Promise<VolumeUsage> {
    this.#refuseOutside();
    const { catalogue } = this.#context;
    const entry = await catalogue.find(name);
    if (entry === undefined) throw noVolume(name, await catalogue.list());
    // While one that the daemon before had is being opened, the store has an older figure.
    await this.#served.settled(name);
    const served = this.servedById(entry.id);
    if (served !== undefined) return { ...(await served.usage()), name };
    return closedUsage(this.#context, entry);
  }

  /** The catalogue was read anew. */
  applyOptions(): Promise<void> {
    return this.#served.heed();
  }

  async mount(name: string, holder: string, signal?: AbortSignal): Promise<string> {
    refuseOwnPlaces(holder, [path.dirname(this.#context.keyDir), this.#context.mountDir]);
    await this.#served.settled(name);
    return this.#mutex.run(name, async () => {
      this.#refuseWrites();
      const served = await this.#serveCurrent(name);
      if (signal?.aborted === true) throw new InfinitError('cancelled', `the caller gave up while volume "${name}" was being mounted`);
      this.#leftOver.isGiven(name, holder);
      await this.#context.table.add(name, served.id, holder);
      this.#closer.forget(served);
      return served.mountpoint;
    });
  }

  unmount(name: string, holder: string): Promise<void> {
    return this.#mutex.run(name, async () => {
      await this.#context.table.delete(name, holder);
      const served = this.#served.byName(name);
      if (served !== undefined && this.#context.table.holders(name).length === 0) await this.#closer.close(served);
    });
  }

  /** The mount ends when it is looked at next, unless the kernel says that somebody uses it. */
  #giveBack(name: string, holders: readonly string[]): Promise<void> {
    return this.#mutex.run(name, async () => {
      for (const holder of holders) await this.#context.table.delete(name, holder);
    });
  }

  mountpoint(name: string): string | undefined {
    const entry = this.#context.catalogue.known(name);
    return entry === undefined ? undefined : this.#placeOf(entry);
  }

  #placeOf({ id }: CatalogueEntry): string | undefined {
    const served = this.servedById(id);
    return served?.detached === false ? served.mountpoint : undefined;
  }

  /** Who holds this very volume, and not another one that had its name. */
  #holdersOf({ name, id }: CatalogueEntry): readonly string[] {
    const { table } = this.#context;
    const mount = this.servedById(id)?.name ?? name;
    return (table.idOf(mount) ?? id) === id ? table.holders(mount) : [];
  }

  /** As in {@link ServedVolumes}. */
  standstill<T>(job: () => Promise<T>): Promise<T> {
    return this.#served.standstill(job);
  }

  /** As in {@link ServedVolumes}. */
  busy(): readonly string[] {
    return this.#served.busy();
  }

  /** As in {@link ServedVolumes}. */
  making(): readonly string[] {
    return this.#served.making();
  }

  /** What is mounted here now. */
  mounted(): readonly string[] {
    return this.#served.all().map(({ name }) => name);
  }

  mountedIds(): readonly string[] {
    return this.#served.all().map(({ id }) => id);
  }

  servedById(id: string): ServedVolume | undefined {
    return this.#served.byId(id);
  }

  /** As in {@link ServedVolumes}. */
  mayBeInUse(id: string): Promise<boolean> {
    return this.#served.mayBeInUse(id);
  }

  served(name: string): ServedVolume | undefined {
    return this.#served.byName(name);
  }

  /** As in {@link ServedVolumes}. */
  recover(): Promise<void> {
    return this.#served.recover();
  }

  /** As in {@link ServedVolumes}. */
  waiting(): readonly string[] {
    return this.#served.waiting();
  }

  /** @throws InfinitError as {@link refuseOutside}. */
  #refuseOutside(): void {
    refuseOutside(this.#context.whyOutside());
  }

  /** @throws InfinitError as {@link #refuseOutside}, and `denied` on a host that may not write. */
  #refuseWrites(): void {
    this.#refuseOutside();
    this.#context.checkWrites();
  }

  /** Serves what the name means now, not what this host remembers or has mounted: on another host it may have been removed and made anew. */
  async #serveCurrent(name: string): Promise<ServedVolume> {
    const { catalogue } = this.#context;
    const entry = await catalogue.current(name);
    if (entry === undefined) throw noVolume(name, await catalogue.list());
    const before = this.#served.byName(name);
    // What was unmounted and has not ended has no path to give; two of it at once would not know of each other.
    if (before?.id === entry.id && before.detached) await before.ended();
    else if (before?.id === entry.id) return before;
    else if (before !== undefined) await this.#endOther(before, 'was removed and made anew on another host');
    await this.#endFormer(entry);
    const served = await this.#served.serve(entry, () => this.#refuseWrites());
    const after = await catalogue.current(name);
    if (after?.id === served.id && mountsAlike(entry.options, after.options)) {
      served.apply(typedOptions(after.options));
      return served;
    }
    // Removed while it was being mounted: nobody may write what is about to be deleted. Or it is to be mounted otherwise by now.
    await served.unmount({ discard: true });
    return this.#serveCurrent(name);
  }

  /** A volume that was removed and brought back under another name may be mounted here as it was called before, and two mounts of it would not know of each other. */
  async #endFormer({ name, id }: CatalogueEntry): Promise<void> {
    const former = this.servedById(id);
    if (former !== undefined && former.name !== name) await this.#endOther(former, `is "${name}" since others removed it and brought it back`);
  }

  /** Ends a mount that is not what its name means by now. @throws InfinitError `in-use` where somebody uses it, or its last writes cannot be written out. */
  async #endOther(served: ServedVolume, why: string): Promise<void> {
    const { catalogue, hostName, table } = this.#context;
    const deleted = await catalogue.isDeleted(served.id);
    try {
      const users = await this.#closer.usersOf(served);
      if (users.length > 0) throw new InfinitError('in-use', `it is in use by ${users.join(', ')}: stop that first`);
      await served.unmount({ discard: deleted });
    } catch (error) {
      const trashed = (await catalogue.trashed(served.id)) !== undefined;
      const restore = trashed ? `; \`infinit volume trash restore ${served.id} --as NAME\` brings the removed one back` : '';
      throw new InfinitError(
        'in-use',
        `volume "${served.name}" ${why}, and the mount on ${hostName} from before cannot end: ${messageOf(error)}${restore}`,
        {
          cause: error,
        },
      );
    }
    await table.deleteVolume(served.name);
  }

  /** Ends the mount of a volume that is to be removed. @throws InfinitError `in-use`, or what keeps its last writes from the store. */
  async #closeForGood(entry: CatalogueEntry, discard = false): Promise<void> {
    await this.#endFormer(entry);
    const served = this.servedById(entry.id);
    if (served !== undefined) return this.#closer.close(served, { insist: true, discard });
    if (await this.mayBeInUse(entry.id))
      throw new InfinitError(
        'in-use',
        `volume "${entry.name}" is about to be mounted again on ${this.#context.hostName}, under the name that it had before`,
      );
  }

  #show(entry: CatalogueEntry, health = this.#context.health(), { replicas } = this.#context.fallbacks()): Volume {
    const mountpoint = this.#placeOf(entry);
    return {
      name: entry.name,
      id: entry.id,
      createdAt: entry.createdAt,
      // Copies are the cluster's at this time, whatever it had when the volume was made.
      options: { ...entry.options, ...(replicas === undefined ? {} : { replicas }) },
      ...(mountpoint === undefined ? {} : { mountpoint }),
      holders: this.#holdersOf(entry),
      hosts: mountpoint === undefined ? [] : [this.#context.hostName],
      health,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closer[Symbol.dispose]();
    this.#leftOver[Symbol.dispose]();
    await this.#served[Symbol.asyncDispose]();
  }
}
