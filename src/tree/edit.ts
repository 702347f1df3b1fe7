import { InfinitError, messageOf } from '../base/index.ts';
import { lowerBound, NodeBuilder, type TreeNode, valueAt } from './node.ts';
import { type Change, type Key, maxValueBytes } from './types.ts';

/** One key's change on its way into a leaf. */
export interface KeyChange {
  readonly key: Key;
  readonly change: Change;
}

/** What a change came to in an edit: applied, refused with the current value, or impossible as the caller's function had it. */
export type Verdict =
  | { readonly status: 'applied' }
  | { readonly status: 'refused'; readonly current: Uint8Array | undefined }
  | { readonly status: 'failed'; readonly error: InfinitError };

const applied: Verdict = { status: 'applied' };

/** An edited leaf and what became of each change. */
export interface Edit {
  /** The very same node where nothing changed. */
  readonly node: TreeNode;
  /** By index of the changes given. */
  readonly verdicts: readonly Verdict[];
  /** The last entry is new, and the leaf the last of the tree. */
  readonly appended: boolean;
}

/** Applies changes to a leaf that covers all their keys; changes of one key in the order given. Pure. */
export function editLeaf(node: TreeNode, changes: readonly KeyChange[]): Edit {
  const order = changes.map((_, index) => index);
  // Stable: changes of one key stay in order.
  order.sort((a, b) => (changes[a]!.key < changes[b]!.key ? -1 : changes[a]!.key > changes[b]!.key ? 1 : 0));
  const verdicts: Verdict[] = Array.from({ length: changes.length });
  const builder = new NodeBuilder();
  let changed = false;
  let addedLast = false;
  /** Entries before it are in the builder, or dealt with. */
  let next = 0;
  for (let i = 0; i < order.length;) {
    const { key } = changes[order[i]!]!;
    const index = lowerBound(node.keys, key);
    const present = node.keys[index] === key;
    const before = present ? valueAt(node, index) : undefined;
    let value = before;
    for (; i < order.length && changes[order[i]!]!.key === key; i++) {
      const decision = decide(changes[order[i]!]!.change, value);
      if (decision === refused) verdicts[order[i]!] = { status: 'refused', current: value };
      else if (decision instanceof InfinitError) verdicts[order[i]!] = { status: 'failed', error: decision };
      else {
        verdicts[order[i]!] = applied;
        value = decision ?? undefined;
      }
    }
    if (value === before || (value !== undefined && before !== undefined && equal(value, before))) continue;
    changed = true;
    builder.keep(node, next, index);
    next = present ? index + 1 : index;
    if (value !== undefined) builder.add(key, value);
    addedLast = value !== undefined && !present && index === node.keys.length;
  }
  if (!changed) return { node, verdicts, appended: false };
  return { node: builder.keep(node, next).build(node), verdicts, appended: addedLast && node.right === undefined };
}

const refused = Symbol('refused');

function decide(change: Change, current: Uint8Array | undefined): Uint8Array | null | typeof refused | InfinitError {
  if (change === null || change instanceof Uint8Array) return change;
  try {
    if (change.condition !== undefined && !change.condition(current)) return refused;
    if (typeof change.value !== 'function') return change.value;
    const value = change.value(current);
    if (value !== null && value.length > maxValueBytes)
      return new InfinitError('too-large', `a value of ${value.length} bytes is over the ${maxValueBytes} a tree takes`);
    return value;
  } catch (cause) {
    // The caller's function failed: that is his key's affair, not the batch's.
    return cause instanceof InfinitError ? cause : new InfinitError('bad-argument', `a change's function failed: ${messageOf(cause)}`, { cause });
  }
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && Buffer.compare(a, b) === 0;
}
