import { readFileSync, statSync } from 'node:fs';
import path from 'node:path';

/** A file in the root of a copy of the project that is no clone, as the managed plugin's: it says which commit that is. */
export const commitFile = 'commit';

/** The commit that is checked out in a clone, or that a copy of one was made of; undefined where nobody knows. What was changed and not committed does not show. */
export function checkedOut(root: string): string | undefined {
  const commit = read(root, commitFile) ?? headOf(root);
  return commit !== undefined && /^[0-9a-f]{40,64}$/.test(commit) ? commit : undefined;
}

/** As gitrepository-layout(5) has it, since there may be no git: a work tree of another clone has a file `.git`, and its branches are that one's. */
function headOf(root: string): string | undefined {
  const link = path.join(root, '.git');
  const stat = statSync(link, { throwIfNoEntry: false });
  if (stat === undefined) return undefined;
  const own = stat.isDirectory() ? link : path.resolve(root, (read(root, '.git') ?? '').replace(/^gitdir: /, ''));
  const common = path.resolve(own, read(own, 'commondir') ?? '.');
  const head = read(own, 'HEAD');
  if (head?.startsWith('ref: ') !== true) return head;
  const branch = head.slice('ref: '.length);
  const packed = (): string | undefined =>
    read(common, 'packed-refs')
      ?.split('\n')
      .find((line) => line.endsWith(` ${branch}`))
      ?.split(' ')[0];
  return read(common, branch) ?? packed();
}

function read(directory: string, name: string): string | undefined {
  try {
    return readFileSync(path.join(directory, name), 'utf8').trim();
  } catch {
    return undefined;
  }
}
