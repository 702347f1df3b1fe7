/**
 * Where a file's bytes are: a copy-on-write tree of immutable blocks that maps file offsets to parts of data blocks and knows how
 * many bytes of each data block are still live. Its root is a small value that lives in the inode's block, with the most recent
 * changes in it, so that a small synced write costs one data block and one inode record. docs/trees.md explains the format.
 */
export { ExtentMap } from './extent-map.ts';
export { ExtentNodeCache } from './extent-node-cache.ts';
export type { BlockUse, ByteRange, ExtentCommit, ExtentNodeIo, ExtentOptions, Segment } from './types.ts';
