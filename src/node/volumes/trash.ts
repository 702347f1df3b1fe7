import { createHash } from 'node:crypto';

import { type TrashedVolume, typedOptions } from '../../api/index.ts';
import { type Clock, codeOf, InfinitError, type Logger, messageOf } from '../../base/index.ts';
import { namedAddress, Sealer } from '../../block/index.ts';
import { purgeVolume, removeBlock } from '../../filesystem/index.ts';
import type { Transport } from '../../overlay/index.ts';
import type { BlockStore } from '../../store/index.ts';
import type { Catalogue } from './catalogue.ts';
import type { CatalogueEntry } from './catalogue-entry.ts';
import { removeVolumeKey, volumeKey } from './volume-key.ts';
import { takeLease } from '../sharing/take-lease.ts';
import { claimSession } from './volume-session.ts';

/** How often the trash is looked through, in ms. */
const lookMs = 60_000;
const dayMs = 86_400_000;
/** Hosts take turns: each further one waits so much longer before it deletes what another could have deleted, in ms. */
const turnMs = 600_000;

export interface TrashContext {
  readonly catalogue: Catalogue;
  readonly store: BlockStore;
  readonly keyDir: string;
  readonly self: string;
  readonly clock: Clock;
  /** The time, in ms, by the wall clocks of all hosts in reach: days that seem to be over by this host's own are counted by it, and notes of what was deleted are dated with it. */
  readonly sharedTimeMs: () => Promise<number>;
  /** The way to other hosts, where this one belongs to a cluster at this moment. */
  readonly cluster: () => Transport | undefined;
  /** @throws InfinitError `unavailable` where this host has no part in its cluster any more. */
  readonly checkMember: () => void;
  /** @throws InfinitError `denied` where this host may not write: it deletes nothing either. */
  readonly checkWrites: () => void;
  readonly onCatalogueChange: () => void;
  /** Whether the volume is, or may be, mounted on this very host: its lease keeps only other hosts off. */
  readonly mayBeInUse: (volumeId: string) => Promise<boolean>;
  readonly logger: Logger;
}

/**
 * Removed volumes. Any host empties the trash: whoever's turn it is takes the volume's own lease, so that no other host deletes or
 * serves it meanwhile (and one that mounted it at the moment of its removal is left alone until it lets go), and removes its blocks at a
 * bounded rate. A run that ends early is taken up by the next look, of any host.
 */
export class Trash implements AsyncDisposable {
  readonly #context: TrashContext;
  readonly #timer: NodeJS.Timeout;
  readonly #stop = new AbortController();
  /** What people asked this very host to delete. */
  readonly #asked = new Set<string>();
  #looking: Promise<void> | undefined;
  #again = false;

  constructor(context: TrashContext) {
    this.#context = context;
    this.#timer = setInterval(() => this.look(), lookMs);
    this.#timer.unref();
  }

  async list(): Promise<readonly TrashedVolume[]> {
    this.#context.checkMember();
    const entries = await this.#context.catalogue.trash();
    return entries.map(show).toSorted((a, b) => (a.trashedAt < b.trashedAt ? -1 : 1));
  }

  /** Brings a volume back, by name (the one removed last) or id. @throws InfinitError `not-found`, `already-exists`. */
  async restore(which: string, name: string | undefined): Promise<CatalogueEntry> {
    this.#context.checkMember();
    this.#context.checkWrites();
    const entry = await this.#find(which);
    const restored = await this.#context.catalogue.restore(entry, name ?? entry.name);
    this.#context.onCatalogueChange();
    this.#context.logger.info('volume restored', { volume: restored.name, id: restored.id });
    return restored;
  }

