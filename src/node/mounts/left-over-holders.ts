import type { Logger } from '../../base/index.ts';
import { dockerPrefix } from './holder-names.ts';

/** Between two looks, in ms. */
const lookMs = 5000;
/** Looks in a row that must find no container: one may be between its removal and the engine's word of it. */
const emptyLooks = 3;

export interface LeftOverContext {
  /** The holders of a volume at this moment. */
  readonly holders: (volume: string) => readonly string[];
  /** The engine's containers that refer to a volume; undefined: it does not say. */
  readonly containersOf: (volume: string) => Promise<readonly string[] | undefined>;
  readonly drop: (volume: string, holders: readonly string[]) => Promise<void>;
  readonly logger: Logger;
}

/**
 * Mount IDs of the engine that are from before this daemon began. Nobody unmounts for a container that was removed while there was no daemon, so the engine is asked: where it
 * knows no container of the volume, nothing will ever give them back. Those that were given since are let alone: the engine mounts for a container that it does not list yet.
 */
export class LeftOverHolders implements Disposable {
  readonly #context: LeftOverContext;
  /** By volume, with the looks in a row that found no container. */
  readonly #suspects: Map<string, { readonly holders: Set<string>; empty: number }>;
  readonly #timer: NodeJS.Timeout;
  #looking = false;

  /** @param volumes those that have holders, at the start. */
  constructor(volumes: readonly string[], context: LeftOverContext) {
    this.#context = context;
    this.#suspects = new Map(
      volumes
        .map((volume) => [volume, new Set(context.holders(volume).filter((holder) => holder.startsWith(dockerPrefix)))] as const)
        .filter(([, holders]) => holders.size > 0)
        .map(([volume, holders]) => [volume, { holders, empty: 0 }]),
    );
    this.#timer = setInterval(() => void this.look(), lookMs);
    this.#timer.unref();
  }

  /** The engine mounted under this ID (again). */
  isGiven(volume: string, holder: string): void {
    this.#suspects.get(volume)?.holders.delete(holder);
  }

  /** Asks the engine about each volume once, and drops what it has had no container for. Never rejects: nobody waits for it. */
  async look(): Promise<void> {
    if (this.#looking) return;
    this.#looking = true;
    try {
      for (const [volume, suspect] of this.#suspects) await this.#lookAt(volume, suspect);
    } finally {
      this.#looking = false;
    }
    if (this.#suspects.size === 0) clearInterval(this.#timer);
  }

  async #lookAt(volume: string, suspect: { readonly holders: Set<string>; empty: number }): Promise<void> {
    const { holders, containersOf, drop, logger } = this.#context;
    const stillThere = (): readonly string[] => holders(volume).filter((holder) => suspect.holders.has(holder));
    if (stillThere().length === 0) return void this.#suspects.delete(volume);
    try {
      const containers = await containersOf(volume);
      suspect.empty = containers?.length === 0 ? suspect.empty + 1 : 0;
      const left = stillThere();
      if (suspect.empty < emptyLooks || left.length === 0) return;
      await drop(volume, left);
      logger.warn('mounts for containers that are gone are given back: they were removed while there was no daemon', { volume, mounts: left.length });
      this.#suspects.delete(volume);
    } catch (error) {
      logger.warn('mounts for containers that are gone cannot be given back yet', { volume, error });
    }
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}
