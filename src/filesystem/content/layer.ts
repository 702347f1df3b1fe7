import { assert } from '../../base/index.ts';
import type { DataBlock } from './data-block.ts';
import type { Span } from '../journal/unsynced.ts';

/** A run of a file's bytes that the extent map does not know yet: bytes in memory, a part of a sealed block, or a hole. */
export type Piece = BytesPiece | BlockPiece | HolePiece;

export interface BytesPiece {
  readonly kind: 'bytes';
  start: number;
  end: number;
  buffer: Uint8Array;
  /** Index of `start` in the buffer. */
  at: number;
  /** Indices of the buffer up to here are this piece's own, so it may grow in place. */
  limit: number;
}

export interface BlockPiece {
  readonly kind: 'block';
  start: number;
  end: number;
  readonly block: DataBlock;
  /** Index of `start` in the block's body. */
  at: number;
}

export interface HolePiece {
  readonly kind: 'hole';
  start: number;
  /** Infinity: to the end of the file. */
  end: number;
  /** Room is set aside for it. */
  readonly reserved?: true;
}

/** Pieces in order, disjoint: one layer of changes over a file's content. What no piece covers shows through from below. */
export class Layer {
  readonly pieces: Piece[] = [];
  /** Sum of the lengths of `bytes` pieces. */
  bytes = 0;
  /** Sum of the lengths of holes that room is set aside for. */
  reserved = 0;

  get empty(): boolean {
    return this.pieces.length === 0;
  }

  /** Index of the first piece that ends after `offset`. */
  find(offset: number): number {
    let low = 0;
    let high = this.pieces.length;
    // Appends are the common case.
    if (high > 0 && this.pieces[high - 1]!.end <= offset) return high;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.pieces[middle]!.end > offset) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  /** Puts a piece over whatever was in its range. */
  put(piece: Piece): void {
    const index = this.clear(piece.start, piece.end);
    this.pieces.splice(index, 0, piece);
    this.#less(piece, piece.start - piece.end);
  }

  #less(piece: Piece, bytes: number): void {
    if (piece.kind === 'bytes') this.bytes -= bytes;
    else if (piece.kind === 'hole' && piece.reserved === true) this.reserved -= bytes;
  }

  /** Takes [start, end) out; returns the index where a piece for it belongs. */
  clear(start: number, end: number): number {
    assert(start < end, 'a range has a positive length');
    const { pieces } = this;
    let index = this.find(start);
    const first = pieces[index];
    if (first === undefined || first.start >= end) return index;
    if (first.start < start) {
      if (first.end > end) return this.#split(first, index, start, end);
      this.#less(first, first.end - start);
      first.end = start;
      index++;
    }
    let last = index;
    while (last < pieces.length && pieces[last]!.end <= end) {
      const gone = pieces[last]!;
      this.#less(gone, gone.end - gone.start);
      // Nothing will ever show it again, nor put it: not even a flush that knows it, which becomes another one with this.
      if (gone.kind === 'block' && --gone.block.references === 0) gone.block.forget();
      last++;
    }
    if (last > index) pieces.splice(index, last - index);
    const next = pieces[index];
    if (next !== undefined && next.start < end) {
      if (next.kind !== 'hole') next.at += end - next.start;
      this.#less(next, end - next.start);
      next.start = end;
    }
    return index;
  }

  #split(piece: Piece, index: number, start: number, end: number): number {
    const rest = { ...piece, start: end };
    if (rest.kind !== 'hole') rest.at += end - piece.start;
    if (piece.kind === 'block') piece.block.references++;
    this.#less(piece, end - start);
    if (piece.kind === 'bytes') piece.limit = piece.at + (start - piece.start);
    piece.end = start;
    this.pieces.splice(index + 1, 0, rest);
    return index + 1;
  }
}

/** The change that shows at `position`, undefined where there is none, and until where at the most that goes on. @param layers the newest first. */
export function changeAt(layers: readonly Layer[], position: number): { readonly piece: Piece | undefined; readonly until: number } {
  let until = Infinity;
  for (const layer of layers) {
    const piece = layer.pieces[layer.find(position)];
    if (piece === undefined) continue;
    if (piece.start <= position) return { piece, until: Math.min(until, piece.end) };
    until = Math.min(until, piece.start);
  }
  return { piece: undefined, until };
}

/** Where there are changes, in order and disjoint. */
export function changedSpans(layers: readonly Layer[]): Span[] {
  const spans: { start: number; end: number }[] = [];
  const pieces = layers.flatMap((layer) => layer.pieces);
  for (const { start, end } of pieces.toSorted((a, b) => a.start - b.start)) {
    const last = spans.at(-1);
    if (last !== undefined && start <= last.end) last.end = Math.max(last.end, end);
    else spans.push({ start, end });
  }
  return spans;
}
