import { RecentMap } from '../../base/index.ts';
import { type FileLock, type LockOwner, unlockAll } from '../file-system.ts';
import type { Volume } from '../volume.ts';
import type { CallTag, SharedMethod } from './calls.ts';
import { LookedUp } from './looked-up.ts';
import { Outcomes } from './outcomes.ts';

/** Askers of one other host whose calls' outcomes are remembered: the kernel, this process, and a few before. */
const maxAskers = 8;

export interface GuestHandle {
  readonly inode: number;
  readonly directory: boolean;
}

/** What another host has open and locked here. */
export class Guest {
  readonly handles = new Map<number, GuestHandle>();
  /** Every (inode, owner) that took a lock and did not close the file since; a release of none is harmless. */
  readonly owners = new Map<string, { readonly inode: number; readonly kind: FileLock['kind']; readonly owner: LockOwner }>();
  /** Where its programs have the volume mounted, once it has said so. */
  mount: string | undefined;
  /** Which of its daemons greeted last. */
  process: string | undefined;
  /** What was taken again since it was let in, or has greeted, by owner: what a process before took that was killed before it had said that this is all, the next one may not have. */
  again = new Map<string, FileLock[]>();
  /** Calls of another one were asked before the host was let in here, or before it knew that it was given up; undefined: it is of an earlier version. */
  term: string | undefined;
  /** Ends its waits for locks, and whatever else of it is not done yet. */
  readonly gone = new AbortController();
  /** And those of the process that asks now. */
  waits = new AbortController();
  /** Its handles were closed: what is opened for it from now on is closed at once. */
  closed = false;
  /** By asker. */
  readonly outcomes: RecentMap<string, Outcomes>;
  readonly lookedUp: LookedUp;

  /** @param outcomes of before it was given up. */
  constructor(expect: Volume['expect'], outcomes = new RecentMap<string, Outcomes>(maxAskers)) {
    this.lookedUp = new LookedUp(expect);
    this.outcomes = outcomes;
  }

  /** Nobody waits any more who did: another process asks from now on. */
  endWaits(): void {
    this.waits.abort();
    this.waits = new AbortController();
  }

  outcomesOf({ asker }: CallTag): Outcomes {
    let outcomes = this.outcomes.get(asker);
    if (outcomes === undefined) this.outcomes.set(asker, (outcomes = new Outcomes()));
    return outcomes;
  }
}

/** What was done once is not done again; it is made durable again, since that may be what failed. */
export function once<T>(
  guest: Guest,
  method: SharedMethod,
  tag: CallTag | undefined,
  perform: () => Promise<T>,
  opening = false,
  earlier?: () => (() => Promise<T>) | undefined,
): Promise<T> {
  return tag === undefined ? perform() : guest.outcomesOf(tag).once(method, tag, perform, opening, earlier);
}

/** Notes what a call opened, closed or locked. */
export function account(guest: Guest, method: SharedMethod, args: readonly unknown[], result: unknown): void {
  const inode = args[0] as number;
  switch (method) {
    case 'open':
    case 'opendir':
      guest.handles.set(result as number, { inode, directory: method === 'opendir' });
      break;
    case 'create':
    case 'tmpfile': {
      const { attributes, handle } = result as { attributes: { inode: number }; handle: number };
      guest.handles.set(handle, { inode: attributes.inode, directory: false });
      break;
    }
    case 'release':
    case 'releasedir':
      guest.handles.delete(args[1] as number);
      if (args[2] !== undefined) guest.owners.delete(ownerKey(inode, 'flock', args[2] as string));
      break;
    case 'flush':
      guest.owners.delete(ownerKey(inode, 'posix', args[2] as string));
      break;
  }
}

export function ownerKey(inode: number, kind: FileLock['kind'], owner: LockOwner): string {
  return `${inode} ${kind} ${owner}`;
}

/** What a guest's calls open and lock at the volume. */
type Lockable = Pick<Volume, 'release' | 'releasedir' | 'setlk'>;

/** What it holds is free for others. */
export async function unlock(volume: Lockable, guest: Guest): Promise<void> {
  const owners = [...guest.owners.values()];
  guest.owners.clear();
  for (const { inode, kind, owner } of owners) await volume.setlk(inode, unlockAll(kind, owner), false);
}

/** It is gone. A second time where something was opened or locked for it meanwhile. */
export async function letGo(volume: Lockable, guest: Guest): Promise<void> {
  guest.lookedUp.close();
  await unlock(volume, guest);
  const handles = [...guest.handles];
  guest.handles.clear();
  for (const [handle, known] of handles) await close(volume, handle, known);
}

/** Whoever is told that an opening failed closes nothing. */
export async function closeAgain(volume: Lockable, guest: Guest, method: SharedMethod, tag: CallTag | undefined, result: unknown): Promise<void> {
  const handle = typeof result === 'number' ? result : (result as { handle: number }).handle;
  const known = guest.handles.get(handle);
  if (known === undefined) return;
  guest.handles.delete(handle);
  if (tag !== undefined) guest.outcomesOf(tag).close(method, tag);
  await close(volume, handle, known);
}

async function close(volume: Lockable, handle: number, { inode, directory }: GuestHandle): Promise<void> {
  if (directory) await volume.releasedir(inode, handle);
  else await volume.release(inode, handle);
}
