import type { Content } from '../content/content.ts';
import type { VolumeContext } from '../context.ts';
import { dataBlockBytes } from '../content/data-block.ts';
import type { Inode } from '../inodes/inode.ts';
import { changeAt, changedSpans } from '../content/layer.ts';
import type { HeldChanges } from './held-changes.ts';
import type { RedoLog, RedoMark } from './redo-log.ts';

/** Logging anew stops for other work after so many bytes, and pieces. */
const sliceBytes = dataBlockBytes;
const slicePieces = 128;

interface Parts {
  readonly context: VolumeContext;
  readonly held: HeldChanges;
}

/**
 * Everything that was done before `mark` is durable, but what was done to these inodes: that is logged anew, as it is now, and the log is trimmed all the same. A record says
 * what content and attributes are, so it does not matter what of them the store comes to have meanwhile; and until the log is trimmed the older records are there, so it may end
 * anywhere. What is held for inodes whose records are out of reach goes with it. False: the log has no room for it.
 */
export async function carryOver(parts: Parts, redo: RedoLog, inodes: readonly Inode[], mark: RedoMark): Promise<boolean> {
  let bytes = 0;
  for (const { content } of inodes) bytes += content === undefined ? 0 : bytesOf(content);
  if (bytes > Math.max(0, redo.room.maxCarried - parts.held.bytes)) return false;
  const { written } = redo.room;
  await parts.held.carry(redo);
  for (const inode of inodes) {
    if (inode.content !== undefined) await carryContent(parts.context, redo, inode, inode.content);
    if (!inode.gone) redo.attributes(inode, Math.max(inode.xattrsRevision, inode.callsRevision) > inode.writtenRevision);
  }
  // With what others wrote meanwhile, which is no more than they are given room for.
  redo.trim(mark, redo.room.written - written);
  return true;
}

/** What the log needs of it itself, at the most. */
function bytesOf({ layers }: Content): number {
  let bytes = 0;
  for (const { pieces } of layers)
    for (const piece of pieces) if (piece.kind === 'bytes' || (piece.kind === 'block' && !piece.block.durable)) bytes += piece.end - piece.start;
  return bytes;
}

async function carryContent(context: VolumeContext, redo: RedoLog, inode: Inode, content: Content): Promise<void> {
  let [bytes, pieces] = [0, 0];
  for (const { start, end } of changedSpans(content.layers))
    for (let position = start; position < end && !inode.gone;) {
      const { piece, until } = changeAt(content.layers, position);
      // It may be durable by now, and become so at any time: what it is in each turn of the event loop is looked at anew.
      let next = Math.min(until, end);
      if (piece?.kind === 'hole') redo.hole(piece.reserved === true ? 'reserve' : 'punch', inode.number, position, next);
      else if (piece !== undefined) {
        next = Math.min(next, position + dataBlockBytes);
        const [offset, length, at] = [position, next - position, piece.at + position - piece.start];
        const body = piece.kind === 'bytes' ? piece.buffer : piece.block.body(context);
        if (body !== undefined) {
          redo.write(inode.number, offset, body.subarray(at, at + length));
          bytes += length;
        } else if (piece.kind === 'block') {
          // The store has it, though it may be out of reach: nothing waits for it here.
          redo.stored(inode.number, { offset, length, address: piece.block.address, at, blockBytes: piece.block.size });
        }
      }
      position = next;
      if (bytes < sliceBytes && ++pieces < slicePieces) continue;
      [bytes, pieces] = [0, 0];
      await new Promise((resolve) => setImmediate(resolve));
    }
}
