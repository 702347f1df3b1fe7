import type { Address } from '../../block/index.ts';
import type { Content } from './content.ts';
import type { Layer, Piece } from './layer.ts';
import { need } from '../miss.ts';
import { type Reading, zeros } from './reading.ts';

/** The bytes of [start, end): changes over what is durable. What is not in memory is noted as missing. @throws Miss where it is not known where that lies. */
export function readContent(content: Content, start: number, end: number, reading: Reading): void {
  readLayer(content, content.layers, 0, start, end, reading);
}

function readLayer(content: Content, layers: readonly Layer[], depth: number, start: number, end: number, reading: Reading): void {
  const layer = layers[depth];
  if (layer === undefined) return readBase(content, start, end, reading);
  let position = start;
  for (let index = layer.find(start); position < end; index++) {
    const piece = layer.pieces[index];
    const gapEnd = Math.min(end, piece?.start ?? end);
    if (gapEnd > position) readLayer(content, layers, depth + 1, position, gapEnd, reading);
    if (piece === undefined || piece.start >= end) return;
    const from = Math.max(position, piece.start);
    position = Math.min(end, piece.end);
    readPiece(content, piece, from, position, reading);
  }
}

function readPiece(content: Content, piece: Piece, start: number, end: number, reading: Reading): void {
  if (piece.kind === 'hole') return zeros(end - start, reading.out);
  const at = piece.at + start - piece.start;
  const bytes = piece.kind === 'bytes' ? piece.buffer : piece.block.body(content.services.context);
  if (bytes === undefined && piece.kind === 'block') readStored(content, piece.block.address, at, end - start, reading);
  else reading.out.push(bytes!.subarray(at, at + end - start));
}

function readBase(content: Content, start: number, end: number, reading: Reading): void {
  const { map, inline } = content;
  if (map === undefined) {
    const known = Math.max(start, Math.min(end, inline?.length ?? 0));
    if (known > start) reading.out.push(inline!.subarray(start, known));
    if (end > known) zeros(end - known, reading.out);
    return;
  }
  for (const segment of need(map.lookup(start, end - start))) {
    if (segment.address === undefined) zeros(segment.length, reading.out);
    else readStored(content, segment.address, segment.blockOffset, segment.length, reading);
  }
}

function readStored(content: Content, address: Address, blockOffset: number, length: number, reading: Reading): void {
  const key = `${address}:${blockOffset}:${length}`;
  const bytes = reading.pinned.parts.get(key) ?? content.services.cache.get(address)?.subarray(blockOffset, blockOffset + length);
  if (bytes === undefined) reading.missing.push({ address, blockOffset, length, key });
  else reading.out.push(bytes);
}
