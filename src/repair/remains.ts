import { type Accepted, type BlockRecord, compareBallots, membersOf, type Operation, type PeerId, type Reply } from '../consensus/index.ts';
import type { Address } from '../block/index.ts';
import type { Standpoint } from './standpoint.ts';

/** What is left of a block whose majority is out of reach. */
export interface Remains {
  /** null: nobody who answered has a record of it. */
  readonly newest: Accepted | null;
  /** Where the block was moved to after that, the newest that anybody tells; null: nobody does. */
  readonly pointer: Accepted | null;
  readonly missing: readonly PeerId[];
  readonly damaged: readonly PeerId[];
  /** Hosts to which the block may have been moved meanwhile, and that did not answer. */
  readonly silent: readonly PeerId[];
  readonly holders: readonly PeerId[];
  /** Who decides about the block from then on: the members in reach, and whoever else holds the newest record. */
  readonly survivors: readonly PeerId[];
  /** Who may come back with an earlier record, or is to be told that its damaged one counts no longer. */
  readonly unsettled: readonly PeerId[];
  /** Whoever may have anything of the block, since a view in force, a record or a pointer names it, did not answer, and may yet. */
  readonly unheard: readonly PeerId[];
  /** Who answered, and has no damaged record. */
  readonly answered: readonly PeerId[];
  /** Who has a pointer. */
  readonly pointing: readonly PeerId[];
  /** Where the views in force have the block, the newest first. */
  readonly homes: readonly (readonly PeerId[])[];
}

type Place = Pick<Standpoint, 'self' | 'views' | 'home' | 'up' | 'isUp'>;

/**
 * Looks at what is left of a block, as steps without I/O: yields hosts that are to be asked what they have of it, and is given the answers. This host's own acceptor may have no say while it
 * hears too few others, so what it holds is given.
 * @param isGone Whether a host was expelled or counted out, so that it has no say whatever it does.
 * @param own What this host has; `damaged`: a record that cannot be read.
 * @returns undefined: the block has a majority in reach.
 */
export function* look(
  at: Place,
  address: Address,
  own: Accepted | 'damaged' | null,
  isGone: (peer: PeerId) => boolean,
): Generator<readonly PeerId[], Remains | undefined, readonly Reply[]> {
  // While a view retires the block may be where another of them has it, with writes that this host never heard of.
  const views = at.views.inForce();
  const homes = [...new Set(views.flatMap((view) => at.home(address, view)))];
  const asked = new Set<PeerId>([at.self]);
  const replies: Reply[] = [];
  const damaged = new Set<PeerId>(own === 'damaged' ? [at.self] : []);
  const local = own === 'damaged' ? null : own;
  let newest = local?.pointer === true ? null : local;
  /** Where the block was moved to after that, if it was: there it may live on. */
  let pointer = local?.pointer === true ? local : null;
  const told = (): readonly BlockRecord[] => {
    const both = newest !== null && pointer !== null && compareBallots(pointer.ballot, newest.ballot) > 0;
    return both ? [newest!.record, pointer!.record] : newest === null ? (pointer === null ? [] : [pointer.record]) : [newest.record];
  };
  const named = (): PeerId[] => [...new Set(told().flatMap(membersOf))];
  // Members of a set that is healthy need not be looked at any further; each newer record may name further hosts that hold something.
  let further: readonly PeerId[] = [];
  for (;;) {
    const more = at.up([...new Set([...named(), ...further])]).filter((peer) => !asked.has(peer));
    if (more.length === 0) {
      const last = told().at(-1);
      // Where nobody knows of a record views say who would.
      if (!lacksQuorum(at, last === undefined ? views.map((view) => at.home(address, view)) : setsOf(last), damaged)) return undefined;
      const next = [...told().flatMap(({ unsettled }) => unsettled), ...homes];
      if (next.every((peer) => further.includes(peer))) break;
      further = [...further, ...next];
      continue;
    }
    for (const peer of more) asked.add(peer);
    for (const reply of yield more) {
      const { type, from, accepted } = reply;
      replies.push(reply);
      if (type === 'lost') damaged.add(from);
      else if (accepted?.pointer === true) pointer = compareBallots(accepted.ballot, pointer?.ballot ?? null) > 0 ? accepted : pointer;
      else if (accepted !== null && compareBallots(accepted.ballot, newest?.ballot ?? null) > 0) newest = accepted;
    }
  }
  const answered = new Set([at.self, ...replies.map(({ from }) => from)]);
  const members = named();
  const holds = (accepted: Accepted | null): boolean =>
    accepted !== null && !accepted.pointer && compareBallots(accepted.ballot, newest?.ballot ?? null) === 0;
  const holders = [...(holds(local) ? [at.self] : []), ...replies.filter(({ accepted }) => holds(accepted)).map(({ from }) => from)];
  const survivors = [...new Set([...at.up(members).filter((peer) => !damaged.has(peer) && !isGone(peer)), ...holders])];
  const others = [...members, ...told().flatMap(({ unsettled }) => unsettled)];
  // Where nobody tells of a record it is those that would keep it who are missing or damaged.
  const concerned = members.length > 0 ? members : homes;
  const pointers = replies.filter(({ accepted }) => accepted?.pointer === true).map(({ from }) => from);
  if (local?.pointer === true) pointers.push(at.self);
  const all = new Set([...others, ...homes, ...asked]);
  return {
    newest,
    pointer: compareBallots(pointer?.ballot ?? null, newest?.ballot ?? null) > 0 ? pointer : null,
    missing: concerned.filter((peer) => !at.isUp(peer)),
    damaged: concerned.filter((peer) => damaged.has(peer)),
    silent: [...new Set(views.flatMap((view) => mayHaveIt(at.home(address, view), answered)))],
    holders,
    survivors,
    unsettled: [...new Set([...others, ...pointers, ...damaged])].filter((peer) => !survivors.includes(peer) && !isGone(peer)),
    unheard: [...all].filter((peer) => !answered.has(peer) && !isGone(peer)),
    answered: [...answered].filter((peer) => !damaged.has(peer)),
    pointing: pointers,
    homes: views.map((view) => at.home(address, view)).toReversed(),
  };
}

