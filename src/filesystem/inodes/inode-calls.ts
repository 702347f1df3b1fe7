import { readU64, writeU64 } from '../../base/index.ts';
import { type CallName, isRemembered } from '../journal/call-table.ts';

/** A call of another host that changed an inode and must not be made twice. */
export interface InodeCall extends CallName {
  /** Who made it: its kernel makes the next one of an inode when it has the answer to the last. */
  readonly host: string;
}

/**
 * Calls that changed an inode beside names: appends, and extended attributes where it matters whether they were there. They are named wherever the inode's state is kept that includes what they did, in its record, in
 * the journal of contents and in the redo log: so whoever comes to serve the volume knows which were done. A value, which goes with that state.
 */
export interface InodeCalls {
  /** Of calls that were first made in this memory of the volume (see `CallTable`) some are not named any more; 0: of none, {@link everyMemory}: of any. */
  readonly lost: number;
  /** The last of each host. Those that came first come first. */
  readonly calls: readonly InodeCall[];
}

/** Hosts that are named in one record at the most. */
export const maxInodeCalls = 16;
/** So many are given up together: it does not come to that with each further call. */
const givenUp = maxInodeCalls / 2;
const everyMemory = 2 ** 48;
/** Enough of a host's name to tell it from all others. */
const hostBytes = 16;
const headBytes = 9;

/** With the call that was done just now. @param memory the volume's. */
export function withCall(known: InodeCalls | undefined, { host, asker, number }: InodeCall, memory: number): InodeCalls {
  const { lost, calls } = known ?? { lost: 0, calls: [] };
  const call = { host: host.slice(-hostBytes), asker, number };
  const others = calls.filter((other) => other.host !== call.host);
  if (others.length < maxInodeCalls) return { lost, calls: [...others, call] };
  return { lost: lost === 0 || lost === memory ? memory : everyMemory, calls: [...others.slice(givenUp), call] };
}

/**
 * What came of a call that may have been made before; undefined: nobody knows.
 * @param memory of the volume when it was first made. @param now as it is.
 */
export function outcomeIn(known: InodeCalls | undefined, call: CallName, memory: number, now: number): 'done' | 'not done' | undefined {
  if (known?.calls.some(({ asker, number }) => asker === call.asker && number === call.number) === true) return 'done';
  const lost = known?.lost ?? 0;
  return memory === now && lost !== memory && lost !== everyMemory && isRemembered(call) ? 'not done' : undefined;
}

/** What {@link encodeCalls} takes. */
export function callsBytes(known: InodeCalls | undefined): number {
  return known === undefined ? 0 : known.calls.reduce((sum, { host, asker }) => sum + host.length + asker.length + 10, headBytes);
}

/** `u64 lost, u8 calls, of each: u8 length, host, u8 length, asker, u64 number`, little-endian. */
export function encodeCalls(known: InodeCalls): Buffer {
  const into = Buffer.alloc(callsBytes(known));
  writeU64(into, known.lost, 0);
  into[8] = known.calls.length;
  let at = headBytes;
  const text = (value: string): void => {
    into[at] = value.length;
    into.write(value, at + 1, 'latin1');
    at += 1 + value.length;
  };
  for (const { host, asker, number } of known.calls) {
    text(host);
    text(asker);
    writeU64(into, number, at);
    at += 8;
  }
  return into;
}

/** @throws RangeError where it is cut short. */
export function decodeCalls(body: Uint8Array): InodeCalls {
  const from = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  let at = headBytes;
  const text = (): string => {
    const start = at + 1;
    at = start + from.readUInt8(at);
    return from.toString('latin1', start, at);
  };
  const calls: InodeCall[] = [];
  for (let left = from.readUInt8(8); left > 0; left--, at += 8) {
    const [host, asker] = [text(), text()];
    calls.push({ host, asker, number: readU64(from, at) });
  }
  return { lost: readU64(from, 0), calls };
}
