import { setImmediate as turn } from 'node:timers/promises';

import { boundedJson, type Clock, codeOf, InfinitError, KeyedQueue, type Logger, messageOf } from '../../base/index.ts';
import { maxRevocations, type Revocation, type SignedText, type Subject } from '../identity/index.ts';
import type { PeerId, Transport } from '../transport.ts';
import { type Entry, maxTableSize, type MemberTable, type News, type Summary } from './member-table.ts';
import { maxEntries, pagesOf, rotated } from './news-pages.ts';

/** Request: a summary; reply: what its sender lacks, and what is wanted of it. */
export const syncKind = 2;
/** Notification: members and revocations. */
export const newsKind = 3;

/** Signatures that are checked before others get their turn: well under 5 ms. */
const sliceSize = 8;
/** Two rosters may differ this long while news are on their way. */
const settleMs = 400;
/** A peer whose news are of no use here is asked again this rarely, at the most. */
const maxPauseMs = 15_000;
const syncDeadlineMs = 5000;
/**
 * Peers that are asked at once because their digests differ: who missed something differs from all, and the first answers bring what is missing. On a host too busy for
 * news to arrive within {@link settleMs} all would be asked at every change, each for a list of all members.
 */
const maxAsked = 3;
/** A page would delay the heartbeats on the control channel, by which hosts are taken for alive. */
const channel = 'bulk';
/** Questions to one peer in a row while it has more to tell than one answer holds. */
const maxPages = 400;

interface Partner {
  differsSince: number | undefined;
  pauseMs: number;
  nextAt: number;
  running: boolean;
}

/**
 * Keeps the members' tables the same: news are told to all at once, and whoever missed some sees it by the digest in the heartbeats
 * and exchanges summaries with that peer. Where all know the same, heartbeats are the only traffic.
 */
export class AntiEntropy implements Disposable {
  readonly #transport: Transport;
  readonly #table: MemberTable;
  readonly #cluster: () => Uint8Array | undefined;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #onNews: (revoked: readonly Revocation[]) => void;
  readonly #partners = new Map<PeerId, Partner>();
  /** News of one peer are merged one after the other: each of many at once would check its slice in every turn of the event loop. */
  readonly #turns = new KeyedQueue();
  #asked = 0;
  /** Entries that were told in answers too small for all. */
  #told = 0;
  readonly #stops: (() => void)[];

