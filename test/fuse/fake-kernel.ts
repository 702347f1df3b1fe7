import type { Addon } from '../../src/fuse/addon.ts';

/** An answer or a notification as the kernel gets it. */
export interface Sent {
  readonly errno: number;
  readonly unique: number;
  readonly body: Buffer;
}

/** The kernel's side of the device, for tests without a mount: hands over requests and collects what comes back. */
export class FakeKernel implements Addon {
  readonly sent: Sent[] = [];
  readonly #requests: Buffer[] = [];
  #wake: ((status: number) => void) | undefined;
  #unique = 1;

  /** Hands over one request and returns its number. */
  request(opcode: number, node: number, body: Uint8Array, uniqueHigh = 0, thread = 0): number {
    const message = Buffer.alloc(40 + body.length);
    message.writeUInt32LE(message.length, 0);
    message.writeUInt32LE(opcode, 4);
    message.writeUInt32LE(this.#unique, 8);
    message.writeUInt32LE(uniqueHigh, 12);
    message.writeBigUInt64LE(BigInt(node), 16);
    message.writeUInt32LE(thread, 32);
    message.set(body, 40);
    this.raw(message);
    return this.#unique++;
  }

  raw(message: Buffer): void {
    this.#requests.push(message);
    this.#wake?.(0);
  }

  /** INIT with everything offered. */
  init(): void {
    const body = Buffer.alloc(64);
    body.writeUInt32LE(7, 0);
    body.writeUInt32LE(45, 4);
    body.writeUInt32LE(0xffff_ffff, 12);
    body.writeUInt32LE(0xffff_ffff, 16);
    this.request(26, 0, body);
  }

  answerTo(unique: number): Sent | undefined {
    return this.sent.find((sent) => sent.unique === unique);
  }

  receive(_fd: number, into: Uint8Array): number {
    const message = this.#requests.shift();
    if (message === undefined) return -11;
    into.set(message);
    return message.length;
  }

  send(_fd: number, from: Uint8Array, length: number): number {
    return this.#collect(Buffer.from(from.subarray(0, length)));
  }

  sendSlices(_fd: number, header: Uint8Array, headerLength: number, slices: readonly Uint8Array[]): number {
    return this.#collect(Buffer.concat([header.subarray(0, headerLength), ...slices]));
  }

  #collect(message: Buffer): number {
    if (message.readUInt32LE(0) !== message.length) throw new Error('a reply of another length than it says');
    this.sent.push({ errno: 0 - message.readInt32LE(4), unique: message.readUInt32LE(8), body: message.subarray(16) });
    return message.length;
  }

  watch(_fd: number, callback: (status: number) => void): object {
    this.#wake = callback;
    return {};
  }

  unwatch(): number {
    this.#wake = undefined;
    return 0;
  }

  notifier(): number {
    return -38;
  }

  closeDescriptor(): number {
    return 0;
  }

  takeDescriptor(): number {
    return -38;
  }

  trim(): number {
    return 0;
  }
}
