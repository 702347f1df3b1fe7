import type { MaybePromise } from '../file-system.ts';
import { endOf } from './recent-extents.ts';
import type { BlockRecord, Extent } from './records.ts';
import type { ByteRange } from './types.ts';

/** A block less live than this is worth rewriting what is left of it. */
const sparseShare = 0.5;
/** A piece of file of this size … */
const cellBytes = 1024 * 1024;
/** … that refers to so many blocks reads badly: it is rewritten into one. */
const scatteredBlocks = 8;
/** Extents looked at in one search; the next goes on behind them. */
const maxExtentsPerSearch = 16_384;
/** Extents looked at before other work gets its turn: some 0.5 ms. */
const extentsPerTurn = 512;

/** What a search reads of a map. */
export interface CompactionSource {
  /** Some mapped extents from an offset on, and where to go on (undefined: at the start). */
  segments(offset: number): MaybePromise<{ readonly extents: readonly Extent[]; readonly next: number | undefined }>;
  block(id: number): MaybePromise<BlockRecord | undefined>;
  /** Lets other work have its turn. */
  pause(): Promise<void>;
}

/** Ranges from `from` on whose rewriting frees room or brings order, at most about `limit` bytes, and where the next search goes on. */
export async function compactionRanges(from: number, limit: number, source: CompactionSource): Promise<{ ranges: ByteRange[]; next: number }> {
  const ranges: ByteRange[] = [];
  let found = 0;
  let position = from;
  for (let looked = 0, paused = 0; looked < maxExtentsPerSearch && found < limit;) {
    const { extents, next } = await source.segments(position);
    looked += extents.length + 1;
    for (const cell of cellsOf(extents)) {
      for (const extent of await worthwhile(cell, source)) {
        add(ranges, extent);
        found += extent.length;
      }
    }
    position = next ?? 0;
    if (next === undefined) break;
    if (looked - paused >= extentsPerTurn) {
      paused = looked;
      await source.pause();
    }
  }
  return { ranges, next: position };
}

/** Runs of extents that begin in the same cell. */
function* cellsOf(extents: readonly Extent[]): Iterable<readonly Extent[]> {
  let cell: Extent[] = [];
  for (const extent of extents) {
    if (cell.length > 0 && Math.floor(cell[0]!.offset / cellBytes) !== Math.floor(extent.offset / cellBytes)) {
      yield cell;
      cell = [];
    }
    cell.push(extent);
  }
  if (cell.length > 0) yield cell;
}

async function worthwhile(cell: readonly Extent[], source: CompactionSource): Promise<readonly Extent[]> {
  if (new Set(cell.map(({ block }) => block)).size >= scatteredBlocks) return cell;
  const sparse: Extent[] = [];
  for (const extent of cell) {
    const block = await source.block(extent.block);
    if (block !== undefined && block.live < block.size * sparseShare) sparse.push(extent);
  }
  return sparse;
}

function add(ranges: ByteRange[], extent: Extent): void {
  const last = ranges.at(-1);
  if (last !== undefined && last.offset + last.length === extent.offset) ranges[ranges.length - 1] = { ...last, length: endOf(extent) - last.offset };
  else ranges.push({ offset: extent.offset, length: extent.length });
}
