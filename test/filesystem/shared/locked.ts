import type { FileLock } from '../../../src/filesystem/index.ts';

/** A lock that a program was told it has. */
export interface Has {
  readonly inode: number;
  readonly lock: FileLock;
  readonly host: number;
  /** The host was given up since, or did not say in time that it has it. */
  lost: boolean;
  /** And another program was given what is in its way. */
  overtaken: boolean;
}

export function inTheWay(one: Has, other: Has): boolean {
  const [a, b] = [one.lock, other.lock];
  const isOther = one.host !== other.host || a.owner !== b.owner;
  const overlap = a.start <= b.end && a.end >= b.start;
  return one.inode === other.inode && isOther && a.kind === b.kind && overlap && (a.type === 'write' || b.type === 'write');
}

export function show({ inode, lock: { kind, type, owner, start, end } }: Pick<Has, 'inode' | 'lock'>): string {
  return `${inode}: ${kind} ${type} ${start}-${end} (${owner})`;
}
