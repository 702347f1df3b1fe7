import type { Edit } from './cow-edit.ts';
import type { CowTree, Missing } from './cow-tree.ts';
import { endOf } from './recent-extents.ts';
import { cutExtent, type Extent } from './records.ts';

/** The edits that put recent changes (sorted, without overlaps) into the tree below them; loads that they lack are noted. */
export function extentEdits(tree: CowTree<Extent>, recent: readonly Extent[], missing: Missing): Edit<Extent>[] {
  const edits = new Map<number, Extent | undefined>();
  /** What is left, right of the last change, of a record that it cut. */
  let tail: { readonly of: number; readonly rest: Extent } | undefined;
  for (const change of recent) {
    const { offset: start } = change;
    const end = endOf(change);
    tree.range(start, end, missing, (record) => {
      const piece: Extent = tail !== undefined && tail.of === record.offset ? tail.rest : record;
      if (endOf(piece) <= start) return;
      edits.set(piece.offset, piece.offset < start ? cutExtent(piece, piece.offset, start) : undefined);
      if (endOf(piece) <= end) return;
      tail = { of: record.offset, rest: cutExtent(piece, end, endOf(piece)) };
      edits.set(end, tail.rest);
    });
    if (change.block !== 0) edits.set(start, change);
  }
  const sorted = [...edits].map(([key, record]) => ({ key, record })).toSorted((a, b) => a.key - b.key);
  for (const { key } of sorted) tree.touch(key, missing);
  return sorted;
}
