/** What a file has to be: its bytes in memory. */
export class Shadow {
  readonly #bytes: Buffer;
  #size = 0;

  /** @param maxBytes The largest size. */
  constructor(maxBytes: number) {
    this.#bytes = Buffer.alloc(maxBytes);
  }

  get size(): number {
    return this.#size;
  }

  /** What a read is to give. */
  at(offset: number, length: number): Buffer {
    return this.#bytes.subarray(Math.min(offset, this.#size), Math.min(offset + length, this.#size));
  }

  write(offset: number, data: Uint8Array): void {
    this.#bytes.set(data, offset);
    this.#size = Math.max(this.#size, offset + data.length);
  }

  zero(offset: number, length: number): void {
    this.#bytes.fill(0, offset, Math.min(offset + length, this.#size));
  }

  /** Beyond the end all is zero, whatever was there before. */
  resize(size: number): void {
    if (size < this.#size) this.#bytes.fill(0, size, this.#size);
    this.#size = size;
  }

  isZero(offset: number, end: number): boolean {
    return this.#bytes.subarray(offset, end).every((byte) => byte === 0);
  }
}

/** What is wrong with bytes that were read at `offset`; undefined: nothing. */
export function difference(found: Uint8Array, wanted: Uint8Array, offset: number): string | undefined {
  if (found.length !== wanted.length) return `${found.length} bytes from ${offset} on, and not ${wanted.length}`;
  if (Buffer.compare(found, wanted) === 0) return undefined;
  const differs = (index: number): boolean => found[index] !== wanted[index];
  const first = found.findIndex((_, index) => differs(index));
  const last = found.findLastIndex((_, index) => differs(index));
  const some = (bytes: Uint8Array): string => Buffer.from(bytes.subarray(first, first + 8)).toString('hex');
  return `from ${offset + first} to ${offset + last} not all is as written: ${some(found)}… and not ${some(wanted)}…`;
}
