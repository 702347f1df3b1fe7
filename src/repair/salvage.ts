import { messageOf } from '../base/index.ts';
import { type Address, type GivenUp, givenUpPayload, readGivenUp } from '../block/index.ts';
import { formatBallot, type PeerId, type ProposalOutcome } from '../consensus/index.ts';
import { givingUp, look, type Remains, whyRefused } from './remains.ts';
import type { Standpoint } from './standpoint.ts';
import { pages, pause, registersPart } from './walk.ts';

/** Blocks that one run names; the rest is counted. */
const maxNamed = 1000;
/** Results and reasons that are told apart: a reason may be the words of an error, another for each block. */
const maxResults = 100;
/** Blocks whose hosts are asked at once: a damaged record shows only there, so all blocks are asked for. */
const askedAtOnce = 16;

/** How often a block that changes meanwhile is looked at. */
const maxTries = 3;

/** What a person asks for. */
export interface SalvageRequest {
  /** Rewrite; otherwise only look. */
  readonly force: boolean;
  /** Hosts that are lost for good, by peer id: they must have been expelled, so that they can never speak again. */
  readonly lost: readonly PeerId[];
  /** Give up blocks of which nothing is left, and who does; absent: those that are left are rewritten. */
  readonly giveUp?: GivenUp;
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
  /** Of that record; where none is left, of the newest pointer to where it was, 0 where there is none. Later writes may have been acknowledged and are lost then. */
  readonly version: number;
  readonly ballot: string;
  readonly removed: boolean;
  /** Where it will be or is now. */
  readonly replicas: readonly PeerId[];
  /** `possible`: with `force` it would be rewritten, or given up. `refused`: `reason` says why not. `failed`: tried. */
  readonly result: 'possible' | 'refused' | 'rewritten' | 'given-up' | 'failed';
  readonly reason?: string;
}

export interface SalvageReport {
  /** Registers of this host that were looked at. */
  readonly looked: number;
  /** How many are without a majority. */
  readonly underQuorum: number;
  readonly rewritten: number;
  readonly givenUp: number;
  /** Of all of them; a hundred at the most. */
  readonly results: readonly SalvageCount[];
  /** Hosts that some of them miss. */
  readonly missing: readonly PeerId[];
  /** At most 1000 of them. */
  readonly blocks: readonly SalvageEntry[];
}

/** How many blocks have the same result. */
export interface SalvageCount extends Pick<SalvageEntry, 'result' | 'reason'> {
  readonly count: number;
}

function count(results: Map<string, SalvageCount>, { result, reason }: SalvageEntry): void {
  const key = `${result} ${reason}`;
  const known = results.get(key);
  if (known !== undefined || results.size < maxResults)
    results.set(key, { result, ...(reason === undefined ? {} : { reason }), count: (known?.count ?? 0) + 1 });
}

type Found = Omit<SalvageEntry, 'result' | 'reason'>;

/** Keeps what is done, durably, before and after it is done. */
export type Audit = (line: { readonly step: 'begin' | 'end' } & SalvageEntry) => Promise<void>;

