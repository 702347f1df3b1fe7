import { createHash } from 'node:crypto';

import { boundedJson, codeOf, InfinitError, KeyedQueue } from '../base/index.ts';
import { type Address, isAddress, kindOf } from '../block/index.ts';
import type { Accepted, PeerId } from '../consensus/index.ts';
import { bringUp, type Mend } from './bring-up.ts';
import { repairKinds } from './kinds.ts';
import { stampOf } from './register-keeper.ts';
import type { Standpoint } from './standpoint.ts';

/** A block that two hosts should both hold, and the state in which one of them has it: of a register its last ballot, of an immutable block nothing. */
export type Line = readonly [address: Address, stamp: string];

/** A question: what lies after `after` up to and with `last` (null: from the beginning, to the end). */
interface Question {
  readonly view: number;
  readonly after: Address | null;
  readonly last: Address | null;
  readonly digest: string;
}

/** The answer where both differ: what the other side holds, up to and with `until` where there was more. */
interface Answer {
  readonly lines: readonly Line[];
  readonly until: Address | null;
}

/** What a comparison led to: copies that were missing or older somewhere and are there now, and blocks of which a copy is missing still. */
export interface Compared {
  readonly mended: number;
  readonly short: ReadonlySet<Address>;
  /** A host did not answer, or not in time: what it lacks is not known. */
  readonly isOpen: boolean;
}

interface Tally {
  mended: number;
  readonly short: Set<Address>;
  isOpen: boolean;
}

/** Blocks that one answer lists: about 60 KiB. */
const maxLines = 512;
/** Blocks that are listed at once to answer. */
const listPage = 512;
/** Blocks that are looked at for one answer, shared or not. */
const maxScanned = 8192;
const maxQuestionBytes = 1024;
/** To read what an answer takes from a cold disk, 8192 places in the index and 512 registers, may last this long, in ms. */
const answerDeadlineMs = 30_000;

/**
 * Anti-entropy between two hosts: page by page of addresses they compare a digest of what both should hold, and lists only where digests differ.
 * The host with the smaller id asks; what differs is brought up on both sides.
 */
export class Comparison {
  readonly #at: Standpoint;
  /** A host asks one question after the other; of more at once each would look through as much as it may. */
  readonly #turns = new KeyedQueue();
  readonly #stop: () => void;

