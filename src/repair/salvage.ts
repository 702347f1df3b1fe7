import { messageOf } from '../base/index.ts';
import type { Address } from '../block/index.ts';
import {
  type Accepted,
  type BlockRecord,
  compareBallots,
  formatBallot,
  membersOf,
  type PeerId,
  type ProposalOutcome,
  type Reply,
} from '../consensus/index.ts';
import type { Standpoint } from './standpoint.ts';
import { pages, pause, registersPart } from './walk.ts';

/** Blocks that one run names; the rest is counted. */
const maxNamed = 1000;
/** Blocks whose hosts are asked at once: a damaged record shows only there, so all blocks are asked for. */
const askedAtOnce = 16;

/** What a person asks for. */
export interface SalvageRequest {
  /** Rewrite; otherwise only look. */
  readonly force: boolean;
  /** Hosts that are lost for good, by peer id: they must have been expelled, so that they can never speak again. */
  readonly lost: readonly PeerId[];
}

/** A block without a majority, and what can be or was done about it. */
export interface SalvageEntry {
  readonly address: Address;
  /** Members of its sets that are out of reach. */
  readonly missing: readonly PeerId[];
  /** Members in reach whose record was damaged: they have no say about the block until they are told where it is. */
  readonly damaged: readonly PeerId[];
  /** Hosts in reach that hold the newest record that is left. */
  readonly holders: readonly PeerId[];
  /** Of that record. Later writes may have been acknowledged and are lost then. */
  readonly version: number;
  readonly ballot: string;
  readonly removed: boolean;
  /** Where it will be or is now. */
  readonly replicas: readonly PeerId[];
  /** `possible`: with `force` it would be rewritten. `refused`: `reason` says why not. `failed`: tried. */
  readonly result: 'possible' | 'refused' | 'rewritten' | 'failed';
  readonly reason?: string;
}

export interface SalvageReport {
  /** Registers of this host that were looked at. */
  readonly looked: number;
  /** How many are without a majority. */
  readonly underQuorum: number;
  readonly rewritten: number;
  /** At most 1000 of them. */
  readonly blocks: readonly SalvageEntry[];
}

/** Keeps what is done, durably, before and after it is done. */
export type Audit = (line: { readonly step: 'begin' | 'end' } & SalvageEntry) => Promise<void>;

/** What is left of a block. */
interface Remains {
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

/**
 * For blocks whose majority is lost for good, by a person: the newest record that is left is made the block's record, with those that are left of its hosts
 * as its set; repair then brings it to where it belongs, as any block. This goes past the quorum, and is safe only where the missing hosts never return: so each of them must be named, and expelled.
 * Among those that are left it is agreed on as anything else (docs/consensus.md, “Salvage”): whoever else salvages the block, or writes to it, comes before or after.
 */
export class Salvage {
  readonly #at: Standpoint;
  readonly #isGone: (peer: PeerId) => boolean;
  /** Leases that lost hosts granted have ended. */
  #outlasted = false;

  /** @param isGone Whether a host was expelled or counted out, so that it has no say whatever it does. */
  constructor(standpoint: Standpoint, isGone: (peer: PeerId) => boolean) {
    this.#at = standpoint;
    this.#isGone = isGone;
  }

