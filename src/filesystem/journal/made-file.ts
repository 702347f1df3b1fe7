import type { Attributes, Caller } from '../file-system.ts';

/** A new file that the host which made it answered before it was durable: what is needed to make the same once more, elsewhere. */
export interface MadeFile {
  readonly inode: number;
  readonly parent: number;
  /** Empty: it has none (O_TMPFILE). */
  readonly name: string;
  /** As it was asked for: a default ACL counts for what the umask does not. */
  readonly mode: number;
  readonly umask: number;
  readonly caller: Caller;
  /** As the program was told that it is. */
  readonly attributes: Pick<Attributes, 'mode' | 'uid' | 'gid' | 'accessed' | 'modified' | 'changed'>;
}
