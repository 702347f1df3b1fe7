import type { CowTree } from './cow-tree.ts';
import { type Child, type ExtentNode, isLeaf } from './node.ts';
import type { BlockUse } from './types.ts';

/** All nodes below `child`, itself included, and what `inside` finds in each; nodes last, so that a walk that is repeated after a crash still finds its way. */
export async function* walkBlocks<R>(
  tree: CowTree<R>,
  child: Child<R> | undefined,
  inside: (node: ExtentNode<R>) => readonly BlockUse[],
): AsyncIterable<BlockUse> {
  if (child === undefined) return;
  const node = await tree.read(child);
  yield* inside(node);
  if (!isLeaf(node)) for (const below of node.children) yield* walkBlocks(tree, below, inside);
  // A new node that no commit sealed is no block yet.
  if (child.address !== undefined) yield { address: child.address, epoch: child.epoch, kind: 'node' };
}
