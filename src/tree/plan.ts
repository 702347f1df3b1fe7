import type { Address } from '../block/index.ts';
import type { NodeWrite } from './node-store.ts';
import { childValue, NodeBuilder, type TreeNode } from './node.ts';
import { splitNode } from './split.ts';
import type { Key } from './types.ts';

/** How one node's new content is written. */
export interface WritePlan {
  /** New nodes first, then the node that links to them: each stage on its own leaves a right tree. */
  readonly stages: readonly (readonly NodeWrite[])[];
  /** New nodes that their parent does not know yet. */
  readonly unposted: readonly { readonly separator: Key; readonly address: Address }[];
}

/**
 * The writes that give the node at `address` new content, splitting it where it is over `target` bytes. A split node links to its
 * new right siblings. The root instead moves down: its pieces become its children, so its address never changes.
 */
export function planWrite(
  address: Address,
  version: number,
  node: TreeNode,
  options: { readonly isRoot: boolean; readonly target: number; readonly appended: boolean; readonly newAddress: () => Address },
): WritePlan {
  const pieces = splitNode(node, options.target, options.appended, options.newAddress);
  if (pieces.length === 1) return { stages: [[{ address, version, node }]], unposted: [] };
  const siblings = pieces.slice(1).map((piece) => ({ address: piece.address!, version: 0, node: piece.node }));
  const first = pieces[0]!.node;
  if (!options.isRoot) {
    const unposted = siblings.map((sibling) => ({ separator: sibling.node.low, address: sibling.address }));
    return { stages: [siblings, [{ address, version, node: first }]], unposted };
  }
  const children = [{ address: options.newAddress(), version: 0, node: first }, ...siblings];
  const root = new NodeBuilder();
  for (const child of children) root.add(child.node.low, childValue(child.address));
  const top = root.build({ level: node.level + 1, frozen: false, low: '', high: undefined, right: undefined });
  return { stages: [children, [{ address, version, node: top }]], unposted: [] };
}
