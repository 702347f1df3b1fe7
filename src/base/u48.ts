const bytes = 6;

/** The largest number of six bytes. */
export const maxU48 = 2 ** (8 * bytes) - 1;

/** Writes a whole number up to {@link maxU48} as six bytes, little-endian. Without a view of the array: one of a small array has V8 move it out of its heap first. */
export function writeU48(into: Uint8Array, value: number, at: number): void {
  let rest = value;
  for (let end = at + bytes, place = at; place < end; place++) {
    into[place] = rest % 0x100;
    rest = Math.floor(rest / 0x100);
  }
}

/** Reads what {@link writeU48} wrote. */
export function readU48(from: Uint8Array, at: number): number {
  let value = 0;
  for (let place = at + bytes - 1; place >= at; place--) value = value * 0x100 + from[place]!;
  return value;
}
