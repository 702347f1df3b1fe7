/** Values within each other; those of calls and answers are some eight. */
const maxDepth = 32;

/** The first version of the format in which all is written as it is now. */
const leastVersion = 13;
const doubleBytes = 8;
const tagOf = (text: string): number => text.charCodeAt(0);
const tagsOf = (text: string): ReadonlySet<number> => new Set(Buffer.from(text));
const [version, padding, reference] = [0xff, 0, tagOf('^')];
const [objectBegin, objectEnd] = [tagOf('o'), tagOf('{')];
const [denseBegin, denseEnd, sparseBegin, sparseEnd] = [tagOf('A'), tagOf('$'), tagOf('a'), tagOf('@')];
const bytesOfNode = tagOf('\\');
/** Tags that say all: undefined, null, true, false, and no element. */
const bare = tagsOf('_0TF-');
const integers = tagsOf('IU');
const doubles = tagsOf('ND');
const texts = tagsOf('"cS');

/**
 * Whether V8 may take these bytes of another host apart. It makes room for an array as soon as it has read how long that is to be: 18 bytes took 240 MiB, and some hundred, of several arrays, the process's life, as
 * V8 ends it where there is no memory. All arrays of a message together are no longer than that has bytes here, of which each element takes one at the least; and what no call or answer has in it is refused.
 */
export function isBoundedSerial(bytes: Uint8Array): boolean {
  const walk = new Walk(bytes);
  return walk.header() && walk.value(0);
}

class Walk {
  readonly #bytes: Uint8Array;
  #at = 0;
  /** Elements that further arrays may have. */
  #elements: number;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#elements = bytes.length;
  }

  header(): boolean {
    return this.#tag() === version && this.#number() >= leastVersion;
  }

  value(depth: number): boolean {
    const tag = this.#tag();
    if (bare.has(tag)) return true;
    if (integers.has(tag) || tag === reference) return this.#number() >= 0;
    if (doubles.has(tag)) return this.#skip(doubleBytes);
    if (texts.has(tag)) return this.#skip(this.#number());
    // Which kind of bytes, and how many.
    if (tag === bytesOfNode) return this.#number() >= 0 && this.#skip(this.#number());
    if (depth >= maxDepth) return false;
    if (tag === objectBegin) return this.#fields(objectEnd, 1, depth);
    if (tag === sparseBegin) return this.#array() >= 0 && this.#fields(sparseEnd, 2, depth);
    return tag === denseBegin && this.#dense(depth);
  }

  #dense(depth: number): boolean {
    for (let left = this.#array(); left !== 0; left--) if (left < 0 || !this.value(depth + 1)) return false;
    return this.#fields(denseEnd, 2, depth);
  }

  /** The length of an array; below 0: it is too long. */
  #array(): number {
    const length = this.#number();
    this.#elements -= length;
    return this.#elements < 0 ? -1 : length;
  }

  /** Names and values up to a tag, with so many numbers behind that. */
  #fields(end: number, numbers: number, depth: number): boolean {
    while (this.#peek() !== end) if (!this.value(depth + 1) || !this.value(depth + 1)) return false;
    this.#at++;
    for (let left = numbers; left > 0; left--) if (this.#number() < 0) return false;
    return true;
  }

  #skip(bytes: number): boolean {
    if (bytes < 0 || bytes > this.#bytes.length - this.#at) return false;
    this.#at += bytes;
    return true;
  }

  #tag(): number {
    const tag = this.#peek();
    this.#at++;
    return tag;
  }

  /** Below 0 at the end. */
  #peek(): number {
    while (this.#bytes[this.#at] === padding) this.#at++;
    return this.#bytes[this.#at] ?? -1;
  }

  /** Seven bits a byte, the lowest first; below 0 where there is none. */
  #number(): number {
    let value = 0;
    for (let scale = 1; scale < 2 ** 35; scale *= 128) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined) return -1;
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
    return -1;
  }
}
