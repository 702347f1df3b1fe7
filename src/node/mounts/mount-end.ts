import { setTimeout as sleep } from 'node:timers/promises';

import { InfinitError, type Logger } from '../../base/index.ts';
import type { DeviceEnd } from '../../fuse/index.ts';
import type { DirtySet } from '../volumes/dirty-set.ts';

/** How often, and with what pause, the last changes are tried to be written out before they are given up with an error. */
const closeAttempts = 10;
const closePauseMs = 1000;
/** No attempt begins later than this after the first: one at a store that is out of reach takes a minute, and whoever stops a daemon does not wait for ten. */
const closePatienceMs = 30_000;
/** A mount that stops with its daemon has ended by then, in ms, also where an attempt hangs: with what requests in flight may take that is less than the holder gives a daemon to stop in. */
const stopDeadlineMs = 35_000;

/** What a mount that ends leaves behind. */
export interface EndingMount {
  readonly fileSystem: { close(): Promise<void> };
  readonly set: DirtySet;
  readonly logger: Logger;
  readonly pauseMs?: number;
  readonly patienceMs?: number;
  readonly stopMs?: number;
}

/**
 * Writes everything out once a mount's session is over; a store that cannot take it now is given time. Returns why the mount ended.
 * @throws InfinitError where not everything is out and nobody can go on with the mount. One that stops with its daemon does go on: it must not be worse off
 * than with a daemon that was killed, so the next one goes on with what it finds in memory, or says what is lost to the programs whose it was.
 */
export async function endMount(
  end: DeviceEnd,
  { fileSystem, set, logger, pauseMs = closePauseMs, patienceMs = closePatienceMs, stopMs = stopDeadlineMs }: EndingMount,
): Promise<string> {
  const deadline = performance.now() + patienceMs;
  const over = end === 'stopped' ? [refuseAfter(stopMs)] : [];
  for (let attempt = 1; ; attempt++) {
    try {
      await Promise.race([fileSystem.close(), ...over]);
      break;
    } catch (error) {
      if (attempt < closeAttempts && performance.now() + pauseMs < deadline) {
        logger.warn('the last changes could not be written out; trying again', { attempt, error });
        await sleep(pauseMs);
        continue;
      }
      if (end !== 'stopped') throw error;
      logger.error('the last changes could not be written out; the next daemon has them where their log is whole, and else tells programs of it', {
        error,
      });
      set.leave();
      return end;
    }
  }
  set.close(end !== 'stopped');
  return typeof end === 'string' ? end : `errno ${end.errno}`;
}

async function refuseAfter(ms: number): Promise<never> {
  await sleep(ms, undefined, { ref: false });
  throw new InfinitError('deadline-exceeded', `the store took more than ${ms / 1000} s`);
}
