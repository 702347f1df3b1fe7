import type { Channel, LargeAnswer } from './calls.ts';
import { frameType, type IncomingFrame } from './frame.ts';
import { maxAnswerBytes, maxBacklog, maxBacklogBytes } from './limits.ts';

/** Requests that are served in the order in which they came: those with small answers, or those with large ones of one sort. */
export class Place {
  /** In the order in which they came. */
  readonly waiting = new Set<IncomingFrame>();
  /** What the answers may take; absent: little. */
  readonly #answers = new WeakMap<IncomingFrame, number>();
  #servedBytes = 0;

  /** Its answer may take so many bytes. */
  note(frame: IncomingFrame, bytes: number): void {
    this.#answers.set(frame, bytes);
  }

  /** Whether the answer can be put together beside those under way; one that is larger than all the room goes alone. */
  hasRoom(frame: IncomingFrame): boolean {
    return this.#servedBytes === 0 || this.#servedBytes + this.#bytesOf(frame) <= maxAnswerBytes;
  }

  begin(frame: IncomingFrame): void {
    this.#servedBytes += this.#bytesOf(frame);
  }

  end(frame: IncomingFrame): void {
    this.#servedBytes -= this.#bytesOf(frame);
  }

  #bytesOf(frame: IncomingFrame): number {
    return this.#answers.get(frame) ?? 0;
  }
}

/** What one peer asks for on one channel: what is served, and what waits. */
export class Desk {
  serving = 0;
  servingBytes = 0;
  /** Requests and notifications that wait, in all places. */
  waiting = 0;
  readonly #channel: Channel;
  readonly #small = new Place();
  readonly #large = new Map<string, Place>();
  /** Requests that wait, by their ids. */
  readonly #byId = new Map<number, { readonly place: Place; readonly frame: IncomingFrame }>();
  #waitingBytes = 0;

  constructor(channel: Channel) {
    this.#channel = channel;
  }

  places(): readonly Place[] {
    return [this.#small, ...this.#large.values()];
  }

  placeOf(frame: IncomingFrame, answer: LargeAnswer | undefined): Place {
    if (answer === undefined) return this.#small;
    const place = this.#large.get(answer.sort) ?? new Place();
    this.#large.set(answer.sort, place);
    place.note(frame, answer.bytes);
    return place;
  }

  /** False where too much waits already. */
  wait(place: Place, frame: IncomingFrame): boolean {
    if (this.waiting >= maxBacklog[this.#channel] || this.#waitingBytes + frame.body.length > maxBacklogBytes) return false;
    place.waiting.add(frame);
    this.waiting++;
    this.#waitingBytes += frame.body.length;
    if (frame.type === frameType.request) this.#byId.set(frame.id, { place, frame });
    return true;
  }

  /** It waits no longer. */
  leave(place: Place, frame: IncomingFrame): void {
    place.waiting.delete(frame);
    this.waiting--;
    this.#waitingBytes -= frame.body.length;
    if (this.#byId.get(frame.id)?.frame === frame) this.#byId.delete(frame.id);
  }

  /** A request that waits is forgotten. */
  cancel(id: number): void {
    const found = this.#byId.get(id);
    if (found !== undefined) this.leave(found.place, found.frame);
  }

  clear(): void {
    for (const { waiting } of this.places()) waiting.clear();
    this.#byId.clear();
    this.waiting = 0;
  }
}
