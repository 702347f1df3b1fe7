import type { Address } from '../block/index.ts';
import { NodeBuilder, type TreeNode } from './node.ts';
import type { Key } from './types.ts';

/** How full the pieces of a split are, so that each has room for what comes next. */
const splitFill = 0.66;
/** The same where entries were appended at the tree's end: what lies behind will hardly grow. */
const appendFill = 0.92;

/**
 * Cuts a node that is over `target` bytes into a chain of pieces; the first keeps the node's place, the others get addresses from
 * `newAddress`. A node that fits comes back alone. `appended`: its growth was at the end of the whole tree.
 */
export function splitNode(
  node: TreeNode,
  target: number,
  appended: boolean,
  newAddress: () => Address,
): readonly { readonly address: Address | undefined; readonly node: TreeNode }[] {
  if (node.body.length <= target || node.keys.length < 2) return [{ address: undefined, node }];
  const cuts = cutPoints(node, target * (appended ? appendFill : splitFill), appended);
  const addresses = [undefined, ...cuts.slice(1).map(newAddress)];
  return cuts.map((start, i) => {
    const end = cuts[i + 1] ?? node.keys.length;
    const piece = new NodeBuilder().keep(node, start, end).build({
      level: node.level,
      frozen: false,
      low: i === 0 ? node.low : separator(node, start),
      high: i + 1 < cuts.length ? separator(node, end) : node.high,
      right: i + 1 < cuts.length ? addresses[i + 1] : node.right,
    });
    return { address: addresses[i], node: piece };
  });
}

/** Indices at which the pieces start. Equal shares, or full ones and a rest where the growth was at the end. */
function cutPoints(node: TreeNode, fill: number, appended: boolean): number[] {
  const pieces = Math.max(2, Math.ceil(node.body.length / fill));
  const share = appended ? fill : node.body.length / pieces;
  const cuts = [0];
  let bytes = 0;
  for (let i = 0; i < node.keys.length; i++) {
    const size = node.starts[i + 1]! - node.starts[i]!;
    if (bytes > 0 && bytes + size > share) {
      cuts.push(i);
      bytes = 0;
    }
    bytes += size;
  }
  // One entry outweighs all others: it still gets a node of its own.
  if (cuts.length === 1) cuts.push(node.keys.length - 1);
  return cuts;
}

/** The key that parts the entry at `index` from the one before it: in a leaf the shortest that does, which keeps inner nodes small. */
function separator(node: TreeNode, index: number): Key {
  const key = node.keys[index]!;
  if (node.level > 0) return key;
  const before = node.keys[index - 1]!;
  let length = 0;
  while (length < before.length && before.charCodeAt(length) === key.charCodeAt(length)) length++;
  return key.slice(0, length + 1);
}
