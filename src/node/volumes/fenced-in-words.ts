import { readFileSync } from 'node:fs';

import type { LostLocksNotice } from '../../filesystem/index.ts';

/** Why nothing on a volume can be changed from this host, and what to do about it, for people. */
export function fencedInWords(name: string, mountpoint: string, { files, examples, processes }: LostLocksNotice): string {
  const which = examples.map((inode) => `-inum ${inode}`).join(' -o ');
  const who = processes.length === 0 ? 'a program of this host' : `process ${processes.map(named).join(', ')} of this host`;
  return (
    `another host's program has had what ${who} had locked on volume "${name}" (${files} ${files === 1 ? 'file' : 'files'}), since this host was not heard for a while: ` +
    `until that is given back, or closed, whatever changes the volume from here fails (EIO): start again what goes on asking, and end what does not notice ` +
    `(find ${mountpoint} ${which} says which ${files === 1 ? 'file it is' : 'files they are'})`
  );
}

/** The number is that of this machine's first namespace of processes, or nobody's by now. */
function named(pid: number): string {
  try {
    return `${pid} (${readFileSync(`/proc/${pid}/comm`, 'utf8').trim()})`;
  } catch {
    return String(pid);
  }
}
