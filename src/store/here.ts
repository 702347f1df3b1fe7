import { codeOf, InfinitError, messageOf } from '../base/index.ts';
import type { Address } from '../block/index.ts';
import { read } from '../consensus/index.ts';
import type { Disk, DiskOperation } from '../disk/index.ts';
import type { CommitResult, Stage, StoredBlock, Update, UpdateOutcome } from './block-store.ts';
import { blockIn, outcomeOf } from './outcomes.ts';
import type { Registers } from './registers.ts';
import type { Replica } from './replica.ts';
import { operationOf } from './update-operation.ts';

/** Other hosts must be asked after all; nothing was decided. */
export const elsewhere = Symbol('elsewhere');

/** Calls about blocks of which this host alone is the quorum: decided in memory, at once, and told when the one group of the disk is durable. */
export class Here {
  readonly #disk: Disk;
  readonly #replica: Replica;
  readonly #registers: Registers;

  constructor(disk: Disk, replica: Replica, registers: Registers) {
    this.#disk = disk;
    this.#replica = replica;
    this.#registers = registers;
  }

  async fetch(address: Address): Promise<StoredBlock | undefined | typeof elsewhere> {
    if (!(await this.#prepare([address]))) return elsewhere;
    const operations: DiskOperation[] = [];
    const outcome = this.#registers.runHere(address, read, operations);
    // A read writes nothing, except what an earlier failed write left unsaved, and that a record is lost.
    const failure = await this.#writeGroup(operations, new Set([address]), [address]);
    this.#replica.trim();
    if (failure !== undefined) throw failure;
    return outcome === undefined ? elsewhere : blockIn(outcome, address);
  }

  /**
   * All stages in one group of the disk: every step is decided in memory first, in order, and nothing is told before the group is durable.
   * @param isAlone Whether immutable blocks are only on this host.
   */
  async commit(stages: readonly Stage[], isAlone: () => boolean): Promise<CommitResult | typeof elsewhere> {
    const addresses = stages.flatMap((stage) => (stage.update ?? []).map((update) => update.address));
    if (!(await this.#prepare(addresses)) || !isAlone()) return elsewhere;
    const operations: DiskOperation[] = [];
    const touched = new Set<Address>();
    const versions: number[][] = [];
    let stopped: { stage: number; outcomes: UpdateOutcome[] } | undefined;
    let broken: { readonly error: unknown } | undefined;
    try {
      for (const [index, stage] of stages.entries()) {
        for (const { address, sealed } of stage.put ?? []) operations.push({ type: 'put', address, bytes: sealed });
        for (const address of [...(stage.drop ?? []), ...(stage.erase ?? [])]) operations.push({ type: 'delete', address });
        const outcomes = (stage.update ?? []).map((update) => this.#update(update, operations, touched));
        versions.push(outcomes.map((outcome) => (outcome.status === 'committed' ? outcome.version : 0)));
        if (outcomes.some((outcome) => outcome.status !== 'committed')) {
          stopped = { stage: index, outcomes };
          break;
        }
      }
    } catch (error) {
      // What was decided so far is in memory already, where others see it: it must reach the disk all the same.
      broken = { error };
    }
    const failure = await this.#writeGroup(operations, touched, stopped === undefined ? [] : addresses);
    this.#replica.trim();
    if (broken !== undefined) throw broken.error;
    if (failure !== undefined) return afterFailure(stages, failure);
    return stopped === undefined ? { done: true, versions, released: true } : { done: false, ...stopped };
  }

  /** Reads the registers into memory. False: while that took, this host ceased to be their quorum, or to have a say. */
  async #prepare(addresses: readonly Address[]): Promise<boolean> {
    const isHere = (): boolean => addresses.every((address) => this.#registers.isHere(address));
    if (!isHere()) return false;
    await this.#replica.prepareAll(addresses);
    return isHere();
  }

  #update(update: Update, operations: DiskOperation[], touched: Set<Address>): UpdateOutcome {
    const before = operations.length;
    try {
      const outcome = this.#registers.runHere(update.address, operationOf(update), operations);
      if (outcome !== undefined) return outcomeOf(outcome, update.address);
      return { status: 'failed', code: 'unavailable', message: `block ${update.address} is on other hosts` };
    } finally {
      if (operations.length > before) touched.add(update.address);
    }
  }

  /** Makes a group durable, and waits for what it only saw: a conflict must not reveal what a crash could still undo. Returns the failure, if any. */
  async #writeGroup(operations: readonly DiskOperation[], touched: ReadonlySet<Address>, seen: readonly Address[]): Promise<unknown> {
    // Taken before anything is waited for: a write that fails meanwhile leaves none to wait for.
    const waits = seen.map((address) => this.#replica.durability(address) ?? Promise.resolve());
    try {
      if (operations.length > 0) {
        const write = this.#disk.write(operations);
        for (const address of touched) this.#replica.track(address, write);
        waits.push(write);
      }
      await Promise.all(waits);
      return undefined;
    } catch (error) {
      return error;
    }
  }
}

/**
 * The group failed: what the stages were to change may be on the disk or not, and memory has it, from where it gets there with what comes later. A result that
 * names a stage says that those behind it were not begun; so where several change blocks nothing is said of any.
 */
function afterFailure(stages: readonly Stage[], failure: unknown): CommitResult {
  const changing = stages.flatMap(({ update = [] }, index) => (update.length === 0 ? [] : [index]));
  const [stage] = changing;
  if (stage === undefined) {
    // Whether a block was put, or one that nobody refers to was dropped, makes no difference to anybody.
    if (!stages.some(({ erase }) => (erase?.length ?? 0) > 0)) throw failure;
    throw new InfinitError('unknown-outcome', `whether blocks were erased is not known: ${messageOf(failure)}`, { cause: failure });
  }
  if (changing.length > 1)
    throw new InfinitError('unknown-outcome', `which stages of a commit took effect is not known: ${messageOf(failure)}`, { cause: failure });
  const outcome: UpdateOutcome = { status: 'unknown', code: codeOf(failure), message: messageOf(failure) };
  return { done: false, stage, outcomes: stages[stage]!.update!.map(() => outcome) };
}
