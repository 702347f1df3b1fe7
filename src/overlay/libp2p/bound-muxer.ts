import type { Connection } from '@libp2p/interface';

/** Bytes of a yamux header. */
const headerBytes = 12;
const dataType = 0;
/** What may be sent on a stream before its window was made wider: yamux's own constant. */
const firstWindowBytes = 256 * 1024;
/** Streams that a member may have open on a connection: one of ours, and Kademlia's. */
const maxStreamsOfMember = 64;
/** A stranger needs the one on which it asks to be let in. */
const maxStreamsOfStranger = 2;
/** Answers of the muxer (to pings, to streams too many, of windows) that wait where the peer does not read. */
const maxUnread = 4096;
/** Of a frame that comes bit by bit each piece is kept as it came, until there are so many, and more than one for so many bytes. */
const [piecesKept, bytesOfPiece] = [256, 1024];

/** What libp2p's list of buffers can do. */
interface ByteList {
  readonly byteLength: number;
  subarray(from?: number, to?: number): Uint8Array;
  consume(bytes: number): void;
  append(bytes: Uint8Array): void;
}

/** What lies inside libp2p's yamux 8.0. */
interface YamuxMuxer {
  readonly streams: readonly { readonly streamId: number; readonly recvWindowCapacity: number }[];
  readonly decoder: { readonly buffer: ByteList; readFrame(): object | undefined };
  readonly maConn: { readonly writableNeedsDrain: boolean };
  maxInboundStreams: number;
  send(bytes: unknown): boolean;
}

/**
 * Bounds what the muxer of a connection keeps for its peer, which by itself it does not, so that anybody who could connect took what memory there is: it gathers a frame of whatever
 * length it promises, up to 4 GiB, before it looks at the stream's window; answers pings into a buffer without end where nobody reads them; and keeps 4 MiB of each of a
 * thousand streams whose protocol has not been agreed on.
 */
export function boundMuxer(connection: Connection, isMember: () => boolean): void {
  const { muxer } = connection as Connection & { readonly muxer?: Partial<YamuxMuxer> };
  if (muxer?.decoder === undefined || muxer.send === undefined) return;
  const inner = muxer as YamuxMuxer;
  Object.defineProperty(inner, 'maxInboundStreams', { get: () => (isMember() ? maxStreamsOfMember : maxStreamsOfStranger) });
  boundFrames(inner);
  boundAnswers(inner, connection);
}

/** A frame that is not here yet may be as long as its stream's window at the most: the muxer refuses a longer one too, but once it is here. */
function boundFrames({ decoder, streams }: YamuxMuxer): void {
  const { buffer } = decoder;
  const readFrame = decoder.readFrame.bind(decoder);
  let pieces = 0;
  decoder.readFrame = () => {
    const frame = readFrame();
    if (frame !== undefined || buffer.byteLength < headerBytes) {
      pieces = 0;
      return frame;
    }
    const header = Buffer.from(buffer.subarray(0, headerBytes));
    const [id, length] = [header.readUInt32BE(4), header.readUInt32BE(8)];
    const window = streams.find(({ streamId }) => streamId === id)?.recvWindowCapacity ?? firstWindowBytes;
    if (header[1] === dataType && length > window) throw new Error(`a frame of ${length} bytes for a window of ${window}`);
    if (++pieces > piecesKept + buffer.byteLength / bytesOfPiece) {
      const all = buffer.subarray();
      buffer.consume(all.byteLength);
      buffer.append(all);
      pieces = 0;
    }
    return undefined;
  };
}

function boundAnswers(muxer: YamuxMuxer, connection: Connection): void {
  const send = muxer.send.bind(muxer);
  let unread = 0;
  muxer.send = (bytes) => {
    // All that waited goes to the socket at once when that has room again.
    unread = muxer.maConn.writableNeedsDrain ? unread + 1 : 0;
    if (unread <= maxUnread) return send(bytes);
    if (unread === maxUnread + 1) connection.abort(new Error('a peer makes the muxer answer and does not read'));
    return false;
  };
}
