import { codeOf, InfinitError } from '../base/index.ts';
import type { Address } from '../block/index.ts';
import { childAt, childValue, emptyNode, NodeBuilder, type NodeFrame, reframe } from './node.ts';
import type { NodeStore, NodeWrite } from './node-store.ts';
import { planWrite } from './plan.ts';
import type { Key } from './types.ts';

/** Nodes read, or written, at once. */
const batchNodes = 32;

interface Leaf {
  readonly address: Address;
  readonly version: number;
  readonly low: Key;
  readonly high: Key | undefined;
}

/** A part of the keys whose leaf is lost, after the leaf to its left. */
interface Hole {
  readonly left: Omit<Leaf, 'version'> | undefined;
  readonly leaf: Address;
  readonly low: Key;
  readonly high: Key | undefined;
  readonly right: Address | undefined;
}

/**
 * Makes a tree whole of which nodes are lost with all their hosts: empty leaves take the places of lost ones, and what is above the leaves is made anew. The entries of lost
 * leaves are gone. First the empty leaves are written, which nothing leads to yet, then the links to them, the root, and what nothing leads to any more goes; after a crash anywhere it can be done again.
 * Nobody else may use the tree. Returns how many parts of the keys have lost their leaf.
 * @param givenUp whether nodes count as lost that are told to be. @throws InfinitError `lost` where they do not, or the root is told to be.
 */
export async function mendTree(nodes: NodeStore, target: number, givenUp: boolean): Promise<number> {
  const root = await nodes.load(nodes.root);
  if (root === undefined || root.node.level === 0) return 0;
  const { leaves, inner, isWhole } = await allNodes(nodes, givenUp);
  const chain: Omit<Leaf, 'version'>[] = [];
  const holes: Hole[] = [];
  const fill = (right: Leaf | undefined): void => {
    const left = chain.at(-1);
    const low = left === undefined ? '' : left.high!;
    const hole = { left, leaf: nodes.newAddress(), low, high: right?.low, right: right?.address };
    holes.push(hole);
    chain.push({ address: hole.leaf, low, high: hole.high });
  };
  for (const leaf of leaves.toSorted((a, b) => (a.low < b.low ? -1 : 1))) {
    const covered = chain.length === 0 ? '' : chain.at(-1)!.high;
    // Its left neighbour has taken it in.
    if (covered === undefined || leaf.low < covered) continue;
    if (leaf.low > covered) fill(leaf);
    chain.push(leaf);
  }
  if (chain.length === 0 || chain.at(-1)!.high !== undefined) fill(undefined);
  if (holes.length === 0 && isWhole) return 0;
  await write(
    nodes,
    holes.map(({ leaf, low, high, right }) => ({ address: leaf, version: 0, node: reframe(emptyNode, { low, high, right }) })),
  );
  for (const { left, leaf, low } of holes) {
    if (left === undefined) continue;
    const { node, version } = (await nodes.load(left.address)) ?? { node: undefined, version: 0 };
    if (node?.high !== low) throw changed(nodes);
    await write(nodes, [{ address: left.address, version, node: reframe(node, { right: leaf }) }]);
  }
  const index = new NodeBuilder();
  for (const { low, address } of chain) index.add(low, childValue(address));
  const frame: NodeFrame = { level: 1, frozen: false, low: '', high: undefined, right: undefined };
  const { newAddress } = nodes;
  const { stages } = planWrite(nodes.root, root.version, index.build(frame), { isRoot: true, target, appended: false, newAddress });
  for (const stage of stages) await write(nodes, stage);
  // Nothing leads to these any more.
  const kept = new Set(chain.map(({ address }) => address));
  const left = [...inner, ...leaves.filter(({ address }) => !kept.has(address))];
  await write(
    nodes,
    left.map(({ address, version }) => ({ address, version, node: null })),
  );
  return holes.length;
}

interface Reached {
  readonly leaves: readonly Leaf[];
  /** Nodes above the leaves, but for the root. */
  readonly inner: readonly Pick<Leaf, 'address' | 'version'>[];
  /** All that is led to is there. */
  readonly isWhole: boolean;
}

/** All that something leads to. */
async function allNodes(nodes: NodeStore, givenUp: boolean): Promise<Reached> {
  const leaves: Leaf[] = [];
  const inner: Pick<Leaf, 'address' | 'version'>[] = [];
  let isWhole = true;
  const seen = new Set<Address>([nodes.root]);
  const waiting: Address[] = [nodes.root];
  const lead = (address: Address | undefined): void => {
    if (address === undefined || seen.has(address)) return;
    seen.add(address);
    waiting.push(address);
  };
  while (waiting.length > 0) {
    const some = waiting.splice(-batchNodes);
    const found = await Promise.all(some.map((address) => (givenUp ? unlessGivenUp(nodes.load(address)) : nodes.load(address))));
    for (const [i, entry] of found.entries()) {
      if (entry === undefined) {
        isWhole = false;
        continue;
      }
      const { node, version } = entry;
      const address = some[i]!;
      lead(node.right);
      if (node.level === 0) leaves.push({ address, version, low: node.low, high: node.high });
      else if (address !== nodes.root) inner.push({ address, version });
      for (let child = 0; node.level > 0 && child < node.keys.length; child++) lead(childAt(node, child));
    }
  }
  return { leaves, inner, isWhole };
}

/** A person gave it up: it is as if it were not there. */
async function unlessGivenUp<T>(asked: Promise<T>): Promise<T | undefined> {
  try {
    return await asked;
  } catch (error) {
    if (codeOf(error) !== 'lost') throw error;
    return undefined;
  }
}

/** @throws InfinitError */
async function write(nodes: NodeStore, writes: readonly NodeWrite[]): Promise<void> {
  for (let at = 0; at < writes.length; at += batchNodes) {
    const outcomes = await nodes.write([writes.slice(at, at + batchNodes)]);
    for (const outcome of outcomes[0]!) {
      if (outcome.status === 'failed') throw outcome.error;
      if (outcome.status !== 'committed') throw changed(nodes);
    }
  }
}

function changed({ root }: NodeStore): InfinitError {
  return new InfinitError('conflict', `tree ${root} was changed by somebody else while it was mended`);
}
