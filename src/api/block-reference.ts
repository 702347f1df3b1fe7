import { InfinitError } from '../base/index.ts';
import { type Address, isAddress, namedAddress } from '../block/index.ts';

/** The owner that programs' named blocks are named under: no name of theirs meets a block of a volume or of the system. */
const namespace = 'infinit programs';

/** Bytes in the name of a named block. */
export const maxBlockNameBytes = 512;

/** The owner tag of all blocks of programs: 16 bytes where others carry a volume's id. By it the store refuses to let a program touch a volume. */
export const programOwner: Uint8Array = Buffer.from(namespace);

/**
 * The address of a named block: the same for everybody who says the same name.
 * @throws InfinitError `bad-argument` where the name is empty, too long or no well-formed text.
 */
export function addressOfName(name: string): Address {
  const bytes = Buffer.byteLength(name);
  // Half of a character has no bytes of its own: all names that differ in such halves alone would be one.
  if (!name.isWellFormed())
    throw new InfinitError('bad-argument', `the name of a block is no well-formed text: ${JSON.stringify(name.slice(0, 32))}`);
  if (bytes === 0 || bytes > maxBlockNameBytes)
    throw new InfinitError('bad-argument', `the name of a block has 1 to ${maxBlockNameBytes} bytes, not ${bytes}`);
  return namedAddress(namespace, name);
}

/** The address in what a person or program gives: 64 hex digits, or `@NAME`. @throws InfinitError `bad-argument`. */
export function resolveBlock(reference: string): Address {
  if (reference.startsWith('@')) return addressOfName(reference.slice(1));
  if (isAddress(reference)) return reference;
  const what = 'neither a block address (64 hex digits, the first two 10 to 13) nor a named block, which is @NAME';
  throw new InfinitError('bad-argument', `"${reference.slice(0, 80)}" is ${what}`);
}
