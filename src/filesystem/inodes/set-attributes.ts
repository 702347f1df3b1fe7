import type { VolumeCore } from '../core.ts';
import type { AttributeChanges, FileTime } from '../file-system.ts';
import type { Inode } from './inode.ts';
import { changeMode, killPrivileges } from './xattrs.ts';

/** What chmod, chown and utimens ask for; the size is dealt with before. */
export function changeAttributes(core: VolumeCore, inode: Inode, changes: AttributeChanges): void {
  const now = core.context.clock.now();
  const time = (wanted: FileTime | 'now'): FileTime => (wanted === 'now' ? now : wanted);
  if (changes.uid !== undefined || changes.gid !== undefined) {
    // The kernel leaves it to the file system (FUSE_HANDLE_KILLPRIV_V2): a change of owner ends what the old one granted.
    if (!inode.isDirectory) killPrivileges(inode);
    inode.uid = changes.uid ?? inode.uid;
    inode.gid = changes.gid ?? inode.gid;
  }
  if (changes.killPrivileges === true) killPrivileges(inode);
  if (changes.mode !== undefined) changeMode(inode, changes.mode);
  if (changes.accessed !== undefined) inode.accessed = time(changes.accessed);
  if (changes.modified !== undefined) inode.modified = time(changes.modified);
  // The kernel has its own where it may cache, and so has another host that wrote the file in its memory.
  if (changes.changed === undefined) inode.stamp(now);
  else inode.changed = changes.changed;
  core.touch(inode);
}
