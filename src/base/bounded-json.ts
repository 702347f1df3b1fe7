import { InfinitError } from './errors.ts';

/** Lists and objects within each other; hosts say at most some five to each other. */
const maxDepth = 16;
/** Fields of objects in all, and elements of lists: several times what the largest cluster has to say at once. */
const maxFields = 65_536;
const maxElements = 262_144;
/** Names of fields that differ: objects that are all of another shape take ten times as long as those of a list. The largest object has a field for each host. */
const maxNames = 8192;
/** Backslashes: a text with one is put together letter by letter. */
const maxEscapes = 65_536;

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
  let [depth, fields, elements, escapes, begin, end] = [0, 0, 0, 0, 0, 0];
  const names = new Set<number>();
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at];
    if (byte === quote) {
      begin = at + 1;
      for (end = begin; end < bytes.length && bytes[end] !== quote; end++)
        if (bytes[end] === backslash) {
          escapes++;
          end++;
        }
      at = end;
    } else if (byte === comma) elements++;
    else if (byte === colon) {
      fields++;
      if (names.add(hashOf(bytes, begin, end)).size > maxNames) return false;
      // Looked at once, however many colons follow it.
      begin = end;
    } else if (byte === listBegin || byte === objectBegin) {
      elements++;
      if (++depth > maxDepth) return false;
    } else if (byte === listEnd || byte === objectEnd) depth--;
    if (elements > maxElements || fields > maxFields || escapes > maxEscapes) return false;
  }
  return true;
}

/** Of a name (FNV-1a): two with the same one count once, which who looks for such gains little by. */
function hashOf(bytes: Uint8Array, begin: number, end: number): number {
  let hash = 0x811c9dc5;
  for (let at = begin; at < end; at++) hash = Math.imul(hash ^ bytes[at]!, 0x01000193);
  return hash;
}
