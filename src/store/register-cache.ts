import type { Address } from '../block/index.ts';
import { type AcceptorState, decodeState, lostState } from '../consensus/index.ts';
import type { Disk } from '../disk/index.ts';
import { isDamaged } from './failures.ts';

/** Registers whose state is kept in memory; those with a write under way come on top. */
const maxCachedRegisters = 16_384;
/** Bytes of values among them. */
const maxCachedBytes = 64 * 1024 * 1024;
/** What trimming leaves of that: little goes at a time, so that it never takes long. */
const trimmedShare = 15 / 16;
/** Registers that are being read from the disk at once. */
const maxLoading = 4096;

/** One register on this host. */
export interface Register {
  state: AcceptorState | undefined;
  /** Settles when `state` is on stable storage; undefined: it is. */
  durable: Promise<void> | undefined;
  /** The last write failed: what is in memory may not be on the disk and must be written again before anything is said about it. */
  unsaved: boolean;
  /** Of its value. */
  bytes: number;
}

/** The registers of a disk that are in memory. It changes none of them: whoever does tells it by {@link resize} and {@link noteRemoved}. */
export class RegisterCache {
  readonly #disk: Disk;
  readonly #onLost: (block: Address) => void;
  readonly #registers = new Map<Address, Register>();
  readonly #loading = new Map<Address, Promise<Register>>();
  #bytes = 0;
  /** Raised when all is forgotten: what was read from the disk before is old. */
  #generation = 0;
  /** Registers that became tombstones since the last trim. */
  readonly #removed: Address[] = [];
  /** Its turn is near. */
  #trimming = false;
  /** Registers read from the disk since the start. */
  loads = 0;

  /** `onLost` is told of a register whose record turned out to be damaged. */
  constructor(disk: Disk, onLost: (block: Address) => void) {
    this.#disk = disk;
    this.#onLost = onLost;
  }

  get size(): number {
    return this.#registers.size;
  }

  /** As it is now, durable or not; undefined: not in memory. */
  get(address: Address): Register | undefined {
    return this.#registers.get(address);
  }

  /** Whether a further register can be read now without more reads at once than are good. */
  mayLoad(address: Address): boolean {
    return this.#loading.size < maxLoading || this.#loading.has(address);
  }

  /** Reads it into memory, where it may be dropped again before the caller's turn. */
  load(address: Address): Promise<Register> {
    let loading = this.#loading.get(address);
    if (loading === undefined) {
      const own = this.#read(address).finally(() => {
        if (this.#loading.get(address) === own) this.#loading.delete(address);
      });
      this.#loading.set(address, (loading = own));
    }
    return loading;
  }

  /** Resolves when nothing that is read now is still on its way. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#loading.values());
  }

  /** Forgets everything: the disk was emptied. */
  clear(): void {
    this.#registers.clear();
    this.#bytes = 0;
    this.#generation++;
    // Whoever asks from now on is not to wait for a read of before.
    this.#loading.clear();
  }

  /** Counts what the state of a register takes. */
  resize(register: Register, state: AcceptorState | undefined): void {
    const bytes = state?.accepted?.record.value?.length ?? 0;
    this.#bytes += bytes - register.bytes;
    register.bytes = bytes;
  }

  /** A tombstone is hardly ever asked for: a large removal must not fill memory with what is gone. */
  noteRemoved(address: Address, register: Register): void {
    if (isRemoved(register)) this.#removed.push(address);
  }

  /**
   * Has registers dropped where there are too many: those that were loaded first, but none that is not durable yet. In a turn of its own, since in
   * this one somebody may be between finding a register and changing it.
   */
  trim(): void {
    if (this.#removed.length === 0 && !this.#isOver(1)) return;
    if (this.#trimming) return;
    this.#trimming = true;
    setImmediate(() => {
      this.#trimming = false;
      this.#trim();
    });
  }

  async #read(address: Address): Promise<Register> {
    this.loads++;
    const generation = this.#generation;
    const stored = await this.#stored(address);
    const register: Register = { state: stored.state, durable: undefined, unsaved: stored.damaged, bytes: 0 };
    if (generation !== this.#generation) return register;
    this.resize(register, register.state);
    this.#registers.set(address, register);
    if (stored.damaged) this.#onLost(address);
    return register;
  }

  /** A damaged record must not be taken for none: the acceptor would vote as if it had never promised anything. */
  async #stored(address: Address): Promise<{ readonly state: AcceptorState | undefined; readonly damaged: boolean }> {
    try {
      const bytes = await this.#disk.read(address);
      return { state: bytes === undefined ? undefined : decodeState(bytes), damaged: false };
    } catch (error) {
      if (isDamaged(error)) return { state: lostState, damaged: true };
      throw error;
    }
  }

  #isOver(share: number): boolean {
    return this.#registers.size > maxCachedRegisters * share || this.#bytes > maxCachedBytes * share;
  }

  #trim(): void {
    for (const address of this.#removed.splice(0)) {
      const register = this.#registers.get(address);
      if (register !== undefined && isRemoved(register)) this.#drop(address, register);
    }
    if (!this.#isOver(1)) return;
    for (const [address, register] of this.#registers) {
      if (!this.#isOver(trimmedShare)) return;
      this.#drop(address, register);
    }
  }

  #drop(address: Address, register: Register): void {
    if (register.durable !== undefined || register.unsaved) return;
    this.#registers.delete(address);
    this.resize(register, undefined);
  }
}

/** It holds a tombstone. */
function isRemoved({ state }: Register): boolean {
  return state?.accepted?.record.value === null;
}
