/** An ordered stream of bytes both ways. */
export interface WireStream {
  /** Takes chunks by reference. False: the connection is full, wait for {@link onDrain} (they were taken all the same). */
  send(chunks: readonly Uint8Array[]): boolean;
  /** Lent: the bytes are others' once the listener has returned. */
  onData(listener: (chunk: Uint8Array, lent?: boolean) => void): void;
  onDrain(listener: () => void): void;
  /** Called once, when nothing can be sent any more. */
  onClose(listener: () => void): void;
  abort(reason: string): void;
}
