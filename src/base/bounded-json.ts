import { InfinitError } from './errors.ts';

/** Lists and objects within each other; hosts say at most some five to each other. */
const maxDepth = 16;
/** Fields of objects in all, and elements of lists: several times what the largest cluster has to say at once. */
const maxFields = 65_536;
const maxElements = 262_144;

const [quote, backslash, comma, colon, listBegin, listEnd, objectBegin, objectEnd] = Buffer.from('"\\,:[]{}');

/**
 * JSON that somebody else made. What takes it apart does so in one go, and it is the shape that costs: 5 MiB of lists within lists take two seconds, as many names of fields one, in which
 * nothing else is done. So it is looked at first, which takes some milliseconds.
 * @throws InfinitError `bad-argument` where it is no JSON, or larger than anything that an honest peer says.
 */
export function boundedJson(bytes: Uint8Array): unknown {
  if (!isBounded(bytes)) throw new InfinitError('bad-argument', 'this has more fields, elements or lists within lists than any message');
  try {
    return JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8'));
  } catch (cause) {
    throw new InfinitError('bad-argument', 'this is no JSON', { cause });
  }
}

function isBounded(bytes: Uint8Array): boolean {
  let [depth, fields, elements] = [0, 0, 0];
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at];
    if (byte === quote) at = endOfText(bytes, at + 1);
    else if (byte === comma) elements++;
    else if (byte === colon) fields++;
    else if (byte === listBegin || byte === objectBegin) {
      elements++;
      if (++depth > maxDepth) return false;
    } else if (byte === listEnd || byte === objectEnd) depth--;
    if (elements > maxElements || fields > maxFields) return false;
  }
  return true;
}

/** Where the quotation mark is that ends a text. */
function endOfText(bytes: Uint8Array, from: number): number {
  let at = from;
  while (at < bytes.length && bytes[at] !== quote) at += bytes[at] === backslash ? 2 : 1;
  return at;
}