/**
 * For blocks whose majority is lost for good, by a person: the newest record that is left is made the block's record, with those that are left of its hosts
 * as its set; repair then brings it to where it belongs, as any block. This goes past the quorum, and is safe only where the missing hosts never return: so each of them must be named, and expelled.
 * Among those that are left it is agreed on as anything else (docs/consensus.md, “Salvage”): whoever else salvages the block, or writes to it, comes before or after.
 * Where nothing is left a person may give the block up (“Giving up”).
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
    const results = new Map<string, SalvageCount>();
    const missing = new Set<PeerId>();
    let [looked, underQuorum, rewritten, givenUp] = [0, 0, 0, 0];
    this.#outlasted = false;
    for await (const { addresses } of pages(this.#at, registersPart, signal)) {
      for (let start = 0; start < addresses.length; start += askedAtOnce) {
        const some = addresses.slice(start, start + askedAtOnce);
        const left = await Promise.all(some.map((address) => this.#remains(address, signal)));
        looked += some.length;
        for (const [index, remains] of left.entries()) {
          if (remains === undefined) {
            const before = request.giveUp === undefined ? undefined : await this.#givenUpBefore(some[index]!);
            if (before !== undefined && blocks.length < maxNamed) blocks.push(before);
            continue;
          }
          underQuorum++;
          const entry = await this.#salvage(some[index]!, remains, request, audit, signal);
          if (entry.result === 'rewritten') rewritten++;
          if (entry.result === 'given-up') givenUp++;
          for (const peer of entry.missing) missing.add(peer);
          count(results, entry);
          if (blocks.length < maxNamed) blocks.push(entry);
        }
        await this.#at.pace.breathe();
      }
    }
    return { looked, underQuorum, rewritten, givenUp, results: [...results.values()], missing: [...missing], blocks };
  }

  /** undefined: the block has a majority in reach, or nothing of it is here, or another host has more of it. */
  async #remains(address: Address, signal: AbortSignal): Promise<Remains | undefined> {
    const { housekeeping } = this.#at;
    const state = await housekeeping.inspect(address);
    const own = state?.lost === true ? 'damaged' : (state?.accepted ?? null);
    if (own === null) return undefined;
    const steps = look(this.#at, address, own, this.#isGone);
    let step = steps.next();
    while (step.done !== true) step = steps.next(await housekeeping.ask(address, step.value, { signal }));
    const hasRecord = own !== 'damaged' && !own.pointer;
    return hasRecord || step.value?.newest === null ? step.value : undefined;
  }

  /** For people who want to know what is lost. */
  async #givenUpBefore(address: Address): Promise<SalvageEntry | undefined> {
    const accepted = (await this.#at.housekeeping.inspect(address))?.accepted ?? null;
    const givenUp = readGivenUp(accepted?.record.value ?? null);
    if (accepted === null || givenUp === undefined) return undefined;
    const { version, replicas } = accepted.record;
    const where = { missing: [], damaged: [], holders: [], replicas, removed: false };
    return { address, ...where, version, ballot: formatBallot(accepted.ballot), result: 'given-up', reason: `by ${givenUp.by} at ${givenUp.at}` };
  }

  /** A client of before may have its write accepted by a host that is left, at the latest when that has a say again: what is left then is looked at once more. */
  async #salvage(address: Address, remains: Remains, request: SalvageRequest, audit: Audit, signal: AbortSignal): Promise<SalvageEntry> {
    for (let [left, tries] = [remains, 1]; ; tries++) {
      const entry = await this.#handle(address, left, request, audit, signal);
      const now = entry.reason === said.conflict.reason && tries < maxTries ? await this.#remains(address, signal) : undefined;
      // Where another host salvaged it, nothing is left to do.
      if (now === undefined) return entry;
      left = now;
    }
  }

  async #handle(address: Address, remains: Remains, request: SalvageRequest, audit: Audit, signal: AbortSignal): Promise<SalvageEntry> {
    const { newest, pointer, missing, damaged, holders, survivors, unsettled } = remains;
    const { housekeeping } = this.#at;
    const last = newest ?? pointer;
    const entry = { address, missing, damaged, holders, version: last?.record.version ?? 0, ballot: formatBallot(last?.ballot ?? null) };
    if (newest === null) return this.#giveUp({ ...entry, removed: false, replicas: [] }, remains, request, audit, signal);
    const left = { ...entry, removed: newest.record.value === null, replicas: survivors };
    if (request.giveUp !== undefined) return { ...left, result: 'refused', reason: 'a record of it is left: salvage it' };
    const reason = whyRefused(remains, request.lost, this.#isGone);
    if (reason !== undefined) return { ...left, result: 'refused', reason };
    const salvaged = { from: newest.ballot, pointer, survivors, unsettled };
    return this.#carryOut(left, request, audit, signal, 'rewritten', () => housekeeping.salvage(address, salvaged, { signal }));
  }

  async #giveUp(entry: Found, remains: Remains, request: SalvageRequest, audit: Audit, signal: AbortSignal): Promise<SalvageEntry> {
    const { lost, giveUp } = request;
    if (giveUp === undefined) return { ...entry, result: 'refused', reason: 'nothing is left of it: give it up, if all its hosts are lost' };
    const how = givingUp(remains, lost, this.#isGone);
    if (typeof how === 'string') return { ...entry, result: 'refused', reason: how };
    const value = givenUpPayload(giveUp);
    const run = (): Promise<ProposalOutcome> => this.#at.housekeeping.giveUp(entry.address, { ...how, value }, { signal });
    return this.#carryOut({ ...entry, replicas: how.sets[0]! }, request, audit, signal, 'given-up', run);
  }

  async #carryOut(
    entry: Found,
    { force }: SalvageRequest,
    audit: Audit,
    signal: AbortSignal,
    result: 'rewritten' | 'given-up',
    run: () => Promise<ProposalOutcome>,
  ): Promise<SalvageEntry> {
    if (!force) return { ...entry, result: 'possible' };
    await audit({ step: 'begin', ...entry, result: 'possible' });
    if (entry.missing.length > 0) await this.#outlastLeases(signal);
    const done: SalvageEntry = await run().then(
      ({ status }) => ({ ...entry, ...(status === 'committed' ? { result } : said[status]) }),
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
  conflict: { result: 'refused', reason: 'it changed meanwhile: look again' },
  'no-quorum': { result: 'failed', reason: 'not all hosts that are left answered, or some have no say: look again' },
  unknown: { result: 'failed', reason: 'it may have been done: look again' },
} as const satisfies Record<Exclude<ProposalOutcome['status'], 'committed'>, Pick<SalvageEntry, 'result' | 'reason'>>;
