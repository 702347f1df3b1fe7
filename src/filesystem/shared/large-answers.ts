import { askedBytes, decodeCall, maxAskedBytes, type SharedMethod } from './calls.ts';

/** Answers below that are no matter. */
const smallAnswerBytes = 64 * 1024;
const [versionTag, arrayTag, textTag] = [0xff, 0x41, 0x22];

/**
 * What the answer to an encoded call may take, where that is much: by the method, since answers to some calls wait for other calls of the same host. A call that is written in another way than
 * {@link encodeCall} does counts for as much as there can be.
 */
export function largeAnswerTo(bytes: Uint8Array): { readonly sort: string; readonly bytes: number } | undefined {
  const method = methodIn(bytes);
  if (method === undefined) return { sort: '', bytes: maxAskedBytes };
  if (!Object.hasOwn(askedBytes, method)) return undefined;
  try {
    const asked = askedBytes[method as SharedMethod]!(decodeCall(bytes).args);
    return asked > smallAnswerBytes ? { sort: method, bytes: asked } : undefined;
  } catch {
    // It is refused as soon as it is served.
    return undefined;
  }
}

/** The name with which a call begins, without taking all of it apart: a write has a mebibyte behind that. */
function methodIn(bytes: Uint8Array): string | undefined {
  if (bytes[0] !== versionTag || bytes[2] !== arrayTag) return undefined;
  // The array, or with a tag the one in it; both are short.
  const at = bytes[4] === arrayTag ? 6 : 4;
  const length = bytes[at + 1] ?? 0;
  return bytes[at] === textTag && length < 0x80 ? Buffer.from(bytes.subarray(at + 2, at + 2 + length)).toString('latin1') : undefined;
}
