import { hash } from 'node:crypto';

/** Cookies below are ".", ".." and the start of a listing. */
export const firstPosition = 8;

/** The state of HalfSipHash; module state is safe, since a computation never suspends. */
let v0 = 0;
let v1 = 0;
let v2 = 0;
let v3 = 0;

function scramble(rounds: number): void {
  for (let round = 0; round < rounds; round++) {
    v0 = (v0 + v1) | 0;
    v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
    v0 = (v0 << 16) | (v0 >>> 16);
    v2 = (v2 + v3) | 0;
    v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
    v0 = (v0 + v3) | 0;
    v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
    v2 = (v2 + v1) | 0;
    v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
    v2 = (v2 << 16) | (v2 >>> 16);
  }
}

function absorb(word: number): void {
  v3 ^= word;
  scramble(2);
  v0 ^= word;
}

/**
 * Where a name lies in its directory: a keyed 52-bit hash, so that a position is an exact JavaScript integer and a readdir cookie.
 * HalfSipHash-2-4 (Aumasson, Bernstein 2012; 32-bit words): synchronous, no allocation, and nobody without the key can choose names that collide.
 */
export class NameHash {
  readonly #k0: number;
  readonly #k1: number;

  /** @param volumeId hex; both halves of the key derive from it. */
  constructor(volumeId: string) {
    const key = hash('sha256', `infinit directory ${volumeId}`, 'buffer');
    this.#k0 = key.readInt32LE(0);
    this.#k1 = key.readInt32LE(4);
  }

  /** In [{@link firstPosition}, 2^52). `name` is one character a byte. */
  of(name: string): number {
    v0 = this.#k0;
    v1 = this.#k1 ^ 0xee;
    v2 = this.#k0 ^ 0x6c796765;
    v3 = this.#k1 ^ 0x74656462;
    const { length } = name;
    const whole = length & ~3;
    for (let i = 0; i < whole; i += 4)
      absorb(name.charCodeAt(i) | (name.charCodeAt(i + 1) << 8) | (name.charCodeAt(i + 2) << 16) | (name.charCodeAt(i + 3) << 24));
    let last = length << 24;
    for (let i = whole; i < length; i++) last |= name.charCodeAt(i) << (8 * (i - whole));
    absorb(last);
    v2 ^= 0xee;
    scramble(4);
    const low = (v1 ^ v3) >>> 0;
    v1 ^= 0xdd;
    scramble(4);
    const high = (v1 ^ v3) & 0xfffff;
    const position = high * 2 ** 32 + low;
    return position < firstPosition ? position + firstPosition : position;
  }
}
