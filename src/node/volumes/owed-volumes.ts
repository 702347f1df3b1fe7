import { setTimeout as sleep } from 'node:timers/promises';

import { InfinitError, type Logger, messageOf } from '../../base/index.ts';

/** The pause before a mount that could not be served again is tried once more, in ms: doubled each time, up to the second. */
const [firstPauseMs, maxPauseMs] = [500, 30_000];
/** How long whoever wants such a volume mounted waits for it, in ms. */
const patienceMs = 30_000;
/** After so long it is said that one is not served yet, in ms. */
const slowMs = 60_000;

interface Owed {
  readonly settled: PromiseWithResolvers<void>;
  /** Why the last attempt failed. */
  failure: unknown;
}

export interface OwedVolumesContext {
  /** What the daemon before had mounted. */
  readonly names: readonly string[];
  /** Its mount outlived that daemon and is kept: programs on it wait. */
  readonly isKept: (name: string) => boolean;
  /** Serves it again. */
  readonly serve: (name: string) => Promise<void>;
  readonly isStopping: () => boolean;
  readonly logger: Logger;
}

/**
 * Volumes that the daemon before had mounted, until this one serves them. A mount that outlived it holds what its programs have not synced, so it is tried again for as long as it takes: programs
 * wait, and lose nothing. One that did not is tried once.
 */
export class OwedVolumes {
  readonly #context: OwedVolumesContext;
  readonly #owed: Map<string, Owed>;

  constructor(context: OwedVolumesContext) {
    this.#context = context;
    this.#owed = new Map(context.names.map((name) => [name, { settled: Promise.withResolvers(), failure: undefined }]));
  }

  /** Those that are owed yet. */
  names(): readonly string[] {
    return [...this.#owed.keys()];
  }

  /** Volumes whose programs wait for this daemon to serve them, and why it does not yet: a sentence each. */
  waiting(): readonly string[] {
    return [...this.#owed].filter(([name]) => this.#context.isKept(name)).map(([name, { failure }]) => sentence(name, failure));
  }

  /** Resolves once the volume is not owed any more. @throws InfinitError `unavailable` where that takes too long. */
  async settled(name: string): Promise<void> {
    const owed = this.#owed.get(name);
    if (owed === undefined) return;
    await Promise.race([owed.settled.promise, sleep(patienceMs, undefined, { ref: false })]);
    if (this.#owed.get(name) === owed) throw new InfinitError('unavailable', sentence(name, owed.failure));
  }

  /** A failure of one does not stop the others, and a slow one does not hold them up. */
  async serveAll(): Promise<void> {
    await Promise.all([...this.#owed].map(([name, owed]) => this.#serve(name, owed)));
  }

  async #serve(name: string, owed: Owed): Promise<void> {
    const { serve, isKept, isStopping, logger } = this.#context;
    const slow = setTimeout(() => {
      if (isKept(name)) logger.warn(sentence(name, owed.failure));
    }, slowMs).unref();
    for (let pauseMs = firstPauseMs; !isStopping(); pauseMs = Math.min(maxPauseMs, 2 * pauseMs)) {
      try {
        await serve(name);
        break;
      } catch (error) {
        if (isStopping()) break;
        if (!isKept(name)) {
          logger.error('a volume cannot be served again', { volume: name, error });
          break;
        }
        owed.failure = error;
        logger.error('a volume cannot be served again yet; its mount is kept, its programs wait, and it is tried again', {
          volume: name,
          inMs: pauseMs,
          error,
        });
        await sleep(pauseMs, undefined, { ref: false });
      }
    }
    clearTimeout(slow);
    this.#owed.delete(name);
    owed.settled.resolve();
  }
}

function sentence(name: string, failure: unknown): string {
  const why = failure === undefined ? 'it is being opened' : messageOf(failure);
  return `volume "${name}", which the daemon before had mounted, is not served again yet, and its programs wait: ${why}`;
}
