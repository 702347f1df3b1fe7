import { InfinitError } from '../base/index.ts';

/** Fewer, and `docker run -v` takes the name for a drive's letter: the container gets an unnamed volume, and nobody is told. */
const minNameLength = 2;
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

/** As {@link checkVolumeName}, of a name that is to be given. @throws InfinitError `bad-argument`. */
export function checkNewVolumeName(name: unknown): asserts name is string {
  checkVolumeName(name);
  if (name.length < minNameLength)
    throw new InfinitError(
      'bad-argument',
      `"${name}" is too short for a volume: of \`docker run -v ${name}:/dir\` Docker would take it for a drive's letter; at least ${minNameLength} characters are wanted`,
    );
}
