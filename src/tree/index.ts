/**
 * An ordered map of byte strings over mutable blocks: a B-link tree (Lehman & Yao 1981). Any number of hosts read and write it
 * at once; every block write is one compare-and-set, and a crash between any two of them leaves a right tree.
 * Directories, a volume's list of orphans and the catalogue of volumes are such trees. docs/trees.md explains and argues it.
 */
export {
  type ApplyResult,
  type Change,
  type Condition,
  type Entry,
  ifAbsent,
  ifPresent,
  type Key,
  maxKeyBytes,
  maxValueBytes,
  type NodeSealer,
  type Page,
  type TreeOptions,
} from './types.ts';
export { BLinkTree, emptyRoot } from './b-link-tree.ts';
export { NodeCache } from './node-cache.ts';
