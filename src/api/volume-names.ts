import { InfinitError } from '../base/index.ts';

/** Bytes in a volume's name: it is also a directory's name below the mount directory. */
export const maxNameLength = 255;

const allowed = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;

/**
 * The rule of Docker's own local driver, which users know; the engine itself checks nothing for other drivers, and was seen to ask for "".
 * The first character rules out "." and "..", the alphabet "/" and NUL.
 * @throws InfinitError `bad-argument` that says what is allowed.
 */
export function checkVolumeName(name: unknown): asserts name is string {
  if (name === '' || name === undefined) throw new InfinitError('bad-argument', 'a volume needs a name');
  if (typeof name !== 'string')
    throw new InfinitError('bad-argument', `a volume's name must be a string, not ${name === null ? 'null' : typeof name}`);
  if (name.length > maxNameLength) {
    throw new InfinitError(
      'bad-argument',
      `the volume name "${name.slice(0, 32)}…" has ${name.length} characters: at most ${maxNameLength} are allowed`,
    );
  }
  if (!allowed.test(name)) {
    throw new InfinitError(
      'bad-argument',
      `${JSON.stringify(name)} is no volume name: letters, digits, "_", "." and "-" are allowed, and it begins with a letter or a digit`,
    );
  }
}