/** Of the hosts that a view has the block at, those that did not answer and may have it from others that did not: nobody where those that answered and have nothing newer leave the rest no majority. */
function mayHaveIt(home: readonly PeerId[], answered: ReadonlySet<PeerId>): readonly PeerId[] {
  const silent = home.filter((peer) => !answered.has(peer));
  return silent.length > home.length / 2 ? silent : [];
}

function setsOf({ replicas, previous }: BlockRecord): readonly (readonly PeerId[])[] {
  return [replicas, ...previous];
}

/** A host whose record was damaged is there, and has no say. */
function lacksQuorum(at: Place, sets: readonly (readonly PeerId[])[], damaged: ReadonlySet<PeerId>): boolean {
  return sets.some((set) => at.up(set).filter((peer) => !damaged.has(peer)).length < Math.floor(set.length / 2) + 1);
}

/** Why what is left of a block must not be made the block; undefined: it may. `lost`: hosts that a person named. */
export function whyRefused({ missing, silent }: Remains, lost: readonly PeerId[], isGone: (peer: PeerId) => boolean): string | undefined {
  const why = whyNotLost(missing, lost, isGone);
  if (why !== undefined) return why;
  const unheard = silent.filter((peer) => !isGone(peer));
  return unheard.length > 0 ? `${unheard.join(', ')}, where the block may have been moved, did not answer: wait for them, or expel them` : undefined;
}

function whyNotLost(missing: readonly PeerId[], lost: readonly PeerId[], isGone: (peer: PeerId) => boolean): string | undefined {
  if (missing.some((peer) => !lost.includes(peer)))
    return 'hosts that are only out of reach may return: wait for them, or expel them and name them with --lost';
  const mayReturn = missing.filter((peer) => !isGone(peer));
  return mayReturn.length > 0 ? `expel ${mayReturn.join(', ')} first: what it holds must never speak again` : undefined;
}

/** Who takes part in giving a block up. */
export type GivingUp = Pick<Extract<Operation, { kind: 'give-up' }>, 'pointer' | 'asked' | 'sets' | 'unsettled'>;

/** How a block of which nothing is left is given up, or why it must not be: whoever may have anything of it must have said that he has no record, or never speak again. */
export function givingUp(remains: Remains, lost: readonly PeerId[], isGone: (peer: PeerId) => boolean): GivingUp | string {
  const { pointer, missing, unheard, answered, pointing, homes, unsettled } = remains;
  if (remains.newest !== null) return 'a record of it is left: salvage it';
  const why = whyNotLost(missing, lost, isGone);
  if (why !== undefined) return why;
  if (unheard.length > 0) return `${unheard.join(', ')}, which may have it, did not answer: wait for them, or expel them`;
  const asked = answered.filter((peer) => !isGone(peer));
  const left = homes.map((home) => home.filter((peer) => asked.includes(peer))).filter((set) => set.length > 0);
  // Where the newest view has lost hosts there too, no other may have room before this block is given up: those that know where it was have it, and have yet to resolve it.
  const sets = left.length > 0 ? left : [pointing.filter((peer) => asked.includes(peer))].filter((set) => set.length > 0);
  if (sets.length === 0) return 'no host is left where it belongs, whose record is whole: wait until the roster has one';
  return { pointer, asked, sets, unsettled: [...new Set([...unsettled, ...sets.flat()])] };
}