  constructor(standpoint: Standpoint) {
    this.#at = standpoint;
    this.#stop = standpoint.transport.handle(repairKinds.compare, (peer, body, call) =>
      this.#turns.run(peer, () => this.#serve(peer, body, call.signal)),
    );
  }

  /**
   * Compares one page of what this host holds with every host that shares blocks with it, and mends what differs.
   * @param last The page's last address; undefined: it goes to the end.
   */
  async page(after: Address | undefined, last: Address | undefined, addresses: readonly Address[], signal: AbortSignal): Promise<Compared> {
    const compared: Tally = { mended: 0, short: new Set<Address>(), isOpen: false };
    const { self, newest, transport } = this.#at;
    const peers = newest.roster.eligible.map(({ peer }) => peer).filter((peer) => peer > self && transport.isConnected(peer));
    if (peers.length === 0 || newest.roster.get(self) === undefined) return compared;
    const shared = new Map<PeerId, Line[]>(peers.map((peer) => [peer, []]));
    // To read so many registers is work as any other: it takes a lane, and a rest after it. Nobody is asked meanwhile: two hosts must not wait for each other's lanes.
    await this.#at.pace.run(async () => {
      for (const address of addresses) {
        await this.#at.pace.breathe();
        const home = this.#at.home(address, newest);
        if (!home.includes(self)) continue;
        const line: Line = [address, await this.#stamp(address)];
        for (const peer of home) shared.get(peer)?.push(line);
      }
    });
    for (const [peer, lines] of shared) {
      await this.#compare(peer, newest.number, after, last, lines, compared, signal).catch(() => {
        compared.isOpen = true;
      });
    }
    return compared;
  }

  /** Stops serving. */
  close(): void {
    this.#stop();
  }

  async #compare(
    peer: PeerId,
    view: number,
    after: Address | undefined,
    last: Address | undefined,
    mine: readonly Line[],
    compared: Tally,
    signal: AbortSignal,
  ): Promise<void> {
    let [from, rest] = [after, mine];
    for (;;) {
      const answer = await this.#ask(peer, { view, after: from ?? null, last: last ?? null, digest: digestOf(rest) }, signal);
      if (answer === undefined) return;
      const { until } = answer;
      if (until !== null && from !== undefined && until <= from)
        throw new InfinitError('bad-argument', `host ${peer} answered up to ${until} to a question of what follows ${from}`);
      const within = until === null ? rest : rest.filter(([address]) => address <= until);
      await this.#mend(peer, within, answer.lines, compared, signal);
      if (until === null || (last !== undefined && until >= last)) return;
      [from, rest] = [until, rest.slice(within.length)];
    }
  }

  async #ask(peer: PeerId, question: Question, signal: AbortSignal): Promise<Answer | undefined> {
    const reply = await this.#at.transport.request(peer, repairKinds.compare, Buffer.from(JSON.stringify(question)), {
      signal,
      deadlineMs: answerDeadlineMs,
    });
    return reply.length === 0 ? undefined : answerIn(reply);
  }

  async #mend(peer: PeerId, mine: readonly Line[], theirs: readonly Line[], compared: Tally, signal: AbortSignal): Promise<void> {
    const here = new Map(mine);
    const there = new Map(theirs);
    const differing = [...new Set([...here.keys(), ...there.keys()])].filter((address) => here.get(address) !== there.get(address));
    await this.#at.pace.each(differing, async (address) => {
      const isMended =
        kindOf(address) === 'immutable'
          ? this.#copy(address, peer, here.has(address), signal)
          : this.#bringUp(address, peer, here.get(address), there.get(address), signal);
      // What is short still is found again by the next check; what is gone was removed meanwhile.
      const mend = await isMended.catch((error: unknown): Mend => (codeOf(error) === 'not-found' ? 'gone' : 'short'));
      if (mend === 'mended') compared.mended++;
      else if (mend === 'short') compared.short.add(address);
    });
  }

  async #copy(address: Address, peer: PeerId, isHere: boolean, signal: AbortSignal): Promise<Mend> {
    const { housekeeping, pace } = this.#at;
    const bytes = isHere ? await housekeeping.push(address, peer, { signal }) : await housekeeping.pull(address, { signal });
    await pace.spend(bytes ?? 0);
    return bytes === undefined ? 'gone' : 'mended';
  }

  /** Whoever of both has less than what a quorum chose is told; a lost record is left to those who replace it. */
  #bringUp(address: Address, peer: PeerId, mine: string | undefined, theirs: string | undefined, signal: AbortSignal): Promise<Mend> {
    const behind = (accepted: Accepted): PeerId[] => {
      const chosen = stampOf({ promised: null, accepted, lost: false });
      const both = [...(mine === chosen ? [] : [this.#at.self]), ...(theirs === chosen ? [] : [peer])];
      return both.filter((one) => accepted.record.replicas.includes(one));
    };
    return bringUp(this.#at, address, behind, signal);
  }

  async #serve(peer: PeerId, body: Uint8Array, givenUp: AbortSignal): Promise<Uint8Array> {
    const question = questionIn(body);
    const { newest } = this.#at;
    // Hosts with different rosters have nothing to compare: what moves is moved by other means. Nor has one that stores nothing.
    if (question.view !== newest.number || newest.roster.get(peer) === undefined) return new Uint8Array(0);
    const lines: Line[] = [];
    let after = question.after ?? undefined;
    let until: Address | null = null;
    let scanned = 0;
    listing: for (;;) {
      if (givenUp.aborted) throw new InfinitError('cancelled', `host ${peer} does not wait for the comparison any more`);
      const page = await this.#at.housekeeping.list(after, listPage);
      for (const { address } of page) {
        if (question.last !== null && address > question.last) break listing;
        await this.#at.pace.breathe();
        after = address;
        const home = this.#at.home(address, newest);
        if (home.includes(peer) && home.includes(this.#at.self)) lines.push([address, await this.#stamp(address)]);
        if (lines.length < maxLines && ++scanned < maxScanned) continue;
        until = address;
        break listing;
      }
      if (page.length < listPage) break;
    }
    if (until === null && digestOf(lines) === question.digest) return new Uint8Array(0);
    return Buffer.from(JSON.stringify({ lines, until } satisfies Answer));
  }

  async #stamp(address: Address): Promise<string> {
    return kindOf(address) === 'immutable' ? '' : stampOf(await this.#at.housekeeping.inspect(address));
  }
}

function digestOf(lines: readonly Line[]): string {
  const hash = createHash('sha256');
  for (const [address, stamp] of lines) hash.update(`${address}=${stamp}\n`);
  return hash.digest('hex');
}

function questionIn(body: Uint8Array): Question {
  if (body.length > maxQuestionBytes) throw new InfinitError('too-large', `a comparison of ${body.length} bytes`);
  const { view, after, last, digest } = parsed(body) as Partial<Question>;
  const isEnd = (end: unknown): end is Address | null => end === null || isAddress(end);
  if (!Number.isSafeInteger(view) || !isEnd(after) || !isEnd(last) || typeof digest !== 'string')
    throw new InfinitError('bad-argument', 'a comparison names a view, a range of addresses and a digest');
  return { view: view!, after, last, digest };
}

function answerIn(reply: Uint8Array): Answer {
  const { lines, until } = parsed(reply) as Partial<Answer>;
  const isLine = (line: unknown): boolean => Array.isArray(line) && line.length === 2 && isAddress(line[0]) && typeof line[1] === 'string';
  if (!Array.isArray(lines) || lines.length > maxLines || !lines.every(isLine) || (until !== null && !isAddress(until)))
    throw new InfinitError('bad-argument', 'a comparison is answered with lines of address and stamp');
  return { lines: lines as Line[], until };
}

function parsed(bytes: Uint8Array): object {
  try {
    const value = boundedJson(bytes);
    if (typeof value === 'object' && value !== null) return value;
  } catch {
    // Said below.
  }
  throw new InfinitError('bad-argument', 'a comparison is a JSON object');
}
