import type { AttributeChanges, Attributes } from '../file-system.ts';
import type { SharedMethod } from './calls.ts';

/** O_TRUNC. */
const truncate = 0o1000;
/** RENAME_EXCHANGE, RENAME_WHITEOUT. */
const [exchange, whiteout] = [2, 4];

/** Operations that open something. */
export const opens: ReadonlySet<SharedMethod> = new Set(['open', 'opendir', 'create', 'tmpfile']);

/** Operations whose answer is an entry, with a kernel reference. */
export const givesEntry: ReadonlySet<SharedMethod> = new Set(['lookup', 'mknod', 'mkdir', 'symlink', 'link', 'remake']);

/** Operations that take names away. Whoever asks for one looked the names up for that. */
export const removes: ReadonlySet<SharedMethod> = new Set(['unlink', 'rmdir', 'rename']);

/** A name in a directory. */
export interface Place {
  readonly directory: number;
  readonly name: string;
}

/** What a call changes, as far as its arguments tell: of what its names stand for the attributes change as well. */
export interface Effects {
  readonly inodes: readonly number[];
  readonly names: readonly Place[];
}

/** undefined: nothing that a host has in memory. */
export function effectsOf(method: SharedMethod, args: readonly unknown[]): Effects | undefined {
  const inode = args[0] as number;
  switch (method) {
    case 'setattr':
    case 'write':
    case 'writeMapped':
    case 'append':
    case 'fallocate':
    case 'setxattr':
    case 'removexattr':
    case 'borrow':
    case 'put':
      return { inodes: [inode], names: [] };
    case 'open':
      return ((args[1] as number) & truncate) === 0 ? undefined : { inodes: [inode], names: [] };
    case 'copyFileRange':
      return { inodes: [args[3] as number], names: [] };
    case 'symlink':
    case 'mknod':
    case 'mkdir':
    case 'create':
    case 'unlink':
    case 'rmdir':
      return { inodes: [inode], names: [placeOf(args, 0)] };
    case 'rename':
      return { inodes: [inode, args[2] as number], names: [placeOf(args, 0), placeOf(args, 2)] };
    case 'link':
      return { inodes: [inode, args[1] as number], names: [placeOf(args, 1)] };
    default:
      return undefined;
  }
}

/** The file whose content a call changes; undefined: none's. */
export function contentChangedBy(method: SharedMethod, args: readonly unknown[]): number | undefined {
  switch (method) {
    case 'write':
    case 'writeMapped':
    case 'append':
    case 'fallocate':
    case 'put':
      return args[0] as number;
    case 'setattr':
      return (args[1] as AttributeChanges).size === undefined ? undefined : (args[0] as number);
    case 'copyFileRange':
      return args[3] as number;
    default:
      return undefined;
  }
}

/** What the names of a call stand for once it is done: by the order of {@link Effects.names}; null: nothing, undefined: that is not known. */
export function namesAfter(
  method: SharedMethod,
  args: readonly unknown[],
  result: unknown,
  before: readonly (number | null | undefined)[],
): readonly (number | null | undefined)[] {
  switch (method) {
    case 'symlink':
    case 'mknod':
    case 'mkdir':
    case 'link':
      return [(result as Attributes).inode];
    case 'create':
      return [(result as { readonly attributes: Attributes }).attributes.inode];
    case 'unlink':
    case 'rmdir':
      return [null];
    case 'rename': {
      // Two names of one file stay both.
      const [from, to] = before;
      const flags = args[4] as number;
      const moved = (flags & exchange) === 0 && typeof from === 'number' && to !== undefined && from !== to;
      return moved ? [(flags & whiteout) === 0 ? null : undefined, from] : [undefined, undefined];
    }
    default:
      return [];
  }
}

/** Inodes that the answer may tell of as they are after the call. */
export function toldAfter(method: SharedMethod, args: readonly unknown[], result: unknown): readonly number[] {
  const inodes = effectsOf(method, args)?.inodes ?? [];
  const made = namesAfter(method, args, result, [undefined, null])[0];
  return typeof made === 'number' ? [...inodes, made] : inodes;
}

function placeOf(args: readonly unknown[], at: number): Place {
  return { directory: args[at] as number, name: args[at + 1] as string };
}
