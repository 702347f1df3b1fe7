import { codeOf, type ErrorCode, InfinitError, messageOf } from '../base/index.ts';
import { type Address, addressToBytes, kindOf } from '../block/index.ts';
import { type Accepted, type Ballot, compareBallots, membersOf, type PeerId, type Read } from '../consensus/index.ts';
import type { Disk } from '../disk/index.ts';
import type { Transport } from '../overlay/index.ts';
import { kinds } from './kinds.ts';
import type { AskPeer } from './registers.ts';
import type { Replica } from './replica.ts';
import type { StorePlacement } from './store-placement.ts';

/** A host that has not answered after so long is reported as silent, in ms. */
const answerDeadlineMs = 3000;
/** Of an operation that no proposer ever has. */
const noTag = 0;

/** What one host has of a block. */
export type Copy = { readonly peer: PeerId } & (
  | { readonly kind: 'register'; readonly accepted: Accepted | null; readonly promised: Ballot | null; readonly lost: boolean }
  | { readonly kind: 'bytes'; readonly present: boolean }
  | { readonly kind: 'silent'; readonly reason: string }
);

export interface InspectionContext {
  readonly self: PeerId;
  readonly replica: Replica;
  readonly ask: AskPeer;
  readonly disk: Disk;
  readonly transport: Transport | undefined;
  readonly placement: StorePlacement;
}

/**
 * Asks every host that should have the block what it has. Changes nothing, decides nothing: for people.
 * @param deadlineMs Hosts that have not answered by then are silent, as those are that take longer than any should.
 */
export async function inspectBlock(context: InspectionContext, address: Address, deadlineMs = Infinity): Promise<Copy[]> {
  const end = performance.now() + deadlineMs;
  const patienceMs = (): number => Math.max(1, Math.ceil(Math.min(answerDeadlineMs, end - performance.now())));
  const expected = context.placement.rank(address).slice(0, context.placement.replicas);
  if (kindOf(address) === 'immutable') return Promise.all(expected.map((peer) => copyOn(context, peer, address, patienceMs())));
  const copies = await registersOn(context, expected, address, patienceMs());
  // The record itself says who keeps it: hosts that placement no longer names, perhaps.
  const best = newest(copies);
  const further = best === undefined ? [] : membersOf(best.record).filter((peer) => !expected.includes(peer));
  return [...copies, ...(await registersOn(context, further, address, patienceMs()))];
}

/** What these hosts have of a register, each for itself. */
export function registersOn(
  context: Pick<InspectionContext, 'self' | 'replica' | 'ask'>,
  peers: readonly PeerId[],
  address: Address,
  patienceMs: number = answerDeadlineMs,
): Promise<Copy[]> {
  return Promise.all(peers.map((peer) => registerOn(context, peer, address, patienceMs)));
}

/** The record of the highest ballot among copies. */
export function newest(copies: readonly Copy[]): Accepted | undefined {
  let best: Accepted | undefined;
  for (const copy of copies) {
    if (copy.kind !== 'register' || copy.accepted === null || copy.accepted.pointer) continue;
    if (best === undefined || compareBallots(copy.accepted.ballot, best.ballot) > 0) best = copy.accepted;
  }
  return best;
}

async function registerOn(
  { self, replica, ask }: Pick<InspectionContext, 'self' | 'replica' | 'ask'>,
  peer: PeerId,
  address: Address,
  patienceMs: number,
): Promise<Copy> {
  // A view no host is behind of: what is asked for is the record, not a say about where the block belongs.
  const request: Read = { type: 'read', from: self, block: address, tag: noTag, attempt: 0, view: 0, known: null, lease: null };
  try {
    const reply = await (peer === self ? replica.serve(request) : ask(peer, request, AbortSignal.timeout(patienceMs)));
    if (reply.type === 'leased') return { peer, kind: 'silent', reason: 'another host holds a lease on the block' };
    return { peer, kind: 'register', accepted: reply.accepted, promised: reply.promised, lost: reply.type === 'lost' };
  } catch (error) {
    return silent(peer, error, patienceMs);
  }
}

async function copyOn({ self, disk, transport }: InspectionContext, peer: PeerId, address: Address, patienceMs: number): Promise<Copy> {
  try {
    if (peer === self) return { peer, kind: 'bytes', present: (await disk.has(address)) && !disk.isDamaged(address) };
    if (transport === undefined) throw new InfinitError('unavailable', 'this host is alone');
    const answer = await transport.request(peer, kinds.hasBlocks, addressToBytes(address), { deadlineMs: patienceMs });
    return { peer, kind: 'bytes', present: answer[0] === 1 };
  } catch (error) {
    return silent(peer, error, patienceMs);
  }
}

/** How a wait ends that is over: by our own signal, or by the transport's clock. */
const tooLate: ReadonlySet<ErrorCode> = new Set(['cancelled', 'unknown-outcome', 'deadline-exceeded']);

function silent(peer: PeerId, error: unknown, patienceMs: number): Copy {
  const code = codeOf(error);
  return { peer, kind: 'silent', reason: tooLate.has(code) ? `no answer within ${patienceMs} ms` : `${code}: ${messageOf(error)}` };
}
