import { assert } from '../../base/index.ts';
import { capacityOf, type Child, type ExtentNode, floorIndex, isLeaf, newChild } from './node.ts';
import type { RecordCodec } from './records.ts';

/** A record to put under a key, or (undefined) the key to delete. */
export interface Edit<R> {
  readonly key: number;
  readonly record: R | undefined;
}

/** What an edit needs of its tree. */
export interface EditContext<R> {
  readonly codec: RecordCodec<R>;
  readonly nodeBytes: number;
  /** A node that is in memory. */
  node(child: Child<R>): ExtentNode<R> | undefined;
  /** Nothing refers to it any longer. */
  supersede(child: Child<R>): void;
}

/** How full the pieces of a split are, so that each has room for what comes next. */
const splitFill = 0.75;
/** A node below this share is merged with a neighbour, if both together stay below {@link splitFill}. */
const underfull = 0.25;

/** A child with the least key below it. */
interface Keyed<R> {
  readonly key: number;
  readonly child: Child<R>;
}

/** The root that results from applying edits (ascending keys) below `root`. Pure but for the context. */
export function editTree<R>(root: Child<R> | undefined, edits: readonly Edit<R>[], context: EditContext<R>): Child<R> | undefined {
  if (edits.length === 0) return root;
  let top =
    root === undefined ? pieces({ level: 0, keys: [], records: [] }, leafOf([], [], edits), true, context) : editChild(root, edits, true, context);
  let level = top.length === 0 ? 0 : context.node(top[0]!.child)!.level;
  while (top.length > 1)
    top = pieces(undefined, { level: ++level, keys: top.map(({ key }) => key), children: top.map(({ child }) => child) }, true, context);
  let only = top[0]?.child;
  // A root with one child is superfluous.
  for (;;) {
    const node = only === undefined ? undefined : context.node(only);
    if (only === undefined || node === undefined || isLeaf(node) || node.children.length > 1) return only;
    context.supersede(only);
    only = node.children[0];
  }
}

/** What replaces a child; `last`: nothing lies right of it. */
function editChild<R>(child: Child<R>, edits: readonly Edit<R>[], last: boolean, context: EditContext<R>): Keyed<R>[] {
  const node = context.node(child);
  assert(node !== undefined, 'an edited path is in memory');
  context.supersede(child);
  if (isLeaf(node)) return pieces(node, leafOf(node.keys, node.records, edits), last, context);
  const replaced: Keyed<R>[] = [];
  for (let i = 0, from = 0; i < node.keys.length; i++) {
    const next = node.keys[i + 1];
    let to = next === undefined ? edits.length : from;
    while (to < edits.length && edits[to]!.key < next!) to++;
    const below = node.children[i]!;
    if (to === from) replaced.push({ key: node.keys[i]!, child: below });
    else replaced.push(...editChild(below, edits.slice(from, to), last && next === undefined, context));
    from = to;
  }
  const merged = mergeUnderfull(replaced, context);
  return pieces(node, { level: node.level, keys: merged.map(({ key }) => key), children: merged.map((one) => one.child) }, last, context);
}

function leafOf<R>(keys: readonly number[], records: readonly R[], edits: readonly Edit<R>[]): ExtentNode<R> {
  const newKeys: number[] = [];
  const newRecords: R[] = [];
  let from = 0;
  for (const { key, record } of edits) {
    for (; from < keys.length && keys[from]! < key; from++) {
      newKeys.push(keys[from]!);
      newRecords.push(records[from]!);
    }
    if (keys[from] === key) from++;
    if (record === undefined) continue;
    newKeys.push(key);
    newRecords.push(record);
  }
  for (; from < keys.length; from++) {
    newKeys.push(keys[from]!);
    newRecords.push(records[from]!);
  }
  return { level: 0, keys: newKeys, records: newRecords };
}

/** The node as one child, as several where it outgrew its bytes, or none where it is empty. */
function pieces<R>(before: ExtentNode<R> | undefined, node: ExtentNode<R>, last: boolean, context: EditContext<R>): Keyed<R>[] {
  const { codec } = context;
  const count = node.keys.length;
  if (count === 0) return [];
  const capacity = capacityOf(context.nodeBytes, node.level, codec);
  if (count <= capacity) return [{ key: node.keys[0]!, child: newChild(node, codec) }];
  // Growth at the very end goes on there: leave full nodes behind.
  const appended = last && (before === undefined || before.keys.length === 0 || floorIndex(node.keys, before.keys.at(-1)!) + 1 >= before.keys.length);
  const share = appended ? capacity : Math.ceil(count / Math.ceil(count / (capacity * splitFill)));
  const result: Keyed<R>[] = [];
  for (let start = 0; start < count; start += share)
    result.push({ key: node.keys[start]!, child: newChild(slice(node, start, start + share), codec) });
  return result;
}

function slice<R>(node: ExtentNode<R>, start: number, end: number): ExtentNode<R> {
  const keys = node.keys.slice(start, end);
  return isLeaf(node)
    ? { level: 0, keys, records: node.records.slice(start, end) }
    : { level: node.level, keys, children: node.children.slice(start, end) };
}

/** Joins new nodes that got small with a neighbour that is in memory. */
function mergeUnderfull<R>(children: readonly Keyed<R>[], context: EditContext<R>): Keyed<R>[] {
  const result: Keyed<R>[] = [];
  for (const one of children) {
    const before = result.at(-1);
    const joined = before === undefined ? undefined : join(before, one, context);
    if (joined === undefined) result.push(one);
    else result[result.length - 1] = joined;
  }
  return result;
}

function join<R>(a: Keyed<R>, b: Keyed<R>, context: EditContext<R>): Keyed<R> | undefined {
  // Only what is being rewritten anyway sets a merge off.
  if (a.child.node === undefined && b.child.node === undefined) return undefined;
  const left = context.node(a.child);
  const right = context.node(b.child);
  if (left === undefined || right === undefined) return undefined;
  const capacity = capacityOf(context.nodeBytes, left.level, context.codec);
  const count = left.keys.length + right.keys.length;
  if (Math.min(left.keys.length, right.keys.length) > capacity * underfull || count > capacity * splitFill) return undefined;
  for (const { child } of [a, b]) context.supersede(child);
  const keys = left.keys.concat(right.keys);
  const node: ExtentNode<R> =
    isLeaf(left) && isLeaf(right)
      ? { level: 0, keys, records: left.records.concat(right.records) }
      : { level: left.level, keys, children: [...childrenOf(left), ...childrenOf(right)] };
  return { key: a.key, child: newChild(node, context.codec) };
}

function childrenOf<R>(node: ExtentNode<R>): readonly Child<R>[] {
  return isLeaf(node) ? [] : node.children;
}
