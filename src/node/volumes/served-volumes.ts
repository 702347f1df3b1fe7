import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { typedOptions } from '../../api/index.ts';
import { InfinitError } from '../../base/index.ts';
import { bindAgain } from '../mounts/bound-places.ts';
import type { CatalogueEntry } from './catalogue-entry.ts';
import { OwedVolumes } from './owed-volumes.ts';
import type { ServedVolume } from './served-volume.ts';
import type { VolumesContext } from './volumes-context.ts';

/** How long a stop waits for volumes that are being mounted, in ms: one that waits for other hosts must not hold it up. */
const startsPatienceMs = 5000;

/**
 * What is mounted on this host, is about to be, or was when the daemon before ended: by the name of the mount, and by the volume's id. The two may part: what a
 * name means is changed by any host, and a mount stays what it is.
 */
export class ServedVolumes implements AsyncDisposable {
  readonly #context: VolumesContext;
  readonly #served = new Map<string, ServedVolume>();
  /** The same by id: engines ask of all volumes at every turn. */
  readonly #ids = new Map<string, ServedVolume>();
  /** On their way to being served, by id. */
  readonly #starting = new Map<string, { readonly name: string; readonly served: Promise<ServedVolume> }>();
  /** What the daemon before had mounted. */
  readonly #owed: OwedVolumes;
  /** The ids of what it had mounted, by the names of the mounts, as far as they were noted. */
  readonly #owedIds: ReadonlyMap<string, string | undefined>;
  /** Volumes that are being made. */
  readonly #making = new Set<{ readonly name: string }>();
  /** Until it resolves nothing is made or mounted. */
  #still: Promise<void> | undefined;
  /** Of these it was said that others removed them. */
  readonly #saidRemoved = new WeakSet<ServedVolume>();
  #stopping = false;