  /** Looks at all registers of this host. */
  async run(request: SalvageRequest, audit: Audit, signal: AbortSignal): Promise<SalvageReport> {
    const blocks: SalvageEntry[] = [];
    let [looked, underQuorum, rewritten] = [0, 0, 0];
    this.#outlasted = false;
    for await (const { addresses } of pages(this.#at, registersPart, signal)) {
      for (let start = 0; start < addresses.length; start += askedAtOnce) {
        const some = addresses.slice(start, start + askedAtOnce);
        const left = await Promise.all(some.map((address) => this.#remains(address, signal)));
        looked += some.length;
        for (const [index, remains] of left.entries()) {
          if (remains === undefined) continue;
          underQuorum++;
          const entry = await this.#handle(some[index]!, remains, request, audit, signal);
          if (entry.result === 'rewritten') rewritten++;
          if (blocks.length < maxNamed) blocks.push(entry);
        }
        await this.#at.pace.breathe();
      }
    }
    return { looked, underQuorum, rewritten, blocks };
  }

  /** undefined: the block has a majority in reach, or nothing of it is here. */
  async #remains(address: Address, signal: AbortSignal): Promise<Remains | undefined> {
    const state = await this.#at.housekeeping.inspect(address);
    const local = state?.accepted ?? null;
    if (local === null || local.pointer) return undefined;
    // While a view retires the block may be where another of them has it, with writes that this host never heard of.
    const views = this.#at.views.inForce();
    const homes = [...new Set(views.flatMap((view) => this.#at.home(address, view)))];
    // This host's own acceptor may have no say while it hears too few others: what it holds is looked at directly.
    const asked = new Set<PeerId>([this.#at.self]);
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
      const peers = this.#at.up([...new Set([...named(), ...further])]);
      const more = peers.filter((peer) => !asked.has(peer));
      if (more.length === 0) {
        if (!this.#lacksQuorum(told().at(-1)!, damaged)) return undefined;
        const next = [...told().flatMap(({ unsettled }) => unsettled), ...homes];
        if (next.every((peer) => further.includes(peer))) break;
        further = [...further, ...next];
        continue;
      }
      for (const peer of more) asked.add(peer);
      replies.push(...(await this.#at.housekeeping.ask(address, more, { signal })));
      for (const { type, from, accepted } of replies) {
        if (type === 'lost') damaged.add(from);
        else if (accepted?.pointer === true)
          pointer = pointer === undefined || compareBallots(accepted.ballot, pointer.ballot) > 0 ? accepted : pointer;
        else if (accepted !== null && compareBallots(accepted.ballot, newest.ballot) > 0) newest = accepted;
      }
    }
    const answered = new Set([this.#at.self, ...replies.map(({ from }) => from)]);
    const members = named();
    const holds = (accepted: Accepted | null): boolean =>
      accepted !== null && !accepted.pointer && compareBallots(accepted.ballot, newest.ballot) === 0;
    const holders = [...(holds(local) ? [this.#at.self] : []), ...replies.filter(({ accepted }) => holds(accepted)).map(({ from }) => from)];
    const survivors = [...new Set([...this.#at.up(members).filter((peer) => !damaged.has(peer) && !this.#isGone(peer)), ...holders])];
    const others = [...members, ...told().flatMap(({ unsettled }) => unsettled)];
    return {
      newest,
      missing: members.filter((peer) => !this.#at.isUp(peer)),
      damaged: members.filter((peer) => damaged.has(peer)),
      silent: [...new Set(views.flatMap((view) => this.#mayHaveIt(this.#at.home(address, view), answered)))],
      holders,
      survivors,
      unsettled: [...new Set(others)].filter((peer) => !survivors.includes(peer) && !this.#isGone(peer)),
    };
  }

  /** Of the hosts that a view has the block at, those that did not answer and may have it from others that did not: nobody where those that answered and have nothing newer leave the rest no majority. */
  #mayHaveIt(home: readonly PeerId[], answered: ReadonlySet<PeerId>): readonly PeerId[] {
    const silent = home.filter((peer) => !answered.has(peer));
    return silent.length > home.length / 2 ? silent : [];
  }

  /** A host whose record was damaged is there, and has no say. */
  #lacksQuorum(record: BlockRecord, damaged: ReadonlySet<PeerId>): boolean {
    const sets = [record.replicas, ...record.previous];
    return sets.some((set) => this.#at.up(set).filter((peer) => !damaged.has(peer)).length < Math.floor(set.length / 2) + 1);
  }

  async #handle(address: Address, remains: Remains, { force, lost }: SalvageRequest, audit: Audit, signal: AbortSignal): Promise<SalvageEntry> {
    const { newest, missing, damaged, silent, holders, survivors, unsettled } = remains;
    const { version, value } = newest.record;
    const entry = { address, missing, damaged, holders, version, ballot: formatBallot(newest.ballot), removed: value === null, replicas: survivors };
    const unnamed = missing.filter((peer) => !lost.includes(peer));
    if (unnamed.length > 0)
      return { ...entry, result: 'refused', reason: 'hosts that are only out of reach may return: wait for them, or name them as lost' };
    const mayReturn = missing.filter((peer) => !this.#isGone(peer));
    if (mayReturn.length > 0)
      return { ...entry, result: 'refused', reason: `expel ${mayReturn.join(', ')} first: what it holds must never speak again` };
    const unheard = silent.filter((peer) => !this.#isGone(peer));
    if (unheard.length > 0) {
      const reason = `${unheard.join(', ')}, where the block may have been moved, did not answer: wait for them, or expel them`;
      return { ...entry, result: 'refused', reason };
    }
    if (!force) return { ...entry, result: 'possible' };
    await audit({ step: 'begin', ...entry, result: 'possible' });
    if (missing.length > 0) await this.#outlastLeases(signal);
    const done: SalvageEntry = await this.#at.housekeeping.salvage(address, { from: newest.ballot, survivors, unsettled }, { signal }).then(
      ({ status }) => ({ ...entry, ...said[status] }),
      (error: unknown) => ({ ...entry, result: 'failed', reason: messageOf(error) }),
    );
    await audit({ step: 'end', ...done });
    return done;
  }

  /** The lost hosts may have granted leases by which others answer from memory, and nobody but these hosts would call them back. */
  async #outlastLeases(signal: AbortSignal): Promise<void> {
    if (this.#outlasted) return;
    await pause(this.#at.housekeeping.leaseTermMs, signal);
    this.#outlasted = true;
  }
}

/** What became of it. While others were looked at and it was written down, another host may have salvaged the block, and a client have written it since. */
const said = {
  committed: { result: 'rewritten' },
  conflict: { result: 'refused', reason: 'it changed meanwhile: look again' },
  'no-quorum': { result: 'failed', reason: 'not all hosts that are left answered, or some have no say: look again' },
  unknown: { result: 'failed', reason: 'it may have been rewritten: look again' },
} as const satisfies Record<ProposalOutcome['status'], Pick<SalvageEntry, 'result' | 'reason'>>;
