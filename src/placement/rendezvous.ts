/**
 * Weighted rendezvous hashing (Thaler & Ravishankar 1998; the weights as in Schindelhauer & Schomaker 2005): each host draws
 * a lot for each address, −ln(u) / capacity with u in (0, 1) from a hash of both; the smallest lots win. A host then holds
 * its share of the capacity, and its coming or going changes no other host's lot.
 */

/** Two independent 32-bit hashes of a text of any length, mixed cheaply. */
export interface TextHash {
  readonly high: number;
  readonly low: number;
}

/** Not cryptographic: whoever chooses addresses can choose their hosts in any scheme that everyone can compute. */
export function hashText(text: string): TextHash {
  let [high, low] = [0x243f6a88, 0x9e3779b1];
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    high = Math.imul(high ^ code, 0x85ebca77);
    low = Math.imul(low ^ code, 0xc2b2ae3d) ^ (high >>> 17);
  }
  return { high: mix(high ^ (low >>> 13)), low: mix(low ^ (high >>> 11)) };
}

/** The lot of a host (its two hash words) for an address (likewise), before its capacity counts: exponentially distributed. */
export function lot(address: TextHash, memberHigh: number, memberLow: number): number {
  const first = mix(address.high ^ memberHigh);
  const second = mix((first + (address.low ^ memberLow)) | 0);
  return minusLogOf(second >>> 0);
}

/** The finaliser of MurmurHash3: every bit of the input sways every bit of the output. */
function mix(word: number): number {
  let mixed = Math.imul(word ^ (word >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return mixed ^ (mixed >>> 16);
}

/** 2^(index − 1). */
const powers = Array.from({ length: 34 }).reduce<number[]>((all) => [...all, (all.at(-1) ?? 0.25) * 2], []);

/**
 * −ln((word + ½) / 2³²). The language leaves the last bits of Math.log to the engine, and two hosts that differ in one bit may
 * place a block differently: hence only additions, multiplications and divisions, which IEEE 754 defines to the bit.
 */
export function minusLogOf(word: number): number {
  let exponent = 31 - Math.clz32(word);
  let mantissa = (word + 0.5) / powers[exponent + 1]!;
  if (mantissa > Math.SQRT2) {
    mantissa /= 2;
    exponent++;
  }
  const ratio = (mantissa - 1) / (mantissa + 1);
  const square = ratio * ratio;
  // ln(m) = 2 (r + r³/3 + r⁵/5 + …) with |r| < 0.172: the terms left out are under 1e-14.
  const series = 1 + square * (1 / 3 + square * (1 / 5 + square * (1 / 7 + square * (1 / 9 + square * (1 / 11 + square * (1 / 13 + square / 15))))));
  return (32 - exponent) * Math.LN2 - 2 * ratio * series;
}