  /** Deletes for good: one volume by name or id, or without a name all but those that are kept until somebody names them. Goes on in the background; returns what is deleted. */
  async empty(which?: string): Promise<readonly TrashedVolume[]> {
    const { catalogue, checkMember, checkWrites } = this.#context;
    checkMember();
    checkWrites();
    const entries = which === undefined ? (await catalogue.trash()).filter((entry) => !isRetained(entry)) : [await this.#find(which)];
    const marked: TrashedVolume[] = [];
    for (const entry of entries) {
      if (await catalogue.markPurging(entry)) {
        this.#asked.add(entry.id);
        marked.push(show({ ...entry, purging: true }));
      } else if (which !== undefined) throw new InfinitError('conflict', `volume "${entry.name}" is being restored or removed by somebody else`);
    }
    this.look();
    this.#context.onCatalogueChange();
    return marked;
  }

  /** Deletes what is due now, in the background. */
  look(): void {
    if (this.#looking !== undefined) {
      this.#again = true;
      return;
    }
    this.#looking = this.#look()
      .catch((error: unknown) => this.#context.logger.debug('the trash could not be looked through', { error }))
      .finally(() => {
        this.#looking = undefined;
        if (!this.#again || this.#stop.signal.aborted) return;
        this.#again = false;
        this.look();
      });
  }

  async #look(): Promise<void> {
    const { catalogue, clock, checkWrites, logger } = this.#context;
    checkWrites();
    let asked: Promise<number> | undefined;
    const sharedMs = (): Promise<number> => (asked ??= this.#context.sharedTimeMs());
    for (const entry of await catalogue.trash()) {
      if (this.#stop.signal.aborted) return;
      const due = this.#dueMs(entry);
      if (due === undefined || clock.wallMs() < due) continue;
      try {
        // One clock that is wrong would delete for all what they wanted to keep for days.
        if (isKeptForDays(entry) && (await sharedMs()) < due) continue;
        if (entry.purging === true || (await catalogue.markPurging(entry))) await this.#purge(entry, sharedMs);
      } catch (error) {
        const code = codeOf(error);
        // That it is another host's turn, which has the lease or the key, is no news.
        const say = code === 'in-use' || code === 'wrong-key' ? logger.debug.bind(logger) : logger.warn.bind(logger);
        say('a removed volume is not deleted yet', { volume: entry.name, id: entry.id, code, error: messageOf(error) });
      }
    }
  }

  /** When it is this host's turn; undefined: never by itself. */
  #dueMs(entry: CatalogueEntry): number | undefined {
    const removed = Date.parse(entry.trashedAt ?? '');
    // A clock that is behind the one that wrote the time says nothing about how many days have passed.
    if (Number.isNaN(removed) || entry.restoringAs !== undefined) return undefined;
    const turn = this.#turn(entry.id);
    // Whoever was asked to has the key, as like as not.
    if (entry.purging === true) return this.#asked.has(entry.id) ? removed : removed + turn * turnMs;
    const { onRemove, trashDays } = typedOptions(entry.options);
    if (onRemove === 'retain') return undefined;
    return removed + (onRemove === 'delete' ? 0 : trashDays * dayMs) + turn * turnMs;
  }

  /** This host's place in the order in which hosts try to delete a volume: 0 the first. */
  #turn(id: string): number {
    const transport = this.#context.cluster();
    if (transport === undefined) return 0;
    const rank = (peer: string): string => createHash('sha256').update(`${id} ${peer}`).digest('hex');
    const own = rank(this.#context.self);
    return transport.connected().filter((peer) => rank(peer) < own).length;
  }

  async #purge(entry: CatalogueEntry, sharedMs: () => Promise<number>): Promise<void> {
    const { store, keyDir, self, clock, catalogue, logger } = this.#context;
    if (await this.#context.mayBeInUse(entry.id)) throw new InfinitError('in-use', 'it is still mounted on this host');
    const key = typedOptions(entry.options).encrypted ? volumeKey(keyDir, entry) : undefined;
    const lease = await takeLease(this.#context.cluster(), { store, volumeId: entry.id, self, clock, logger }, this.#stop.signal);
    try {
      const report = await purgeVolume(
        {
          store: lease?.guard(store, lease.tenure, this.#stop.signal) ?? store,
          sealer: new Sealer(key),
          volumeId: entry.id,
          session: await claimSession(store, entry.id),
          clock,
          logger,
        },
        this.#stop.signal,
      );
      logger.info('the data of a removed volume is deleted', { volume: entry.name, id: entry.id, ...report });
    } finally {
      await lease?.[Symbol.asyncDispose]();
    }
    for (const name of ['session', 'lease']) await removeBlock(store, namedAddress(entry.id, name));
    await catalogue.forget(entry.id, await sharedMs());
    this.#asked.delete(entry.id);
    if (key !== undefined) removeVolumeKey(keyDir, entry.id);
  }

  async #find(which: string): Promise<CatalogueEntry> {
    const found = (await this.#context.catalogue.trash())
      .filter(({ name, id }) => name === which || id === which)
      .toSorted((a, b) => (a.trashedAt! < b.trashedAt! ? 1 : -1));
    if (found.length === 0) throw new InfinitError('not-found', `there is no volume "${which}" in the trash: see \`infinit volume trash ls\``);
    return found[0]!;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    this.#stop.abort(new InfinitError('closed', 'the daemon stops'));
    await this.#looking;
  }
}

function isRetained(entry: CatalogueEntry): boolean {
  return typedOptions(entry.options).onRemove === 'retain';
}

/** Nobody has decided yet that it is deleted. */
function isKeptForDays(entry: CatalogueEntry): boolean {
  return entry.purging !== true && typedOptions(entry.options).onRemove === 'trash';
}

/** A removed volume as people see it. */
export function show(entry: CatalogueEntry): TrashedVolume {
  const { onRemove, trashDays } = typedOptions(entry.options);
  const trashedAt = entry.trashedAt ?? '';
  // Nobody is waited for: some host takes its turn.
  const deleting = entry.purging === true || (onRemove === 'delete' && entry.restoringAs === undefined);
  return {
    name: entry.name,
    id: entry.id,
    trashedAt,
    state: deleting ? 'deleting' : entry.restoringAs === undefined ? 'kept' : 'restoring',
    ...(deleting || onRemove === 'retain'
      ? {}
      : { deletedAt: new Date(Date.parse(trashedAt) + (onRemove === 'delete' ? 0 : trashDays * dayMs)).toISOString() }),
    options: entry.options,
  };
}
