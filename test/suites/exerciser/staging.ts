import { call, ftruncate, Mapping, must, pwrite } from '../posix/syscalls.ts';

const name = Buffer.from('exerciser\0');

/** Memory between this program and files: pages, as O_DIRECT wants them, and a file, so that the kernel itself copies between it and mapped memory. */
export class Staging implements Disposable {
  readonly fd: number;
  readonly #mapping: Mapping;
  /** Where its pages lie. */
  readonly address: bigint;

  constructor(bytes: number) {
    this.fd = must(call('memfdCreate', name, 0));
    must(ftruncate(this.fd, bytes));
    this.#mapping = new Mapping(this.fd, bytes);
    this.address = BigInt(this.#mapping.address);
  }

  put(data: Uint8Array): void {
    must(pwrite(this.fd, data, 0));
  }

  take(length: number, offset = 0): Buffer {
    const into = Buffer.alloc(length);
    if (length > 0) must(call('pread64', this.fd, into, length, offset));
    return into;
  }

  [Symbol.dispose](): void {
    this.#mapping[Symbol.dispose]();
    must(call('close', this.fd));
  }
}
