import { type Accepted, type BlockRecord, compareBallots, membersOf, type PeerId, type Reply } from '../consensus/index.ts';
import type { Address } from '../block/index.ts';
import type { Standpoint } from './standpoint.ts';

/** What is left of a block whose majority is out of reach. */
export interface Remains {
  readonly newest: Accepted;
  readonly missing: readonly PeerId[];
  readonly damaged: readonly PeerId[];
  /** Hosts to which the block may have been moved meanwhile, and that did not answer. */
  readonly silent: readonly PeerId[];
  readonly holders: readonly PeerId[];
  /** Who decides about the block from then on: the members in reach, and whoever else holds the newest record. */
  readonly survivors: readonly PeerId[];
  /** Who may come back with an earlier record, or is to be told that its damaged one counts no longer. */
  readonly unsettled: readonly PeerId[];
}

type Place = Pick<Standpoint, 'self' | 'views' | 'home' | 'up' | 'isUp'>;

/**
 * Looks at what is left of a block, as steps without I/O: yields hosts that are to be asked what they have of it, and is given the answers. This host's own acceptor may have no say while it
 * hears too few others, so what it holds is given.
 * @param isGone Whether a host was expelled or counted out, so that it has no say whatever it does.
 * @returns undefined: the block has a majority in reach.
 */
export function* look(
  at: Place,
  address: Address,
  local: Accepted,
  isGone: (peer: PeerId) => boolean,
): Generator<readonly PeerId[], Remains | undefined, readonly Reply[]> {
  // While a view retires the block may be where another of them has it, with writes that this host never heard of.
  const views = at.views.inForce();
  const homes = [...new Set(views.flatMap((view) => at.home(address, view)))];
  const asked = new Set<PeerId>([at.self]);
  const replies: Reply[] = [];
  const damaged = new Set<PeerId>();
  let newest = local;
  /** Where the block was moved to after that, if it was: there it may live on. */
  let pointer: Accepted | undefined;
  const told = (): readonly BlockRecord[] =>
    pointer === undefined || compareBallots(pointer.ballot, newest.ballot) <= 0 ? [newest.record] : [newest.record, pointer.record];
  const named = (): PeerId[] => [...new Set(told().flatMap(membersOf))];
  // Members of a set that is healthy need not be looked at any further; each newer record may name further hosts that hold something.
  let further: readonly PeerId[] = [];
  for (;;) {
    const more = at.up([...new Set([...named(), ...further])]).filter((peer) => !asked.has(peer));
    if (more.length === 0) {
      if (!lacksQuorum(at, told().at(-1)!, damaged)) return undefined;
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
      else if (accepted?.pointer === true)
        pointer = pointer === undefined || compareBallots(accepted.ballot, pointer.ballot) > 0 ? accepted : pointer;
      else if (accepted !== null && compareBallots(accepted.ballot, newest.ballot) > 0) newest = accepted;
    }
  }
  const answered = new Set([at.self, ...replies.map(({ from }) => from)]);
  const members = named();
  const holds = (accepted: Accepted | null): boolean =>
    accepted !== null && !accepted.pointer && compareBallots(accepted.ballot, newest.ballot) === 0;
  const holders = [...(holds(local) ? [at.self] : []), ...replies.filter(({ accepted }) => holds(accepted)).map(({ from }) => from)];
  const survivors = [...new Set([...at.up(members).filter((peer) => !damaged.has(peer) && !isGone(peer)), ...holders])];
  const others = [...members, ...told().flatMap(({ unsettled }) => unsettled)];
  return {
    newest,
    missing: members.filter((peer) => !at.isUp(peer)),
    damaged: members.filter((peer) => damaged.has(peer)),
    silent: [...new Set(views.flatMap((view) => mayHaveIt(at.home(address, view), answered)))],
    holders,
    survivors,
    unsettled: [...new Set(others)].filter((peer) => !survivors.includes(peer) && !isGone(peer)),
  };
}

/** Of the hosts that a view has the block at, those that did not answer and may have it from others that did not: nobody where those that answered and have nothing newer leave the rest no majority. */
function mayHaveIt(home: readonly PeerId[], answered: ReadonlySet<PeerId>): readonly PeerId[] {
  const silent = home.filter((peer) => !answered.has(peer));
  return silent.length > home.length / 2 ? silent : [];
}

/** A host whose record was damaged is there, and has no say. */
function lacksQuorum(at: Place, record: BlockRecord, damaged: ReadonlySet<PeerId>): boolean {
  const sets = [record.replicas, ...record.previous];
  return sets.some((set) => at.up(set).filter((peer) => !damaged.has(peer)).length < Math.floor(set.length / 2) + 1);
}

/** Why what is left of a block must not be made the block; undefined: it may. `lost`: hosts that a person named. */
export function whyRefused({ missing, silent }: Remains, lost: readonly PeerId[], isGone: (peer: PeerId) => boolean): string | undefined {
  if (missing.some((peer) => !lost.includes(peer))) return 'hosts that are only out of reach may return: wait for them, or name them as lost';
  const mayReturn = missing.filter((peer) => !isGone(peer));
  if (mayReturn.length > 0) return `expel ${mayReturn.join(', ')} first: what it holds must never speak again`;
  const unheard = silent.filter((peer) => !isGone(peer));
  return unheard.length > 0 ? `${unheard.join(', ')}, where the block may have been moved, did not answer: wait for them, or expel them` : undefined;
}
