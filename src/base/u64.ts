const two32 = 2 ** 32;

/** Writes an unsigned integer below 2^53 as eight bytes, little-endian. Two halves are several times as fast as a BigInt. */
export function writeU64(into: Buffer, value: number, at: number): void {
  into.writeUInt32LE(value % two32, at);
  into.writeUInt32LE(Math.floor(value / two32), at + 4);
}

/** Reads what {@link writeU64} wrote. */
export function readU64(from: Buffer, at: number): number {
  return from.readUInt32LE(at) + from.readUInt32LE(at + 4) * two32;
}
