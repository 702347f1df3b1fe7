import type { FileLock } from '../../filesystem/index.ts';
import type { Encode, Operation } from '../exchange.ts';
import { maxLockWaits } from '../in-flight.ts';
import { decodeInterrupt, decodeLock } from '../wire/index.ts';
import { encodeNothing } from './names.ts';

const ENOLCK = 37;

const encodeLock: Encode<FileLock | undefined> = ({ reply }, lock) => reply.putLock(lock);

export const getlk: Operation = (exchange, header, message) =>
  exchange.answer(header, exchange.fileSystem.getlk(header.node, decodeLock(message).lock), encodeLock);

/** fcntl with F_SETLK and flock with LOCK_NB: an answer at once. */
export const setlk: Operation = (exchange, header, message) => {
  const { lock, handle } = decodeLock(message);
  exchange.lockOwners.locked(header.node, handle, lock);
  exchange.answer(header, exchange.fileSystem.setlk(header.node, lock, false), encodeNothing);
};

/** Waits for as long as the caller likes: any signal ends it, a deadline does not. */
export const setlkw: Operation = (exchange, header, message) => {
  if (exchange.inFlight.lockWaits >= maxLockWaits) return exchange.refuse(header, ENOLCK);
  const { lock, handle } = decodeLock(message);
  exchange.lockOwners.locked(header.node, handle, lock);
  const inode = header.node;
  const abort = new AbortController();
  const taken = exchange.fileSystem.setlk(inode, lock, true, abort.signal);
  const giveBack = (): void => exchange.aside(inode, () => exchange.fileSystem.setlk(inode, { ...lock, type: 'unlock' }, false));
  exchange.answer(header, taken, encodeNothing, giveBack, abort);
};

export const interrupt: Operation = (exchange, _header, message) => {
  const { uniqueLow, uniqueHigh } = decodeInterrupt(message);
  exchange.inFlight.interrupt(uniqueLow, uniqueHigh);
};