  constructor(context: VolumesContext) {
    this.#context = context;
    const { server, table, logger } = context;
    const adoptable = server.adoptable();
    const names = [...new Set([...adoptable.keys(), ...table.volumes()])];
    this.#owedIds = new Map(names.map((name) => [name, adoptable.get(name) ?? table.idOf(name)]));
    this.#owed = new OwedVolumes({
      names,
      isKept: (name) => server.keeps(name),
      serve: (name) => this.#serveAgain(name),
      isStopping: () => this.#stopping,
      logger,
    });
  }

  all(): readonly ServedVolume[] {
    return [...this.#served.values()];
  }

  byName(name: string): ServedVolume | undefined {
    return this.#served.get(name);
  }

  byId(id: string): ServedVolume | undefined {
    return this.#ids.get(id);
  }

  /** Whether a volume's programs here may have locks and open files: it is mounted, is being mounted, or was when the daemon before was killed and is not yet again. */
  async mayBeInUse(id: string): Promise<boolean> {
    if (this.byId(id) !== undefined || this.#starting.has(id)) return true;
    const owed = this.#owed.names();
    if (owed.some((name) => this.#owedIds.get(name) === id)) return true;
    const unknown = owed.filter((name) => this.#owedIds.get(name) === undefined);
    return (await this.#context.catalogue.list()).some((entry) => entry.id === id && unknown.includes(entry.name));
  }

  /** Mounts that there are, or are about to be, by name. */
  busy(): readonly string[] {
    return [...new Set([...this.#served.keys(), ...[...this.#starting.values()].map(({ name }) => name), ...this.#owed.names()])];
  }

  /** Volumes that are being made. */
  making(): readonly string[] {
    return [...this.#making].map(({ name }) => name);
  }

  /** While the job runs nothing begins to be made or mounted; what has begun shows in {@link busy} and {@link making}. One such job at a time. */
  async standstill<T>(job: () => Promise<T>): Promise<T> {
    const over = Promise.withResolvers<void>();
    this.#still = over.promise;
    try {
      return await job();
    } finally {
      this.#still = undefined;
      over.resolve();
    }
  }

  /** Makes a volume of this name. @param may Whether it may be made: is asked once it can begin. */
  async make<T>(name: string, may: () => void, job: () => Promise<T>): Promise<T> {
    while (this.#still !== undefined) await this.#still;
    may();
    const one = { name };
    this.#making.add(one);
    try {
      return await job();
    } finally {
      this.#making.delete(one);
    }
  }

  /** Serves a volume at a place of its own. @param may As in {@link make}. @throws InfinitError, nothing being mounted then. */
  async serve(entry: CatalogueEntry, may: () => void = () => {}): Promise<ServedVolume> {
    const { name, id } = entry;
    while (this.#still !== undefined) await this.#still;
    may();
    if (this.#stopping) throw new InfinitError('unavailable', `volume "${name}" is not mounted: the daemon stops`);
    if (this.#starting.has(id)) throw new InfinitError('in-use', `volume "${name}" is being mounted on this host under another name`);
    const served = this.#start(entry);
    this.#starting.set(id, { name, served });
    try {
      return await served;
    } finally {
      this.#starting.delete(id);
    }
  }

  async #start(entry: CatalogueEntry): Promise<ServedVolume> {
    const { server, mountDir, logger } = this.#context;
    const { name, id } = entry;
    const served = await server.serve(entry, path.join(mountDir, name));
    this.#served.set(name, served);
    this.#ids.set(id, served);
    void served.closed.then((reason) => {
      if (this.#served.get(name) === served) this.#served.delete(name);
      if (this.#ids.get(id) === served) this.#ids.delete(id);
      // At an upgrade nothing ends: the holder keeps the mount, and programs wait at it. At a stop it says which ones it ends.
      if (reason === 'stopped') logger.info('volume handed back to the holder', { volume: name });
      else logger.info('volume no longer mounted', { volume: name, reason });
    });
    return served;
  }

  /** Serves again what had holders when the daemon last stopped, mounts that outlived it first. */
  recover(): Promise<void> {
    return this.#owed.serveAll();
  }

  /** Resolves once what the daemon before had mounted under a name is served again, or is not to be. @throws InfinitError `unavailable` where that takes too long. */
  settled(name: string): Promise<void> {
    return this.#owed.settled(name);
  }

  /** Volumes whose programs wait for this daemon to serve them, and why it does not yet, and what is wrong with those that are served: a sentence each. */
  waiting(): readonly string[] {
    return [...this.#owed.waiting(), ...[...this.#served.values()].flatMap((served) => served.troubles())];
  }

  /** Takes no turn: nobody else serves what is owed, and how long it takes is not known. */
  async #serveAgain(name: string): Promise<void> {
    const { catalogue, table, logger } = this.#context;
    const served = await this.serve(await this.#entryOwed(name));
    // It may have changed meanwhile.
    const entry = await catalogue.find(name);
    if (entry?.id === served.id) served.apply(typedOptions(entry.options));
    if (!this.#stopping) await bindAgain(name, served.mountpoint, table.holders(name), logger);
  }

  /**
   * The volume that was mounted under a name, whatever that means now: programs on a mount that outlived its daemon go on with what they had, and would take another volume for it.
   * Where it was deleted for good they see errors.
   */
  async #entryOwed(name: string): Promise<CatalogueEntry> {
    const { catalogue, server, table } = this.#context;
    const id = this.#owedIds.get(name);
    const entry = await catalogue.find(name);
    if (entry !== undefined && (id ?? entry.id) === entry.id) return entry;
    const found = id === undefined || !server.keeps(name) ? undefined : await catalogue.findById(id);
    if (found !== undefined) return { ...found, name };
    await server.giveUp(name);
    await table.deleteVolume(name);
    throw new InfinitError('not-found', `the volume "${name}" that was mounted here was removed on another host`);
  }

  /** The catalogue was read anew: what is mounted here hears of changed options, and its administrator of volumes that are gone. */
  async heed(): Promise<void> {
    const entries = new Map((await this.#context.catalogue.list()).map((entry) => [entry.id, entry]));
    for (const served of this.#served.values()) {
      const entry = entries.get(served.id);
      if (entry !== undefined) served.apply(typedOptions(entry.options));
      else if (!this.#saidRemoved.has(served)) {
        this.#saidRemoved.add(served);
        const { name, id } = served;
        this.#context.logger.warn('a volume that is mounted here was removed on another host: what uses it is to be stopped', { volume: name, id });
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping = true;
    this.#context.server.leave();
    // What is being mounted at this moment would stay behind as a dead mount.
    await Promise.race([
      Promise.allSettled([...this.#starting.values()].map(({ served }) => served)),
      sleep(startsPatienceMs, undefined, { ref: false }),
    ]);
    await Promise.all(this.all().map((served) => served.stop()));
  }
}
