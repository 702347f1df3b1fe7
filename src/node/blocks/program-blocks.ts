import { randomInt } from 'node:crypto';

import {
  type BlockReport,
  type BlockService,
  type BlockState,
  type CallLimits,
  maxImmutableValueBytes,
  maxValueBytes,
  programOwner,
  type WriteOutcome,
} from '../../api/index.ts';
import { assert, BlockBuffers, codeOf, commitLeavesUnchanged, InfinitError, KeyedQueue, messageOf, minPooledBytes } from '../../base/index.ts';
import { type Address, bodyWithLineage, findWrite, isOwnedBy, kindOf, Sealer, sealOverheadBytes, valueIn } from '../../block/index.ts';
import type { BlockStore, CommitResult, SealedBlock, Sent, StoredBlock, Update, UpdateOutcome } from '../../store/index.ts';
import { CallMeter } from '../measured-store.ts';

/** Programs' blocks are not encrypted. Of immutable ones the same value is the same block: hence one owner tag for all. */
const sameTag = { volume: programOwner, inode: 0, epoch: 0, session: 0, sequence: 0 };
const defaultDeadlineMs = 10_000;
/** Before the first look at how a write ended whose outcome is open, and between two attempts, at most. */
const firstRetryMs = 1;
const retryMs = 20;
/** A removal of several versions at once: the outcome names none. */
const droppedVersion = 1;

/**
 * The value store of programs over the block store that volumes share. What a program writes carries the programs' owner tag, and what it
 * reads, writes or removes must carry it: a mistaken address cannot damage a volume.
 */
export class ProgramBlocks implements BlockService {
  readonly meters = {
    put: new CallMeter(),
    get: new CallMeter(),
    create: new CallMeter(),
    update: new CallMeter(),
    remove: new CallMeter(),
  } as const;
  readonly #store: BlockStore;
  readonly #sealer = new Sealer();
  readonly #buffers = new BlockBuffers();
  readonly #turns = new KeyedQueue();
  readonly #session = randomInt(2 ** 32);
  #nextWrite = 1;
  readonly #freshAddress: () => Address;
  readonly #report: (address: Address, limits: CallLimits) => Promise<BlockReport>;

  constructor(store: BlockStore, report: (address: Address, limits: CallLimits) => Promise<BlockReport>, freshAddress: () => Address) {
    this.#store = store;
    this.#report = report;
    this.#freshAddress = freshAddress;
  }

  put(value: Uint8Array, limits: CallLimits): Promise<Address> {
    return this.meters.put.measure(this.#put(value, limits));
  }

  async make(value: Uint8Array, limits: CallLimits): Promise<{ readonly address: Address; readonly outcome: WriteOutcome }> {
    const address = this.#freshAddress();
    return { address, outcome: await this.create(address, value, limits) };
  }

  create(address: Address, value: Uint8Array, limits: CallLimits): Promise<WriteOutcome> {
    return this.#measure(this.meters.create, () => this.#create(address, value, limits));
  }

  update(address: Address, value: Uint8Array | null, expect: number | undefined, limits: CallLimits): Promise<WriteOutcome> {
    return this.#measure(value === null ? this.meters.remove : this.meters.update, () => this.#update(address, value, expect, limits));
  }

  get(address: Address, limits: CallLimits): Promise<BlockState | undefined> {
    return this.meters.get.measure(this.#get(address, limits));
  }

  drop(address: Address, limits: CallLimits): Promise<WriteOutcome> {
    return this.#measure(this.meters.remove, () => this.#drop(address, limits));
  }

  /** Conflicts and outcomes that are not known are no exceptions, but count among the failures. */
  async #measure(meter: CallMeter, call: () => Promise<WriteOutcome>): Promise<WriteOutcome> {
    const began = performance.now();
    let outcome: WriteOutcome;
    try {
      outcome = await call();
    } catch (error) {
      meter.failed(codeOf(error));
      throw error;
    } finally {
      meter.took(began);
    }
    if (outcome.status === 'conflict') meter.failed('conflict');
    else if (outcome.status !== 'committed') meter.failed(outcome.code);
    return outcome;
  }

  async #put(value: Uint8Array, limits: CallLimits): Promise<Address> {
    checkSize(value, maxImmutableValueBytes, 'an immutable block');
    const memory = value.length < minPooledBytes ? undefined : this.#buffers.take();
    const block = this.#sealer.seal(sameTag, value, memory);
    // A value that is too large for it has memory of its own.
    if (memory !== undefined && block.sealed.buffer !== memory.buffer) this.#buffers.give(memory);
    const onReleased = ({ sealed }: SealedBlock): void => this.#buffers.give(sealed);
    const result = await this.#store.commit([{ put: [block] }], { ...limits, onReleased });
    assert(result.done, 'a stage without updates is done or rejects');
    if (result.released === true) this.#buffers.give(block.sealed);
    return block.address;
  }