  /** @param onNews Told after the table has changed. */
  constructor(
    transport: Transport,
    table: MemberTable,
    cluster: () => Uint8Array | undefined,
    clock: Clock,
    logger: Logger,
    onNews: (revoked: readonly Revocation[]) => void,
  ) {
    this.#transport = transport;
    this.#table = table;
    this.#cluster = cluster;
    this.#clock = clock;
    this.#logger = logger;
    this.#onNews = onNews;
    this.#stops = [
      transport.handle(syncKind, (_peer, body) => this.#answer(body)),
      transport.handle(newsKind, async (peer, body) => {
        await this.take(parseNews(parse(body)), peer);
        return undefined;
      }),
      transport.onPeerDown((peer) => this.#partners.delete(peer)),
    ];
  }

  [Symbol.dispose](): void {
    for (const stop of this.#stops) stop();
  }

  /** Tells all peers. */
  tell(news: News, except?: PeerId): void {
    for (const page of pagesOf(news)) {
      const body = Buffer.from(JSON.stringify(page));
      for (const peer of this.#transport.connected()) if (peer !== except) this.#transport.notify(peer, newsKind, body);
    }
  }

  tellOne(peer: PeerId, news: News): void {
    for (const page of pagesOf(news)) this.#transport.notify(peer, newsKind, Buffer.from(JSON.stringify(page)), { channel });
  }

  /** @throws InfinitError where the peer does not take the news in time. */
  async tellAndWait(peer: PeerId, news: News, deadlineMs: number): Promise<void> {
    await this.#transport.request(peer, newsKind, Buffer.from(JSON.stringify(news)), { deadlineMs });
  }

  /** Looks at the digest that a peer's heartbeat brought. */
  compare(peer: PeerId, digest: string): void {
    const partner = this.#partners.get(peer) ?? { differsSince: undefined, pauseMs: settleMs, nextAt: 0, running: false };
    this.#partners.set(peer, partner);
    const now = this.#clock.monotonicMs();
    if (digest === this.#table.digest) {
      partner.differsSince = undefined;
      partner.pauseMs = settleMs;
      return;
    }
    partner.differsSince ??= now;
    if (partner.running || this.#asked >= maxAsked || now < partner.nextAt || now - partner.differsSince < settleMs) return;
    void this.sync(peer);
  }

  /** Exchanges summaries with a peer and what either lacks. Never rejects: the next heartbeat is another chance. */
  async sync(peer: PeerId): Promise<void> {
    const partner = this.#partners.get(peer) ?? { differsSince: undefined, pauseMs: settleMs, nextAt: 0, running: false };
    this.#partners.set(peer, partner);
    if (partner.running) return;
    partner.running = true;
    this.#asked++;
    try {
      let changed = false;
      for (let page = 0; page < maxPages; page++) {
        const answer = await this.#exchange(peer);
        changed ||= answer.changed;
        if (!answer.changed || !answer.hasMore) break;
      }
      partner.pauseMs = changed ? settleMs : Math.min(maxPauseMs, partner.pauseMs * 2);
    } catch (error) {
      this.#logger.debug('no roster from a peer', { peer, reason: messageOf(error) });
    } finally {
      partner.running = false;
      this.#asked--;
      partner.nextAt = this.#clock.monotonicMs() + partner.pauseMs;
    }
  }

  async #exchange(peer: PeerId): Promise<{ readonly changed: boolean; readonly hasMore: boolean }> {
    const body = Buffer.from(JSON.stringify(this.#table.summary()));
    const reply = parse(await this.#transport.request(peer, syncKind, body, { channel, deadlineMs: syncDeadlineMs }));
    const changed = await this.take(parseNews(reply), peer);
    // Each once: a reply that names the same ones over and over would have this host send what it has thousands of times.
    const wanted = [...new Set(listOf<PeerId>(reply, 'wanted'))].slice(0, maxEntries);
    this.tellOne(peer, this.#table.pick(wanted, [...new Set(listOf<Subject>(reply, 'wantedRevocations'))]));
    return { changed, hasMore: reply['more'] === true };
  }

  /** Merges news, a few at a time. True where any of it was new. What cannot be verified is left out and said. */
  take(news: News, from: PeerId): Promise<boolean> {
    return this.#turns.run(from, () => this.#take(news, from));
  }

  async #take(news: News, from: PeerId): Promise<boolean> {
    const cluster = this.#cluster();
    // What a host said while it was being expelled may arrive after that: nothing that it says counts any more.
    if (cluster === undefined || this.#table.isRevoked(from)) return false;
    const revoked: Revocation[] = [];
    const fresh: { entries: Entry[]; revocations: SignedText[] } = { entries: [], revocations: [] };
    let done = 0;
    const attempt = async (merge: () => void): Promise<void> => {
      try {
        merge();
      } catch (error) {
        this.#logger.debug('news of a peer were refused', { from, code: codeOf(error), reason: messageOf(error) });
      }
      if (++done % sliceSize === 0) await turn();
    };
    for (const text of news.revocations)
      await attempt(() => {
        const revocation = this.#table.mergeRevocation(text, cluster, from);
        if (revocation === undefined) return;
        revoked.push(revocation);
        fresh.revocations.push(text);
      });
    let uses = 0;
    for (const text of news.used ?? []) await attempt(() => void (this.#table.mergeUse(text, cluster) && uses++));
    for (const entry of news.entries) await attempt(() => void (this.#table.merge(entry, from) && fresh.entries.push(entry)));
    const changed = fresh.entries.length > 0 || fresh.revocations.length > 0 || uses > 0;
    if (changed) this.#onNews(revoked);
    // A revocation is urgent: whoever learns of one passes it on at once.
    if (fresh.revocations.length > 0) this.tell({ entries: [], revocations: fresh.revocations }, from);
    return changed;
  }

  #answer(body: Uint8Array): Uint8Array {
    const fields = parse(body);
    const summary: Summary = {
      members: listOf(fields, 'members').slice(0, maxTableSize).filter(isMemberSummary),
      revoked: listOf<Subject>(fields, 'revoked').slice(0, maxRevocations),
      used: listOf<string>(fields, 'used'),
    };
    const { news, wanted, wantedRevocations } = this.#table.compare(summary);
    // What did not fit is asked for again: from another place on, or entries that the peer refuses would keep the others from it.
    const [page, ...rest] = pagesOf({ ...news, entries: rotated(news.entries, this.#told) });
    if (rest.length > 0) this.#told += page!.entries.length;
    return Buffer.from(
      JSON.stringify({ entries: [], revocations: [], ...page, more: rest.length > 0, wanted: wanted.slice(0, maxEntries), wantedRevocations }),
    );
  }
}

function parse(body: Uint8Array): Record<string, unknown> {
  try {
    const value = boundedJson(body);
    if (typeof value === 'object' && value !== null) return value as Record<string, unknown>;
  } catch {
    // said below
  }
  throw new InfinitError('bad-argument', 'a roster message cannot be read');
}

function parseNews(fields: Record<string, unknown>): News {
  const entries = listOf<Entry>(fields, 'entries').filter((entry) => typeof entry?.record === 'string' && typeof entry.passport === 'string');
  return { entries: entries.slice(0, maxEntries), revocations: textsOf(fields, 'revocations'), used: textsOf(fields, 'used') };
}

function textsOf(fields: Record<string, unknown>, name: string): SignedText[] {
  return listOf<SignedText>(fields, name).filter((text) => typeof text === 'string');
}

function listOf<T>(fields: Record<string, unknown>, name: string): T[] {
  const list = fields[name];
  return Array.isArray(list) ? (list as T[]) : [];
}

function isMemberSummary(item: unknown): item is Summary['members'][number] {
  return Array.isArray(item) && typeof item[0] === 'string' && Number.isSafeInteger(item[1]) && Number.isSafeInteger(item[2]);
}
