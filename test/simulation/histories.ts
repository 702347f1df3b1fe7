import type { Action, Expectation, Operation, Outcome } from './linearizability.ts';

/** `[start, end, action, outcome]`; the number of the operation is its place in the list. */
export type Line = readonly [start: number, end: number, action: Action, outcome: Outcome, register?: string];

export const read: Action = { kind: 'read' };
export const write = (value: string | null, expect: Expectation = 'any'): Action => ({ kind: 'write', expect, value });
export const saw = (value: string | null, version?: number): Outcome => ({ status: 'value', value, ...(version === undefined ? {} : { version }) });
export const committed = (version?: number): Outcome => ({ status: 'committed', ...(version === undefined ? {} : { version }) });
export const conflict = (value: string | null, version?: number): Outcome => ({
  status: 'conflict',
  current: { value, ...(version === undefined ? {} : { version }) },
});
export const unknown: Outcome = { status: 'unknown' };
export const failed: Outcome = { status: 'failed' };

export function history(lines: readonly Line[]): Operation[] {
  return lines.map(([start, end, action, outcome, register = 'r'], id) => ({
    id,
    register,
    start,
    end: outcome.status === 'unknown' ? Infinity : end,
    action,
    outcome,
  }));
}

/** Histories that an order explains. */
export const good: Record<string, readonly Line[]> = {
  'an empty history': [],
  'a read of what was never written': [[0, 1, read, saw(null, 0)]],
  'writes and reads one after another': [
    [0, 1, write('a', 'absent'), committed(1)],
    [2, 3, read, saw('a', 1)],
    [4, 5, write('b', 1), committed(2)],
    [6, 7, read, saw('b', 2)],
    [8, 9, write(null, 2), committed(3)],
    [10, 11, read, saw(null)],
    [12, 13, write('c', 'absent'), committed(4)],
  ],
  'two reads around a concurrent write that differ': [
    [0, 1, write('a'), committed(1)],
    [2, 20, write('b'), committed(2)],
    [3, 4, read, saw('a', 1)],
    [5, 6, read, saw('b', 2)],
  ],
  'a concurrent write seen before it ends': [
    [0, 100, write('a'), committed()],
    [1, 2, read, saw('a')],
  ],
  'an unknown write that never takes effect': [
    [0, 1, write('a'), committed(1)],
    [2, 3, write('b'), unknown],
    [50, 51, read, saw('a', 1)],
  ],
  'an unknown write that takes effect long after its caller gave up': [
    [0, 1, write('a'), committed(1)],
    [2, 3, write('b'), unknown],
    [50, 51, read, saw('a', 1)],
    [60, 61, read, saw('b', 2)],
  ],
  'a gap between versions that an unknown write explains': [
    [0, 1, write('a'), committed(1)],
    [2, 3, write('b', 1), unknown],
    [4, 5, write('c'), committed(3)],
  ],
  'two gaps filled by unknown writes, one of them conditional': [
    [0, 1, write('x'), unknown],
    [1, 2, write('y', 1), unknown],
    [4, 5, write('c'), committed(3)],
    [6, 7, read, saw('c', 3)],
  ],
  'a failed write without a trace': [
    [0, 1, write('a'), failed],
    [2, 3, read, saw(null, 0)],
  ],
  'a loser of two concurrent put-if-absent': [
    [0, 5, write('a', 'absent'), committed(1)],
    [0, 5, write('b', 'absent'), conflict('a', 1)],
  ],
  'a conflict whose cause is a write still under way': [
    [0, 50, write('a', 'absent'), committed(1)],
    [1, 2, write('b', 'absent'), conflict('a', 1)],
  ],
  'a removal seen by one and not yet by an earlier reader': [
    [0, 1, write('a'), committed(1)],
    [2, 9, write(null), committed(2)],
    [3, 4, read, saw('a', 1)],
    [5, 6, read, saw(null)],
  ],
  'touching intervals count as concurrent': [
    [0, 1, write('a'), committed(1)],
    [1, 2, read, saw(null)],
  ],
  'two registers that know nothing of each other': [
    [0, 1, write('a'), committed(1), 'p'],
    [2, 3, read, saw(null, 0), 'q'],
  ],
};

