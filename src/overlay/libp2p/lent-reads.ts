import type { TLSSocket } from 'node:tls';

/** As much as one record of TLS holds, which is what Node reads at once. */
const bufferBytes = 16 * 1024;
/** One for all sockets: what lies in it is taken before the next is read. */
const shared = Buffer.allocUnsafeSlow(bufferBytes);

type ByName = Record<symbol, unknown>;

/**
 * Has a TLS socket that is connected already read into one buffer, which is what Node's option `onread` does for sockets that it connects itself: no memory, and
 * no trip through a stream, for each record. The bytes are `listener`'s for the time of the call.
 * It leans on names inside Node 24; false where they are not as expected, and nothing has changed then.
 */
export function readLent(socket: TLSSocket, listener: (bytes: Buffer) => void): boolean {
  const names = Object.getOwnPropertySymbols(socket);
  const buffer = names.find(({ description }) => description === 'kBuffer');
  const callback = names.find(({ description }) => description === 'kBufferCb');
  const { _handle: handle } = socket as { readonly _handle?: { useUserBuffer?(into: Uint8Array): void } };
  if (buffer === undefined || callback === undefined || handle?.useUserBuffer === undefined) return false;
  const inside = socket as unknown as ByName;
  inside[buffer] = shared;
  inside[callback] = (bytes: number) => listener(shared.subarray(0, bytes));
  handle.useUserBuffer(shared);
  // Node may have stopped reading when nobody took what had come.
  socket.resume();
  return true;
}
