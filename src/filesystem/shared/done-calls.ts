import type { DoneCall } from '../journal/call-table.ts';
import type { ExchangeRequest, FileSystem, MaybePromise } from '../file-system.ts';
import type { Volume } from '../volume.ts';
import type { SharedMethod } from './calls.ts';

/** Methods of which the volume itself says whether they were done, whichever host did them: all that change names. */
export const recorded: ReadonlySet<SharedMethod> = new Set(['symlink', 'mknod', 'mkdir', 'unlink', 'rmdir', 'rename', 'link', 'create', 'remake']);

/** Whether it changes an inode beside names and must not be done twice: the inode says of the last such call of each host that it was done. */
export function includes(method: SharedMethod, args: readonly unknown[]): boolean {
  return method === 'append' || method === 'removexattr' || (method === 'setxattr' && args[3] !== 0);
}

/** Whether the volume says in one of these ways that it was done. */
export function isRecorded(method: SharedMethod, args: readonly unknown[]): boolean {
  return recorded.has(method) || includes(method, args);
}

/** What a call that the inode includes, and that was done before, is answered with. */
export function answerIncluded(method: SharedMethod, args: readonly unknown[]): number | undefined {
  return method === 'append' ? (args[2] as Uint8Array).length : undefined;
}

/** The kernel's request to exchange two names, or to rename and leave a whiteout, of which the volume that is open here is told besides. It must not be done twice, and what it meets says nothing. */
export function exchangeOf(method: SharedMethod, args: readonly unknown[]): ExchangeRequest | undefined {
  return method === 'rename' ? (args[requestAt] as ExchangeRequest | undefined) : undefined;
}

/** Whether such a call, made a second time, meets what it did the first time, so that its answer tells: a name that is there, or is gone. An append meets nothing of itself, and an exchange undoes itself. */
export function meetsItself(method: SharedMethod, args: readonly unknown[]): boolean {
  return method !== 'append' && exchangeOf(method, args) === undefined;
}

/** The same arguments, for a call that was not done before. */
export function asNew(method: SharedMethod, args: readonly unknown[]): readonly unknown[] {
  const exchange = exchangeOf(method, args);
  return exchange === undefined ? args : [...args.slice(0, requestAt), { ...exchange, again: false }];
}

/** What another host is told of them: calls have names there. */
export function toldOf(method: SharedMethod, args: readonly unknown[]): readonly unknown[] {
  return method === 'rename' ? args.slice(0, requestAt) : args;
}

/** Where {@link FileSystem.rename} takes it. */
const requestAt = 5;

/** Of these, those that may take a name which a file had that is to be made again, or its directory. */
export const takesNames: ReadonlySet<SharedMethod> = new Set(['symlink', 'mknod', 'mkdir', 'rmdir', 'rename', 'link', 'create']);

/** What must not be done twice when a file is opened again: O_CREAT, O_EXCL, O_TRUNC. */
export const reopenMask: number = ~(0o100 | 0o200 | 0o1000);

/** A volume that says which calls were done. */
export type Answering = FileSystem & Pick<Volume, 'entry'>;

/** What a call that was done before is answered with. @throws FileSystemError ESTALE where what it made is gone since */
export function answerOf(volume: Answering, method: SharedMethod, args: readonly unknown[], { inode }: DoneCall): MaybePromise<unknown> {
  if (method === 'unlink' || method === 'rmdir' || method === 'rename') return undefined;
  return method === 'create' ? openMade(volume, inode, args[4] as number) : volume.entry(inode);
}

async function openMade(volume: Answering, inode: number, flags: number): Promise<unknown> {
  const handle = await volume.open(inode, flags & reopenMask);
  return { attributes: await volume.entry(inode), handle, made: true };
}