/** Histories that none explains, and the operations that contradict each other. */
export const bad: Record<string, { readonly lines: readonly Line[]; readonly offending: readonly number[]; readonly forgetsAllowed?: true }> = {
  'a stale read': {
    lines: [
      [0, 1, write('a'), committed(1)],
      [2, 3, write('b'), committed(2)],
      [4, 5, read, saw('a', 1)],
    ],
    offending: [1, 2],
  },
  'a read that goes backwards while the write is under way': {
    lines: [
      [0, 1, write('a'), committed(1)],
      [2, 30, write('b'), committed(2)],
      [3, 4, read, saw('b', 2)],
      [5, 6, read, saw('a', 1)],
    ],
    offending: [2, 3],
  },
  'a lost write': {
    lines: [
      [0, 1, write('a'), committed()],
      [2, 3, read, saw(null)],
    ],
    offending: [0, 1],
  },
  'two writers of one version': {
    lines: [
      [0, 9, write('a', 'absent'), committed(1)],
      [0, 9, write('b', 'absent'), committed(1)],
    ],
    offending: [0, 1],
  },
  'two winners of put-if-absent without versions': {
    lines: [
      [0, 9, write('a', 'absent'), committed()],
      [0, 9, write('b', 'absent'), committed()],
    ],
    offending: [0, 1],
  },
  'a lost update: two compare-and-sets from the same version': {
    lines: [
      [0, 1, write('a'), committed(1)],
      [2, 9, write('b', 1), committed()],
      [2, 9, write('c', 1), committed()],
    ],
    offending: [1, 2],
  },
  'a value out of thin air': {
    lines: [
      [0, 1, write('a'), committed(1)],
      [2, 3, read, saw('ghost')],
    ],
    offending: [1],
  },
  'a value seen before its write began': {
    lines: [
      [0, 1, read, saw('a')],
      [2, 3, write('a'), committed()],
    ],
    offending: [0],
  },
  'an unknown write seen before it began': {
    lines: [
      [0, 1, read, saw('a')],
      [2, 3, write('a'), unknown],
    ],
    offending: [0],
  },
  'a failed write that took effect': {
    lines: [
      [0, 1, write('a'), failed],
      [2, 3, read, saw('a')],
    ],
    offending: [1],
  },
  'a conflict with nobody': {
    lines: [[0, 1, write('a', 'absent'), { status: 'conflict' }]],
    offending: [0],
  },
  'a conflict of a compare-and-set whose expectation held': {
    lines: [
      [0, 1, write('a'), committed(1)],
      [2, 3, write('b', 1), conflict('a', 1)],
    ],
    offending: [1],
  },
  'a writer told of a conflict with its own value': {
    lines: [
      [0, 1, write('a'), committed(1)],
      [2, 3, write('b', 1), conflict('b', 2)],
    ],
    offending: [1],
  },
  'a removed value that comes back': {
    lines: [
      [0, 1, write('a'), committed(1)],
      [2, 3, write(null), committed(2)],
      [4, 5, read, saw(null)],
      [6, 7, read, saw('a', 1)],
    ],
    offending: [1, 3],
  },
  'a version skipped with no write to explain it': {
    lines: [
      [0, 1, write('a'), committed(1)],
      [2, 3, write('b'), committed(3)],
    ],
    offending: [1],
  },
  'one unknown write used for two gaps': {
    lines: [
      [0, 1, write('a'), unknown],
      [2, 3, write('b'), committed(3)],
    ],
    offending: [1],
    forgetsAllowed: true,
  },
  'an unknown write that takes effect twice': {
    lines: [
      [0, 1, write('a'), committed(1)],
      [2, 3, write('b'), unknown],
      [4, 5, read, saw('b', 2)],
      [6, 7, write('c', 2), committed(3)],
      [8, 9, read, saw('b')],
    ],
    offending: [3, 4],
  },
  'two values of one version': {
    lines: [
      [0, 9, write('a'), unknown],
      [0, 9, write('b'), unknown],
      [0, 9, read, saw('a', 1)],
      [0, 9, read, saw('b', 1)],
    ],
    offending: [2, 3],
  },
  'a version that starts over': {
    lines: [
      [0, 1, write('a'), committed(1)],
      [2, 3, write(null), committed(2)],
      [4, 5, write('b', 'absent'), committed(1)],
    ],
    offending: [1, 2],
  },
  'a removed register that comes back with versions skipped': {
    lines: [
      [0, 1, write('a'), committed(1)],
      [2, 3, write(null), committed(2)],
      [4, 5, write('b', 'absent'), committed(9)],
      [6, 7, write('c'), committed(10)],
    ],
    offending: [2],
    forgetsAllowed: true,
  },
  'a removed register brought back by an unknown write, at a version that only its successor tells': {
    lines: [
      [0, 1, write('a'), committed(1)],
      [2, 3, write(null), committed(2)],
      [4, 5, write('b', 'absent'), unknown],
      [4, 5, write('d', 'any'), unknown],
      [6, 7, write('c'), committed(10)],
      [8, 9, read, saw('c', 10)],
    ],
    offending: [4],
    forgetsAllowed: true,
  },
};
