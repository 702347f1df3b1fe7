import type { CowTree, Missing } from './cow-tree.ts';
import { endOf, type RecentExtents } from './recent-extents.ts';
import { cutExtent, type Extent } from './records.ts';

/** Visits what lies in [start, end) of recent changes over a tree: extents and holes (block 0), in order, without gaps, cut to the range. */
export function visitLayers(
  recent: RecentExtents,
  tree: CowTree<Extent>,
  start: number,
  end: number,
  missing: Missing,
  visit: (extent: Extent) => void,
): void {
  let position = start;
  for (let i = recent.find(start); position < end; i++) {
    const over = recent.list[i];
    const gapEnd = Math.min(end, over?.offset ?? end);
    if (gapEnd > position) visitTree(tree, position, gapEnd, missing, visit);
    if (over === undefined || over.offset >= end) return;
    const from = Math.max(position, over.offset);
    position = Math.min(end, endOf(over));
    visit(cutExtent(over, from, position));
  }
}

function visitTree(tree: CowTree<Extent>, start: number, end: number, missing: Missing, visit: (extent: Extent) => void): void {
  let position = start;
  tree.range(start, end, missing, (extent) => {
    const from = Math.max(extent.offset, position);
    const to = Math.min(endOf(extent), end);
    if (to <= from) return;
    if (from > position) visit({ offset: position, length: from - position, block: 0, at: 0 });
    visit(cutExtent(extent, from, to));
    position = to;
  });
  if (position < end) visit({ offset: position, length: end - position, block: 0, at: 0 });
}

/** Whether `offset` lies in data or in a hole, and until where at least that goes on (Infinity: for ever). */
export function layerAt(
  recent: RecentExtents,
  tree: CowTree<Extent>,
  offset: number,
  missing: Missing,
): { readonly data: boolean; readonly until: number } {
  const over = recent.list[recent.find(offset)];
  if (over !== undefined && over.offset <= offset) return { data: over.block !== 0, until: endOf(over) };
  const gapEnd = over?.offset ?? Infinity;
  const below = tree.floor(offset, missing);
  if (below !== undefined && endOf(below) > offset) return { data: true, until: Math.min(gapEnd, endOf(below)) };
  return { data: false, until: Math.min(gapEnd, tree.keyAfter(offset, missing) ?? Infinity) };
}
