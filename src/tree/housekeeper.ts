import { assert, codeOf } from '../base/index.ts';
import type { Address } from '../block/index.ts';
import { childAt, childValue, indexOf, isBeyond, NodeBuilder, type NodeFrame, reframe, type TreeNode } from './node.ts';
import type { NodeOutcome, NodeStore, NodeWrite } from './node-store.ts';
import { planWrite } from './plan.ts';
import { type Found, type Obstacles, Search } from './search.ts';
import type { Key } from './types.ts';

/** Tasks of one kind that wait; more are dropped, because whoever meets the flaw again reports it again. */
const maxTasks = 4096;
/** A node below this share of its target is merged into its neighbour, if both together stay below the other. */
const underfull = 0.25;
const mergedFill = 0.9;
/** Attempts at one task before it is left to whoever meets the flaw next. */
const maxAttempts = 16;

interface Post {
  readonly level: number;
  readonly separator: Key;
  readonly child: Address;
}

/**
 * What keeps a tree in shape behind the writers' backs: parents learn of split nodes, near-empty nodes merge into their left
 * neighbours, the root takes in an only child. Every step leaves a right tree, so each may be lost in a crash; docs/trees.md argues it.
 *
 * A merge of R into its left neighbour X takes four writes: R is frozen (from here on it never changes), X takes in R's content and
 * its right link, the parent's entry for R goes, R goes. Whoever meets a frozen node completes its merge before he goes on.
 */
export class Housekeeper implements Obstacles {
  readonly search: Search;
  readonly #nodes: NodeStore;
  readonly #target: number;
  readonly #posts = new Map<string, Post>();
  readonly #merges = new Map<Address, { readonly level: number; readonly low: Key }>();
  #orphans: NodeWrite[] = [];
  #collapse = false;
  #running: Promise<void> | undefined;
  /** Merges being completed and entries being repaired right now, by node: whoever needs the same waits with them. */
  readonly #completing = new Map<Address, Promise<void>>();
  readonly #repairing = new Map<Address, Promise<void>>();

  constructor(nodes: NodeStore, target: number) {
    this.#nodes = nodes;
    this.#target = target;
    this.search = new Search(nodes, this);
  }

