import type { Attributes } from '../file-system.ts';
import type { SharedMethod } from './calls.ts';

/** What an answer lets another host see: that must be durable before it leaves. */
export interface Shown {
  readonly inodes: readonly number[];
  /** The directories whose names it shows; `all`: whatever was done to names. */
  readonly names: readonly number[] | 'all';
}

/** @param result undefined where the operation failed: that shows something, too. */
export function shownBy(method: SharedMethod, args: readonly unknown[], result: unknown): Shown | undefined {
  const inode = args[0] as number;
  switch (method) {
    case 'lookup':
      return { inodes: result === undefined ? [] : [(result as Attributes).inode], names: [inode] };
    case 'readdir':
      return { inodes: [], names: [inode] };
    case 'getattr':
    case 'readlink':
    case 'read':
    case 'open':
    case 'opendir':
    case 'lseek':
    case 'getxattr':
    case 'listxattr':
    case 'setattr':
    case 'setxattr':
    case 'removexattr':
    case 'fallocate':
      return { inodes: [inode], names: [] };
    case 'copyFileRange':
      return { inodes: [args[3] as number], names: [] };
    case 'unlink':
    case 'rmdir':
    case 'rename':
      return { inodes: [], names: 'all' };
    case 'symlink':
    case 'mknod':
    case 'mkdir':
    case 'link':
    case 'remake':
      return { inodes: result === undefined ? [] : [(result as Attributes).inode], names: 'all' };
    case 'create':
      return { inodes: result === undefined ? [] : [(result as { attributes: Attributes }).attributes.inode], names: 'all' };
    default:
      return undefined;
  }
}
