import { type BlockReport, type CallLimits, programOwner, type ReplicaReport } from '../../api/index.ts';
import { codeOf, type ErrorCode } from '../../base/index.ts';
import { type Address, headerBytes, isGivenUp, isOwnedBy, kindOf, ownerOf, valueIn } from '../../block/index.ts';
import { formatBallot } from '../../consensus/index.ts';
import { type Copy, newestCopy, type Store } from '../../store/index.ts';

/** Why a block may not be had, which is no reason not to say which hosts have it. */
const unreadable: ReadonlySet<ErrorCode> = new Set(['not-found', 'unavailable', 'damaged', 'deadline-exceeded', 'overloaded']);

/** What the hosts of a block have of it, in people's words: `infinit block inspect`. */
export class BlockInspector {
  readonly #store: Store;
  readonly #wanted: () => number;
  readonly #nameOf: (peer: string) => string;

  constructor(store: Store, wanted: () => number, nameOf: (peer: string) => string) {
    this.#store = store;
    this.#wanted = wanted;
    this.#nameOf = nameOf;
  }

  async report(address: Address, limits: CallLimits): Promise<BlockReport> {
    const began = performance.now();
    const copies = await this.#store.inspect(address, limits.deadlineMs);
    const best = newestCopy(copies);
    const sealed = kindOf(address) === 'immutable' ? await this.#immutable(address, leftOf(limits, began)) : (best?.record.value ?? undefined);
    return {
      address,
      kind: kindOf(address),
      owner: sealed === undefined ? undefined : ownerName(sealed),
      wanted: this.#wanted(),
      replicas: copies.map((copy) => ({ host: this.#nameOf(copy.peer), peer: copy.peer, ...describe(copy, best?.record.version ?? 0) })),
    };
  }

  async #immutable(address: Address, limits: CallLimits): Promise<Uint8Array | undefined> {
    try {
      return await this.#store.get(address, limits);
    } catch (error) {
      if (unreadable.has(codeOf(error))) return undefined;
      throw error;
    }
  }
}

/** What is left of a call's time. */
function leftOf({ deadlineMs, ...limits }: CallLimits, began: number): CallLimits {
  return deadlineMs === undefined ? limits : { ...limits, deadlineMs: Math.max(1, deadlineMs - (performance.now() - began)) };
}

function describe(copy: Copy, newest: number): Omit<ReplicaReport, 'host' | 'peer'> {
  if (copy.kind === 'silent') return { state: 'silent', reason: copy.reason };
  if (copy.kind === 'bytes') return { state: copy.present ? 'ok' : 'missing' };
  const promised = formatBallot(copy.promised);
  if (copy.lost) return { state: 'lost' };
  if (copy.accepted === null) return { state: 'missing', promised };
  const { record, ballot, pointer } = copy.accepted;
  const state = pointer ? 'missing' : record.version < newest ? 'behind' : record.value === null ? 'removed' : 'ok';
  return { state, version: record.version, ballot: formatBallot(ballot), promised, ...(record.value === null ? {} : { size: sizeOf(record.value) }) };
}

/** Bytes of a program's value; of other blocks as they are sealed. */
function sizeOf(sealed: Uint8Array): number {
  return isOwnedBy(sealed, programOwner) ? valueIn(sealed.subarray(headerBytes)).length : sealed.length;
}

/** The volume's id, or whose else the block is. */
function ownerName(sealed: Uint8Array): string {
  if (isOwnedBy(sealed, programOwner)) return 'program';
  if (isGivenUp(sealed)) return 'lost';
  try {
    const { volume } = ownerOf(sealed);
    return volume.every((byte) => byte === 0) ? 'system' : Buffer.from(volume).toString('hex');
  } catch {
    return 'unknown';
  }
}
