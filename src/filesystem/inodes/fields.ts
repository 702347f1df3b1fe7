import type { FileTime } from '../file-system.ts';

const two32 = 2 ** 32;

/** Writes 12 bytes: seconds as i64, which may be negative, and nanoseconds as u32. */
export function writeTime(into: Buffer, time: FileTime, at: number): void {
  // Two's complement over 64 bits, by halves: seconds may be negative.
  into.writeInt32LE(Math.floor(time.seconds / two32), at + 4);
  into.writeUInt32LE(time.seconds - Math.floor(time.seconds / two32) * two32, at);
  into.writeUInt32LE(time.nanoseconds, at + 8);
}

/** Reads what {@link writeTime} wrote. */
export function readTime(from: Buffer, at: number): FileTime {
  return { seconds: from.readInt32LE(at + 4) * two32 + from.readUInt32LE(at), nanoseconds: from.readUInt32LE(at + 8) };
}