  #create(address: Address, value: Uint8Array, limits: CallLimits): Promise<WriteOutcome> {
    checkSize(value, maxValueBytes, 'a mutable block');
    return this.#commit({ address, expect: 'absent', payload: this.#seal(address, value), owner: programOwner }, limits);
  }

  #update(address: Address, value: Uint8Array | null, expect: number | undefined, limits: CallLimits): Promise<WriteOutcome> {
    if (value !== null) checkSize(value, maxValueBytes, 'a mutable block');
    const payload = value === null ? null : this.#seal(address, value);
    return this.#commit({ address, expect: expect ?? 'any', payload, owner: programOwner }, limits);
  }

  async #get(address: Address, limits: CallLimits): Promise<BlockState | undefined> {
    if (kindOf(address) !== 'immutable') return this.#open(address, await this.#store.fetch(address, limits));
    const sealed = await this.#sealed(address, limits);
    return sealed === undefined ? undefined : { version: 1, value: this.#sealer.openChecked(address, sealed).body };
  }

  async #drop(address: Address, limits: CallLimits): Promise<WriteOutcome> {
    checkKind(address, 'immutable');
    if ((await this.#sealed(address, limits)) === undefined) return { status: 'conflict', current: undefined };
    try {
      const result = await this.#store.commit([{ erase: [address] }], limits);
      assert(result.done, 'a stage without updates is done or rejects');
    } catch (error) {
      if (codeOf(error) !== 'unknown-outcome') throw error;
      return { status: 'unknown', code: 'unknown-outcome', message: messageOf(error) };
    }
    return { status: 'committed', version: droppedVersion };
  }

  inspect(address: Address, limits: CallLimits): Promise<BlockReport> {
    return this.#report(address, limits);
  }

  #seal(address: Address, value: Uint8Array): Uint8Array {
    checkKind(address, 'mutable or named');
    // By this number a write recognises itself.
    const tag = { ...sameTag, session: this.#session, sequence: this.#nextWrite++ };
    const body = bodyWithLineage(value);
    // What is kept is the copy that continues the block's lineage.
    return this.#sealer.sealPayload(address, tag, body, Buffer.allocUnsafe(body.length + sealOverheadBytes));
  }

  async #sealed(address: Address, limits: CallLimits): Promise<Uint8Array | undefined> {
    try {
      const sealed = await this.#store.get(address, limits);
      checkOwner(address, sealed);
      return sealed;
    } catch (error) {
      if (codeOf(error) === 'not-found') return undefined;
      throw error;
    }
  }

  #open(address: Address, block: StoredBlock | undefined): BlockState | undefined {
    if (block === undefined) return undefined;
    checkOwner(address, block.payload);
    return { version: block.version, value: valueIn(this.#sealer.openPayload(address, block.payload).body) };
  }

  /** Writes of one block take turns, so that they do not outrun each other and each finds out how it ended. One whose time is over before its turn is not begun. */
  #commit(update: Update, { deadlineMs = defaultDeadlineMs, signal }: CallLimits): Promise<WriteOutcome> {
    const end = performance.now() + deadlineMs;
    return this.#turns.run(update.address, async () => {
      const left = end - performance.now();
      if (left <= 0) {
        const message = `block ${update.address} was written by others for more than ${Math.round(deadlineMs)} ms`;
        return { status: 'failed', code: 'deadline-exceeded', message };
      }
      return this.#settle(update, signal === undefined ? { deadlineMs: left } : { deadlineMs: left, signal });
    });
  }

  /** A write that met one of another host may end as unknown: then the block's lineage is asked how it ended, and it is tried again where that is safe. */
  async #settle(update: Update, limits: CallLimits & { readonly deadlineMs: number }): Promise<WriteOutcome> {
    const { deadlineMs, signal } = limits;
    const end = performance.now() + deadlineMs;
    const outcome = await this.#once(update, limits);
    for (let tries = 0; outcome.status === 'unknown' && update.payload !== null; tries++) {
      // The other host's write has mostly ended by now.
      await new Promise((resolve) => setTimeout(resolve, Math.random() * Math.min(firstRetryMs * 2 ** tries, retryMs)));
      const left = end - performance.now();
      if (left <= 0 || signal?.aborted === true) break;
      const current = await this.#store.fetch(update.address, { ...limits, deadlineMs: left }).catch(() => 'silent' as const);
      if (current === 'silent') continue;
      const found = verdict(update, current, outcome.sent);
      if (typeof found === 'number') return { status: 'committed', version: found };
      if (found === 'conflict') return { status: 'conflict', current: this.#open(update.address, current) };
      if (found === 'open') break;
      // It was not made so far. At exactly this version it is made once, by this attempt or by the one before.
      const again = await this.#once({ ...update, expect: current!.version }, { ...limits, deadlineMs: Math.max(1, end - performance.now()) });
      if (again.status === 'committed') return again;
    }
    return this.#told(update.address, outcome);
  }

  async #once(update: Update, limits: CallLimits): Promise<UpdateOutcome> {
    let result: CommitResult;
    try {
      result = await this.#store.commit([{ update: [update] }], limits);
    } catch (error) {
      const code = codeOf(error);
      if (code === 'bug') throw error;
      return { status: commitLeavesUnchanged(code) ? 'failed' : 'unknown', code, message: messageOf(error) };
    }
    return result.done ? { status: 'committed', version: result.versions[0]![0]! } : result.outcomes[0]!;
  }

  #told(address: Address, outcome: UpdateOutcome): WriteOutcome {
    return outcome.status === 'conflict' ? { status: 'conflict', current: this.#open(address, outcome.current) } : outcome;
  }
}

