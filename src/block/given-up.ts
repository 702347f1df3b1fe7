/** Byte 0 of a sealed block is its format, which is not 0; what is written as text begins with no such byte either. */
const mark = Buffer.from('\0given up\0', 'latin1');

/** Who gave a block up, and when. */
export interface GivenUp {
  readonly by: string;
  /** ISO 8601, by the clock of the host that did it. */
  readonly at: string;
}

/** What takes the place of a mutable block's payload once a person gave the block up: all its hosts are lost (docs/consensus.md, “Giving up”). */
export function givenUpPayload(givenUp: GivenUp): Uint8Array {
  return Buffer.concat([mark, Buffer.from(JSON.stringify({ by: givenUp.by, at: givenUp.at }))]);
}

/** Whether these bytes say that the block was given up. */
export function isGivenUp(payload: Uint8Array | null): boolean {
  return payload !== null && payload.length >= mark.length && payload[0] === 0 && mark.every((byte, at) => payload[at] === byte);
}

/** Who gave the block up, and when; undefined: it was not given up, or does not say. */
export function readGivenUp(payload: Uint8Array | null): GivenUp | undefined {
  if (payload === null || !isGivenUp(payload)) return undefined;
  try {
    const { by, at } = JSON.parse(Buffer.from(payload.subarray(mark.length)).toString('utf8')) as Partial<GivenUp>;
    return typeof by === 'string' && typeof at === 'string' ? { by, at } : undefined;
  } catch {
    return undefined;
  }
}
