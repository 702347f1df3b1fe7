import * as fc from 'fast-check';

/** A step: what, and numbers that pick its operands. */
export type Step = readonly [kind: number, a: number, b: number, c: number, d: number];

/** What a step does, by its first number. */
export const kinds = [
  'create',
  'create',
  'mkdir',
  'symlink',
  'unlink',
  'unlink',
  'rmdir',
  'rename',
  'rename',
  'exchange',
  'noreplace',
  'whiteout',
  'link',
  'write',
  'write',
  'write',
  'append',
  'truncate',
  'punch',
  'read',
  'read',
  'chmod',
  'setxattr',
  'list',
  'fsync',
  'fsync',
  'fsyncdir',
  'syncfs',
  'flush',
  'recall',
  'hold',
  'hold',
  'tmpfile',
  'writeHeld',
  'linkHeld',
  'letGo',
  'allocate',
] as const;

/** Random steps. */
export const steps = (maxLength: number): fc.Arbitrary<Step[]> =>
  fc.array(fc.tuple(fc.nat(kinds.length - 1), fc.nat(7), fc.nat(99), fc.nat(99), fc.nat(99)), { minLength: 5, maxLength, size: 'max' });