  post(level: number, separator: Key, child: Address): void {
    if (this.#posts.size >= maxTasks) return;
    this.#posts.set(`${level} ${separator}`, { level, separator, child });
    this.#wake();
  }

  /** New nodes of a write that did not come about: nothing links to them. */
  discard(writes: readonly NodeWrite[]): void {
    if (this.#orphans.length >= maxTasks) return;
    this.#orphans.push(...writes.map((write) => ({ address: write.address, version: 'any' as const, node: null })));
    this.#wake();
  }

  /** A node was written: is it worth merging? */
  checkFill(address: Address, node: TreeNode): void {
    if (address === this.#nodes.root) {
      if (node.level === 0 || node.keys.length > 1) return;
      this.#collapse = true;
    } else {
      if (node.body.length >= this.#target * underfull || this.#merges.size >= maxTasks) return;
      this.#merges.set(address, { level: node.level, low: node.low });
    }
    this.#wake();
  }

  /** All tasks are done or given up. */
  async settled(): Promise<void> {
    while (this.#running !== undefined) await this.#running;
  }

  #wake(): void {
    this.#running ??= this.#run().finally(() => (this.#running = undefined));
  }

  async #run(): Promise<void> {
    // The writer whose change caused this goes first.
    await Promise.resolve();
    for (;;) {
      const task = this.#next();
      if (task === undefined) return;
      try {
        await task();
      } catch (error) {
        // The store is in trouble: the tree is right without it, and whoever meets the flaw reports it again.
        if (codeOf(error) === 'bug') throw error;
      }
    }
  }

  #next(): (() => Promise<void>) | undefined {
    if (this.#orphans.length > 0) {
      const orphans = this.#orphans.splice(0);
      return async () => void (await this.#nodes.write([orphans]));
    }
    const [post] = this.#posts.values();
    if (post !== undefined) return () => this.#postNear(post);
    const [merge] = this.#merges;
    if (merge !== undefined) {
      this.#merges.delete(merge[0]);
      return () => this.#merge(merge[0], merge[1].level, merge[1].low);
    }
    if (!this.#collapse) return undefined;
    this.#collapse = false;
    return () => this.#collapseRoot();
  }

  /** Adds the separator, and all others that wait for the same parent, in one write. */
  async #postNear(first: Post): Promise<void> {
    const { level } = first;
    const take = (post: Post): Post => {
      this.#posts.delete(`${level} ${post.separator}`);
      return post;
    };
    let posts = [take(first)];
    for (let attempt = 0; attempt < maxAttempts; attempt++) {
      const parent = await this.search.find(first.separator, level);
      if (parent === undefined) return;
      const { node: before } = parent;
      const belongs = (post: Post): boolean => post.level === level && post.separator >= before.low && !isBeyond(before, post.separator);
      // After a conflict the parent may cover less than it did.
      for (const post of posts) if (!belongs(post)) this.#posts.set(`${level} ${post.separator}`, post);
      posts = posts.filter(belongs).concat([...this.#posts.values()].filter(belongs).map(take));
      const node = await this.#withChildren(parent.node, posts);
      if (node === parent.node) return;
      const appended = node.right === undefined && node.keys.at(-1) !== parent.node.keys.at(-1);
      if ((await this.#rewrite(parent, node, appended)).status === 'committed') return;
    }
  }

  /** The node with entries for these children, where they are not there yet and the children still live. */
  async #withChildren(node: TreeNode, posts: readonly Post[]): Promise<TreeNode> {
    let changed = false;
    const children = childrenOf(node);
    for (const { separator, child } of posts) {
      if (children.get(separator) === child) continue;
      const entry = this.#nodes.cached(child) ?? (await this.#nodes.load(child));
      // Merged away meanwhile: its range has another node.
      if (entry === undefined || entry.node.frozen || entry.node.low !== separator) continue;
      children.set(separator, child);
      changed = true;
    }
    return changed ? innerNode(node, children) : node;
  }

  /** Writes new content of an existing node, splitting it where needed. @throws InfinitError where it failed otherwise than by a conflict. */
  async #rewrite(found: Found, node: TreeNode, appended: boolean): Promise<NodeOutcome & { readonly status: 'committed' | 'conflict' }> {
    const isRoot = found.address === this.#nodes.root;
    const plan = planWrite(found.address, found.version, node, { isRoot, target: this.#target, appended, newAddress: this.#nodes.newAddress });
    const outcomes = await this.#nodes.write(plan.stages);
    const last = outcomes.at(-1)![0]!;
    if (last.status === 'committed') {
      for (const { separator, address } of plan.unposted) this.post(node.level + 1, separator, address);
      if (plan.stages.length === 1) this.checkFill(found.address, node);
      return last;
    }
    const failure = outcomes.flat().find((outcome) => outcome.status === 'failed');
    if (plan.stages.length > 1 && failure?.error.code !== 'unknown-outcome') this.discard(plan.stages[0]!);
    if (failure !== undefined) throw failure.error;
    return { status: 'conflict' };
  }

  /** Merges an underfull node with a neighbour under the same parent, if there is one and it has room. */
  async #merge(address: Address, level: number, low: Key): Promise<void> {
    const parent = await this.search.find(low, level + 1);
    const found = await this.search.find(low, level);
    if (parent === undefined || found === undefined || found.address !== address) return;
    if (found.node.body.length >= this.#target * underfull) return;
    const index = indexOf(parent.node.keys, low);
    if (index < 0) {
      this.post(level + 1, low, address);
      return this.checkFill(address, found.node);
    }
    if (parent.node.keys.length === 1) return this.checkFill(parent.address, parent.node);
    // The first child's left neighbour has another parent, so it takes in its right neighbour instead.
    const left = index > 0 ? await this.search.find(low, level, 'below') : found;
    const right = index > 0 ? found : await this.#rightOf(found, parent.node);
    if (left === undefined || right === undefined || left.node.right !== right.address) return;
    const fits = left.node.body.length + right.node.body.length <= this.#target * mergedFill;
    if (fits || left.node.keys.length === 0 || right.node.keys.length === 0) await this.#absorb(right);
  }

  async #rightOf(left: Found, parent: TreeNode): Promise<Found | undefined> {
    const { high } = left.node;
    return high === undefined || parent.keys[1] !== high ? undefined : this.search.find(high, left.node.level);
  }

  /** Freezes a node and lets its left neighbour (or, for an only child, the root) take it in. */
  async #absorb({ address, version, node }: Found): Promise<void> {
    const [[outcome]] = (await this.#nodes.write([[{ address, version, node: reframe(node, { frozen: true }) }]])) as [[NodeOutcome]];
    if (outcome.status === 'committed') await this.complete(address);
    // Somebody writes to it: then it may not be underfull any longer.
    else if (outcome.status === 'failed') throw outcome.error;
  }

  complete(address: Address): Promise<void> {
    const running = this.#completing.get(address);
    if (running !== undefined) return running;
    const work = this.#complete(address).finally(() => this.#completing.delete(address));
    this.#completing.set(address, work);
    return work;
  }

  async #complete(address: Address): Promise<void> {
    for (;;) {
      const frozen = await this.#nodes.load(address);
      if (frozen === undefined || !frozen.node.frozen) return;
      const taken = frozen.node.low === '' ? await this.#takeIntoRoot(address, frozen.node) : await this.#takeIntoLeft(address, frozen.node);
      if (!taken) continue;
      if (frozen.node.low !== '') await this.repair(frozen.node.level + 1, frozen.node.low, address);
      await this.#nodes.write([[{ address, version: frozen.version, node: null }]]);
      return;
    }
  }

  /** True once the left neighbour covers what the frozen node did. */
  async #takeIntoLeft(address: Address, frozen: TreeNode): Promise<boolean> {
    const left = await this.search.find(frozen.low, frozen.level, 'below');
    assert(left !== undefined, 'a frozen node has a left neighbour');
    // It reaches further, or has split there again since: the content was taken in before.
    if (left.node.high !== frozen.low || left.node.right !== address) return true;
    const { level, low } = left.node;
    const { high, right } = frozen;
    const frame = { level, frozen: false, low, high, right };
    const merged =
      level === 0
        ? new NodeBuilder().keep(left.node).keep(frozen).build(frame)
        : innerNode(frame, new Map([...childrenOf(left.node), ...childrenOf(frozen)]));
    if ((await this.#rewrite(left, merged, false)).status !== 'committed') return false;
    // Their children at the seam have a neighbour under the same parent now: one may have waited for that.
    if (level > 0)
      for (const seam of [left.node.keys.length - 1, left.node.keys.length]) if (seam < merged.keys.length) this.#checkChild(merged, seam);
    return true;
  }

  #checkChild(parent: TreeNode, index: number): void {
    if (this.#merges.size >= maxTasks) return;
    this.#merges.set(childAt(parent, index), { level: parent.level - 1, low: parent.keys[index]! });
    this.#wake();
  }

  /** True once the root has the content of its only child. */
  async #takeIntoRoot(address: Address, frozen: TreeNode): Promise<boolean> {
    const root = await this.#nodes.load(this.#nodes.root);
    assert(root !== undefined, 'a root can always be loaded');
    if (root.node.level !== frozen.level + 1 || childAt(root.node, 0) !== address) return true;
    assert(frozen.right === undefined, 'only an only child is taken into the root');
    return (await this.#rewrite({ ...root, address: this.#nodes.root }, reframe(frozen, { frozen: false }), false)).status === 'committed';
  }

  repair(level: number, separator: Key, child: Address): Promise<void> {
    const running = this.#repairing.get(child);
    if (running !== undefined) return running;
    const work = this.#repair(level, separator, child).finally(() => this.#repairing.delete(child));
    this.#repairing.set(child, work);
    return work;
  }

  /** Removes a parent's entry for a node that is gone. The first entry is redirected instead, since a parent covers its range without gaps. */
  async #repair(level: number, separator: Key, child: Address): Promise<void> {
    for (;;) {
      const parent = await this.search.find(separator, level);
      if (parent === undefined) return;
      const index = indexOf(parent.node.keys, separator);
      if (index < 0 || childAt(parent.node, index) !== child) return;
      const children = childrenOf(parent.node);
      if (index > 0) children.delete(separator);
      else {
        const heir = separator === '' ? undefined : await this.#heirOf(separator, level - 1);
        if (heir === undefined || heir === child) return;
        children.set(separator, heir);
      }
      if ((await this.#rewrite(parent, innerNode(parent.node, children), false)).status === 'committed') return;
    }
  }

  /** The node that covers `low` now, found from the left, past the parent that is being repaired. */
  async #heirOf(low: Key, level: number): Promise<Address | undefined> {
    const left = await this.search.find(low, level, 'below');
    return left === undefined ? undefined : left.node.high === low ? left.node.right : left.address;
  }

  /** A root takes in its first child where that has no neighbours. */
  async #collapseRoot(): Promise<void> {
    const root = await this.#nodes.load(this.#nodes.root);
    if (root === undefined || root.node.level === 0) return;
    const address = childAt(root.node, 0);
    const child = await this.#nodes.load(address);
    if (child === undefined) return;
    if (child.node.frozen) return this.complete(address);
    if (child.node.right === undefined) await this.#absorb({ ...child, address });
    // Siblings that the root does not know: the search that crosses over to one posts it.
    else if (root.node.keys.length === 1 && child.node.high !== undefined) await this.search.find(child.node.high, child.node.level);
  }

  /** Merges all that is left of a tree without entries into its root. @returns false where it has entries. */
  async shrinkToRoot(): Promise<boolean> {
    await this.settled();
    for (let level = 0; ; level++) {
      const root = await this.#nodes.load(this.#nodes.root);
      if (root === undefined || root.node.level === 0) return root === undefined || root.node.keys.length === 0;
      for (;;) {
        const first = await this.search.find('', Math.min(level, root.node.level - 1));
        if (first === undefined) break;
        if (first.node.level === 0 && first.node.keys.length > 0) return false;
        if (first.node.high === undefined) break;
        const next = await this.search.find(first.node.high, first.node.level);
        if (next === undefined || next.node.low !== first.node.high) continue;
        if (next.node.level === 0 && next.node.keys.length > 0) return false;
        await this.#absorb(next);
      }
      await this.#collapseRoot();
      await this.settled();
    }
  }
}

/** Children by separator. */
function childrenOf(node: TreeNode): Map<Key, Address> {
  return new Map(node.keys.map((key, i) => [key, childAt(node, i)]));
}

/** An inner node of children, without those that lead where the one before leads: a redirected entry next to the original. */
function innerNode(frame: NodeFrame, children: ReadonlyMap<Key, Address>): TreeNode {
  const builder = new NodeBuilder();
  let before: Address | undefined;
  for (const [key, child] of [...children].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
    if (child !== before) builder.add(key, childValue(child));
    before = child;
  }
  return builder.build(frame);
}
