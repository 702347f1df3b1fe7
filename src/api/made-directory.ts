import { existsSync, mkdirSync, statSync } from 'node:fs';
import path from 'node:path';

import { InfinitError, plainly } from '../base/index.ts';

/** What a refusal means to whoever named the directory. */
const meanings: Readonly<Record<string, string>> = {
  EEXIST: 'is no directory',
  ENOTDIR: 'is no directory',
  ENOENT: 'cannot be made: there are no directories of one’s own in that file system',
};

/**
 * Makes a directory where there is none, and those above it. Node's own `recursive` tries for ever where the file system has no such file to offer, as in /proc.
 * @returns the uppermost that was made; undefined where all were there.
 * @throws InfinitError `bad-argument`, `denied`.
 */
export function makeDirectory(directory: string, mode = 0o777): string | undefined {
  const place = path.resolve(directory);
  try {
    return make(place, mode);
  } catch (cause) {
    const { code = '' } = cause as NodeJS.ErrnoException;
    if (code === 'EACCES' || code === 'EPERM') throw new InfinitError('denied', `no right to make the directory ${directory}`, { cause });
    throw new InfinitError(
      'bad-argument',
      Object.hasOwn(meanings, code) ? `${directory} ${meanings[code]}` : `the directory ${directory} cannot be made: ${plainly(cause)}`,
      { cause },
    );
  }
}

function make(directory: string, mode: number): string | undefined {
  try {
    mkdirSync(directory, { mode });
    return directory;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST' && statSync(directory).isDirectory()) return undefined;
    const above = path.dirname(directory);
    if (code !== 'ENOENT' || existsSync(above)) throw error;
    const uppermost = make(above, mode);
    const made = make(directory, mode);
    return uppermost ?? made;
  }
}
