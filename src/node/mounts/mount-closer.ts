import { type Health } from '../../api/index.ts';
import { InfinitError, type Logger } from '../../base/index.ts';
import { deviceMountedAt, foreignUsers, otherPlaces } from './mount-users.ts';
import { NotWrittenOut, type ServedVolume } from '../volumes/served-volume.ts';
import { explainSlowEnd } from '../blocks/slow-end.ts';

/** How often a mount without holders is looked at again, in ms: its container may end at any time. */
const idleCheckMs = 2000;
/** Looks that a mount whose end was refused again and again is left alone for, at the most: each attempt may take the store half a minute. */
const maxSkippedLooks = 16;

export interface MountCloserContext {
  readonly hostName: string;
  readonly served: () => readonly ServedVolume[];
  readonly holders: (name: string) => readonly string[];
  /** Runs a job when it is the volume's turn. */
  readonly inTurn: (name: string, job: () => Promise<void>) => Promise<void>;
  readonly health: () => Health;
  readonly logger: Logger;
}

/** Ends mounts that nobody uses: those that are to end, and now and then all that have no holder. */
export class MountCloser implements Disposable {
  readonly #context: MountCloserContext;
  readonly #timer: NodeJS.Timeout;
  /** Volumes that are being looked at because nobody may need them any more. */
  readonly #looking = new Set<ServedVolume>();
  /** Mounts whose end was refused: how many looks they are left alone for, and how many after the next refusal. */
  readonly #refused = new WeakMap<ServedVolume, { skip: number; readonly next: number }>();

  constructor(context: MountCloserContext) {
    this.#context = context;
    this.#timer = setInterval(() => this.#lookAtIdle(), idleCheckMs);
    this.#timer.unref();
  }

  /** Ends a mount unless the kernel says that somebody uses it. `insist`: being used is an error; `discard`: what is not written out need not be. */
  async close(served: ServedVolume, how: { readonly insist?: boolean; readonly discard?: boolean } = {}): Promise<void> {
    const { hostName, health, logger } = this.#context;
    const { insist = false, discard = false } = how;
    const users = await this.usersOf(served);
    if (users.length > 0) {
      if (insist) throw new InfinitError('in-use', `volume "${served.name}" is in use on ${hostName} by ${users.join(', ')}`);
      return;
    }
    try {
      await served.unmount({ discard });
    } catch (error) {
      const skip = this.#refused.get(served)?.next ?? 0;
      this.#refused.set(served, { skip, next: Math.min(2 * skip + 1, maxSkippedLooks) });
      if (insist || error instanceof NotWrittenOut) throw explainSlowEnd(error, health());
      logger.debug('a mount without holders is still busy', { volume: served.name, error });
    }
  }

  /** Who uses a mount, as the kernel sees it. */
  async usersOf(served: ServedVolume): Promise<readonly string[]> {
    const device = await deviceMountedAt(served.mountpoint);
    if (device === undefined) return [];
    const processes = (await foreignUsers(device, served.mountpoint)).map(({ pid, command }) => `process ${pid} (${command})`);
    return [...processes, ...(await otherPlaces(device, served.mountpoint)).map((place) => `the mount at ${place}`)];
  }

  /** It is wanted again: what was refused before does not matter any more. */
  forget(served: ServedVolume): void {
    this.#refused.delete(served);
  }

  #lookAtIdle(): void {
    const { inTurn, holders, logger } = this.#context;
    for (const served of this.#context.served()) {
      if (served.detached || this.#looking.has(served)) continue;
      const refused = this.#refused.get(served);
      if (refused !== undefined && refused.skip-- > 0) continue;
      this.#looking.add(served);
      inTurn(served.name, async () => {
        // It may have ended meanwhile, and another be in its place.
        if (served.detached || !this.#context.served().includes(served)) return;
        if (holders(served.name).length === 0) await this.close(served);
      })
        .catch((error: unknown) => logger.warn('a mount without holders could not be ended', { volume: served.name, error }))
        .finally(() => this.#looking.delete(served));
    }
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}
