import { setTimeout as sleep } from 'node:timers/promises';

import { InfinitError, KeyedQueue, type Logger, messageOf } from '../src/base/index.ts';
import { checkVolumeName, type EffectiveOptions, type Membership, parseVolumeOptions, type Volume, type VolumeService } from '../src/api/index.ts';
import { Outside } from './outside.ts';

/** Milliseconds a creation or a mount may take. dockerd waits 120 s and sends no Unmount for a Mount that failed, so ours ends first and cleans up. */
export const mountDeadlineMs = 110_000;

/** Milliseconds after which an unmount or a removal is answered though it goes on: dockerd waits 60 s, and its own words say nothing. */
const answerDeadlineMs = 55_000;

/** Mount IDs in the service's books: tells a container from a person with the command line. */
const holderPrefix = 'docker:';

/** A volume in Docker's words. */
export interface DockerVolume {
  readonly Name: string;
  /** Absent rather than empty: `""` fails the engine's decoder, which then forgets the volume. */
  readonly CreatedAt?: string;
  readonly Mountpoint?: string;
  readonly Status: Readonly<Record<string, unknown>>;
}

/** What a {@link Driver} may be given. */
export interface DriverSettings {
  /** What volume options are where nothing is said, where that differs from the table. */
  readonly fallbacks?: () => Partial<EffectiveOptions>;
  readonly mountDeadlineMs?: number;
  readonly answerDeadlineMs?: number;
  /** Whether this host is in its cluster; absent: it always is. */
  readonly membership?: Membership;
  readonly joinPatienceMs?: number;
}

/**
 * Maps the engine's calls onto the {@link VolumeService}. Every call may come twice, with another engine's calls in between:
 * what changes a volume's state on this host is done one at a time for each volume, what only reads never waits.
 */
export class Driver {
  readonly #volumes: VolumeService;
  readonly #logger: Logger;
  readonly #fallbacks: () => Partial<EffectiveOptions>;
  readonly #deadlineMs: number;
  readonly #answerDeadlineMs: number;
  readonly #outside: Outside;
  readonly #queue = new KeyedQueue();

  constructor(volumes: VolumeService, logger: Logger, settings: DriverSettings = {}) {
    this.#volumes = volumes;
    this.#logger = logger;
    this.#fallbacks = settings.fallbacks ?? (() => ({}));
    this.#deadlineMs = settings.mountDeadlineMs ?? mountDeadlineMs;
    this.#answerDeadlineMs = settings.answerDeadlineMs ?? answerDeadlineMs;
    this.#outside = new Outside(settings.membership ?? alwaysInside, logger, settings.membership === undefined ? 0 : settings.joinPatienceMs);
  }

  async create(name: unknown, options: unknown): Promise<void> {
    checkVolumeName(name);
    this.#outside.check(name);
    const effective = parseVolumeOptions(options, this.#fallbacks());
    await this.#answered(
      `creating "${name}"`,
      this.#queue.run(name, async () => void (await this.#volumes.create(name, effective))),
      this.#deadlineMs,
    );
  }

