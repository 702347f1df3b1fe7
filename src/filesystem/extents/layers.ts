import type { CowTree, Missing } from './cow-tree.ts';
import { type Child, floorIndex, isLeaf } from './node.ts';
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

/** The first offset from `offset` on that lies in a hole. */
export function holeAfter(recent: RecentExtents, tree: CowTree<Extent>, offset: number, missing: Missing): number {
  let position = offset;
  for (let i = recent.find(offset); ; i++) {
    const over = recent.list[i];
    const gapEnd = over?.offset ?? Infinity;
    if (position < gapEnd) {
      position = coveredUntil(tree, tree.root, position, missing);
      if (position < gapEnd || missing.size > 0) return position;
    }
    // The gap is covered up to the recent change at least.
    if (over === undefined || over.block === 0) return Math.max(offset, gapEnd);
    position = endOf(over);
  }
}

/** Until where the tree's extents go on from `position` without a gap. Looks into no node whose extents fill all of its range. */
function coveredUntil(tree: CowTree<Extent>, child: Child<Extent> | undefined, position: number, missing: Missing): number {
  const node = child === undefined ? undefined : tree.resolve(child, missing);
  if (node === undefined) return position;
  let until = position;
  for (let i = Math.max(0, floorIndex(node.keys, position)); i < node.keys.length && node.keys[i]! <= until; i++) {
    if (isLeaf(node)) until = Math.max(until, endOf(node.records[i]!));
    else {
      const next = node.keys[i + 1];
      const below = node.children[i]!;
      until = next !== undefined && below.weight === next - node.keys[i]! ? next : coveredUntil(tree, below, until, missing);
      if (missing.size > 0) return until;
    }
  }
  return until;
}
