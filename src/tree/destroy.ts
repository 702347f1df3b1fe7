import type { Address } from '../block/index.ts';
import { childAt, valueAt } from './node.ts';
import type { NodeStore, NodeWrite } from './node-store.ts';
import type { Entry, Key } from './types.ts';

/** Nodes read, or removed, at once. */
const batchNodes = 32;

/**
 * Removes every node below and right of `address` up to the key `end`, and that node last, so that whatever a crash leaves is
 * still reached from the root.
 */
export async function destroyFrom(
  nodes: NodeStore,
  address: Address,
  end: Key | undefined,
  onEntries?: (entries: readonly Entry[]) => Promise<void> | void,
): Promise<void> {
  const entry = await nodes.load(address);
  if (entry === undefined || entry.version === 0) return;
  const { node, version } = entry;
  // What the parent does not know hangs on right links only: it goes before the node that has the link.
  if (node.right !== undefined && node.high !== undefined && (end === undefined || node.high < end))
    await destroyFrom(nodes, node.right, end, onEntries);
  if (node.level === 0) {
    if (node.keys.length > 0) await onEntries?.(node.keys.map((key, i) => ({ key, value: valueAt(node, i) })));
  } else {
    for (let i = 0; i < node.keys.length; i += batchNodes) {
      const some = node.keys.slice(i, i + batchNodes);
      await Promise.all(some.map((_, j) => destroyFrom(nodes, childAt(node, i + j), node.keys[i + j + 1] ?? node.high, onEntries)));
    }
  }
  const removal: NodeWrite = { address, version, node: null };
  for (const outcome of (await nodes.write([[removal]]))[0]!) if (outcome.status === 'failed') throw outcome.error;
}