  /**
   * undefined: there is no such volume, for certain.
   * @throws where that is not known: the caller must not answer the engine then, since it takes every error for "does not exist".
   */
  async get(name: unknown): Promise<DockerVolume | undefined> {
    if (!isVolumeName(name)) return undefined;
    const known = (await this.#volumes.list()).find((volume) => volume.name === name);
    if (known === undefined) {
      if (this.#outside.isNew(name)) return undefined;
      const expected = await this.#outside.expect(name);
      if (expected !== undefined) return expected;
    }
    const volume = await this.#outside.patiently(() => this.#volumes.inspect(name));
    if (volume === undefined) return this.#outside.isExpected(name) ? this.#outside.shown(name) : undefined;
    await this.#outside.forget(name);
    return inDockersWords(volume);
  }

  async list(): Promise<DockerVolume[]> {
    const volumes = (await this.#volumes.list()).map(inDockersWords);
    const names = new Set(volumes.map(({ Name }) => Name));
    return [...volumes, ...this.#outside.expected().filter(({ Name }) => !names.has(Name))];
  }

  /** '' where it is not mounted on this host. */
  path(name: unknown): string {
    checkVolumeName(name);
    return this.#volumes.mountpoint(name) ?? '';
  }

  /**
   * Ends within the deadline. Where the answer can no longer reach the engine (it gave up, or died), the mount is taken back:
   * nobody would ever unmount it.
   */
  async mount(name: unknown, id: unknown, gone: AbortSignal): Promise<string> {
    checkVolumeName(name);
    const holder = holderOf(id);
    const deadline = AbortSignal.timeout(this.#deadlineMs);
    const signal = AbortSignal.any([gone, deadline]);
    const done = this.#queue.run(name, () => this.#mountOrTakeBack(name, holder, signal));
    return await Promise.race([done, rejectedBy(signal, `mounting "${name}"`)]);
  }

  async #mountOrTakeBack(name: string, holder: string, signal: AbortSignal): Promise<string> {
    signal.throwIfAborted();
    this.#outside.check(name);
    // `docker cp` mounts again with the ID of the running container: that one's hold is not ours to take back.
    const before = await this.#volumes.inspect(name);
    if (before === undefined && this.#outside.isExpected(name)) throw this.#outside.missing(name);
    const heldBefore = before?.holders.includes(holder) ?? false;
    const mountpoint = await this.#volumes.mount(name, holder, signal);
    if (!signal.aborted) return mountpoint;
    if (!heldBefore) {
      this.#logger.warn('mount taken back: nobody waits for it', { volume: name, holder });
      await this.#volumes.unmount(name, holder);
    }
    throw new InfinitError('cancelled', `mounting "${name}": nobody waits for it any more`);
  }

  /** Unknown volumes and IDs are fine: the engine repeats itself, and comes back after a crash. */
  async unmount(name: unknown, id: unknown): Promise<void> {
    checkVolumeName(name);
    const holder = holderOf(id);
    await this.#answered(
      `unmounting "${name}"`,
      this.#queue.run(name, () => this.#volumes.unmount(name, holder)),
    );
  }

  /** What takes longer than the engine waits goes on; how it ends is in the log. */
  async #answered(what: string, work: Promise<void>, deadlineMs: number = this.#answerDeadlineMs): Promise<void> {
    const enough = new AbortController();
    const late = sleep(deadlineMs, 'late' as const, { signal: enough.signal }).catch(() => {});
    try {
      if ((await Promise.race([work, late])) !== 'late') return;
    } finally {
      enough.abort();
    }
    work.then(
      () => this.#logger.info('a call that the engine was not kept waiting for is done', { call: what }),
      (error: unknown) => this.#logger.warn('a call that the engine was not kept waiting for failed', { call: what, error }),
    );
    throw new InfinitError('deadline-exceeded', `${what} takes long and goes on: other calls for the volume, or its last writes, have to end first`);
  }

  /**
   * The engine asks for this only when none of its containers refers to the volume. Mount IDs that are still in the books are therefore left over
   * from a crash, and would keep the volume for ever. The service itself still refuses while a file is open, or another host has it mounted.
   */
  async remove(name: unknown, gone: AbortSignal): Promise<void> {
    checkVolumeName(name);
    const removed = this.#queue.run(name, async () => {
      if (await this.#forgetExpected(name)) return;
      const volume = await this.#volumes.inspect(name);
      for (const holder of volume?.holders ?? []) {
        if (!holder.startsWith(holderPrefix)) continue;
        this.#logger.warn('a mount was left over', { volume: name, holder });
        await this.#volumes.unmount(name, holder);
      }
      await this.#volumes.remove(name, { signal: gone });
    });
    await this.#answered(`removing "${name}"`, removed);
  }

  /** True where the engine alone believes in the volume, as far as this host can know. */
  async #forgetExpected(name: string): Promise<boolean> {
    if (!this.#outside.isExpected(name)) return false;
    await this.#outside.forget(name);
    if (this.#outside.isOutside) return (await this.#volumes.list()).every((volume) => volume.name !== name);
    return (await this.#volumes.inspect(name)) === undefined;
  }
}

/** A host that has no cluster to be let into. */
const alwaysInside: Membership = {
  whyOutside: () => undefined,
  whenInside: () => Promise.resolve(),
  expected: { list: () => [], has: () => false, add: () => Promise.resolve(), delete: () => Promise.resolve() },
};

function isVolumeName(name: unknown): name is string {
  try {
    checkVolumeName(name);
    return true;
  } catch {
    return false;
  }
}

function holderOf(id: unknown): string {
  if (typeof id !== 'string' || id === '') throw new InfinitError('bad-argument', 'the mount ID must be a non-empty string');
  if (id.length > 256) throw new InfinitError('bad-argument', 'the mount ID has more than 256 characters');
  return holderPrefix + id;
}

function rejectedBy(signal: AbortSignal, what: string): Promise<never> {
  return new Promise((_resolve, reject) => {
    const fail = (): void => {
      const late = signal.reason instanceof DOMException && signal.reason.name === 'TimeoutError';
      reject(
        late
          ? new InfinitError('deadline-exceeded', `${what} took too long and was given up`)
          : new InfinitError('cancelled', `${what}: ${messageOf(signal.reason)}`),
      );
    };
    if (signal.aborted) fail();
    else signal.addEventListener('abort', fail, { once: true });
  });
}

/** Effective options go into the status, because the engine keeps `-o` only where the volume was created: `docker volume inspect` shows it on every host. */
function inDockersWords(volume: Volume): DockerVolume {
  return {
    Name: volume.name,
    ...(isRfc3339(volume.createdAt) ? { CreatedAt: volume.createdAt } : {}),
    ...(volume.mountpoint === undefined ? {} : { Mountpoint: volume.mountpoint }),
    Status: {
      id: volume.id,
      health: volume.health.state,
      ...(volume.health.reasons.length === 0 ? {} : { reasons: volume.health.reasons }),
      hosts: volume.hosts,
      holders: volume.holders,
      options: volume.options,
    },
  };
}

function isRfc3339(text: string): boolean {
  return /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/.test(text) && !Number.isNaN(Date.parse(text));
}
