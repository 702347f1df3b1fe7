import { codeOf } from '../../base/index.ts';
import type { Attributes } from '../file-system.ts';
import type { Written } from '../inodes/written.ts';
import { decodeAnswer, Dismissed, type SharedMethod } from './calls.ts';
import type { Backing } from './backing.ts';
import type { HolderLink } from './holder-link.ts';
import { pause, retryMs } from './repeating.ts';

/** The host that serves the volume, as who has something to say before anything else is asked of it. */
export interface SayTarget {
  attributes(inode: number): Promise<Attributes>;
  put(inode: number, loan: string, written: Written, back: boolean): Promise<unknown>;
}

/** Asks whoever has the volume, while others' questions wait. */
export function sayingTo(holder: HolderLink, backing: Backing): SayTarget {
  if (backing.kind === 'local') {
    const { volume, lending } = backing;
    return {
      attributes: async (inode) => volume.getattr(inode),
      put: async (inode, loan, written, back) => lending!.put(inode, loan, written, back),
    };
  }
  let forgotten = false;
  let dismissals = 0;
  const ask = async <T>(method: SharedMethod, args: readonly unknown[]): Promise<T> => {
    try {
      return decodeAnswer(await holder.ask(backing, method, args)).value as T;
    } catch (error) {
      // It is being greeted at this moment, or has given this host up.
      if (error instanceof Dismissed) await (dismissals++ === 0 ? pause(retryMs) : holder.rejoin(backing).catch(() => {}));
      throw error;
    }
  };
  return {
    attributes: async (inode) => {
      // What the process before had borrowed is not asked back: nobody would say more than this. One of an earlier version knows nothing of that.
      if (!forgotten)
        await ask('renew', [true]).catch((error: unknown) => {
          if (codeOf(error) !== 'bad-argument') throw error;
        });
      forgotten = true;
      return ask('getattr', [inode]);
    },
    put: (...args) => ask('put', args),
  };
}
