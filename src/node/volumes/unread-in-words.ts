import type { UnreadNotice } from '../../filesystem/index.ts';

/** Files of a volume that cannot be read for now, and what to do about it, for people. */
export function unreadInWords(name: string, mountpoint: string, { inodes, held, examples, reason }: UnreadNotice): string {
  const many = inodes !== 1;
  const which = examples.map((inode) => `-inum ${inode}`).join(' -o ');
  const what = `${inodes} ${many ? 'files or directories' : 'file or directory'} of volume "${name}" cannot be read`;
  const left = held === 0 ? '' : `; of ${held} a killed daemon left in memory what is on no disk yet`;
  return (
    `${what}: ${reason}${left}. Asking for ${many ? 'them' : 'it'} fails, all else goes on, and ${many ? 'each comes' : 'it comes'} back with the hosts of its record: bring those back, or see ` +
    `"infinit salvage" where they are lost for good (find ${mountpoint} ${which} says which)`
  );
}
