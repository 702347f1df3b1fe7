import type { FileLock, MaybePromise } from '../../filesystem/index.ts';
import type { Encode, Exchange, Operation } from '../exchange.ts';
import { after } from '../handles.ts';
import { maxLockWaits } from '../in-flight.ts';
import { decodeInterrupt, decodeLock, type RequestHeader } from '../wire/index.ts';
import { encodeNothing } from './names.ts';

const ENOLCK = 37;

const encodeLock: Encode<FileLock | undefined> = ({ reply }, lock) => reply.putLock(lock);

/** Waits until the kernel has no page of the mapped file, those that a program changed written: while it has the lock. */
function withoutPages(exchange: Exchange, header: RequestHeader): MaybePromise<void> {
  const dropped = exchange.trust?.dropMapped(header.node);
  return dropped === undefined ? undefined : exchange.afterKernel(header, dropped);
}

export const getlk: Operation = (exchange, header, message) =>
  exchange.answer(header, exchange.fileSystem.getlk(header.node, decodeLock(message).lock), encodeLock);

/** fcntl with F_SETLK and flock with LOCK_NB: an answer as soon as there is one. */
export const setlk: Operation = (exchange, header, message) => {
  const { lock, handle } = decodeLock(message);
  exchange.lockOwners.locked(header.node, handle, lock);
  if (lock.type === 'unlock') unlock(exchange, header, lock);
  else take(exchange, header, lock, false);
};

function unlock(exchange: Exchange, header: RequestHeader, lock: FileLock): void {
  const unlocked = after(withoutPages(exchange, header), () => exchange.fileSystem.setlk(header.node, lock, false));
  exchange.answer(header, unlocked, encodeNothing);
}

/** Waits for as long as the caller likes: any signal ends it, a deadline does not. */
export const setlkw: Operation = (exchange, header, message) => {
  const { lock, handle } = decodeLock(message);
  // The kernel asks so for an unlock, too, where the program did not say that it will not wait.
  if (lock.type !== 'unlock' && exchange.inFlight.lockWaits >= maxLockWaits) return exchange.refuse(header, ENOLCK);
  exchange.lockOwners.locked(header.node, handle, lock);
  if (lock.type === 'unlock') unlock(exchange, header, lock);
  else take(exchange, header, lock, true);
};

function take(exchange: Exchange, header: RequestHeader, lock: FileLock, wait: boolean): void {
  const inode = header.node;
  const abort = new AbortController();
  const taken = after(exchange.fileSystem.setlk(inode, lock, wait, abort.signal), () => withoutPages(exchange, header));
  // Who was killed meanwhile has closed the file already.
  const giveBack = (): void => exchange.aside(inode, () => exchange.fileSystem.setlk(inode, { ...lock, type: 'unlock' }, false));
  exchange.answer(header, taken, encodeNothing, giveBack, abort, wait);
}

export const interrupt: Operation = (exchange, _header, message) => {
  const { uniqueLow, uniqueHigh } = decodeInterrupt(message);
  exchange.inFlight.interrupt(uniqueLow, uniqueHigh);
};