/**
 * What a block says of a write whose outcome is open: the version that it made; `conflict`: it was not made and cannot be any more;
 * `again`: it was not made so far; `open`: that cannot be told.
 */
function verdict({ payload, expect }: Update, current: StoredBlock | undefined, sent: Sent | undefined): number | 'conflict' | 'again' | 'open' {
  // What was made and removed again since leaves no trace.
  if (current === undefined || !isOwnedBy(current.payload, programOwner)) return 'open';
  const found = findWrite(payload!, current, typeof expect === 'number' ? expect : sent?.from);
  if (typeof found === 'number') return found;
  if (expect === 'any') return found === 'never' ? 'again' : 'open';
  // What was to found the block is no part of it, and never will be. What was to follow upon a removal cannot be any more where others wrote since.
  if (expect === 'lost') return 'open';
  if (expect === 'absent') return found === 'never' && sent !== undefined && current.version > sent.upon ? 'conflict' : 'open';
  if (current.version === expect) return 'again';
  // Somebody else has the very version that this write was to make, or the block was there all the time without it.
  return current.version === expect + 1 || found === 'never' ? 'conflict' : 'open';
}

function checkSize(value: Uint8Array, limit: number, what: string): void {
  if (value.length > limit) throw new InfinitError('too-large', `${what} holds at most ${limit} bytes, not ${value.length}`);
}

function checkKind(address: Address, wanted: 'immutable' | 'mutable or named'): void {
  if ((kindOf(address) === 'immutable') !== (wanted === 'immutable'))
    throw new InfinitError('bad-argument', `${address} is the address of a block that is ${kindOf(address)}, not ${wanted}`);
}

function checkOwner(address: Address, sealed: Uint8Array): void {
  if (!isOwnedBy(sealed, programOwner))
    throw new InfinitError('denied', `block ${address} is a volume's or the system's own: programs read and write only blocks of programs`);
}
