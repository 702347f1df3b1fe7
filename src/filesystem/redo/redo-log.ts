import { copyBytes } from '../../base/index.ts';
import type { DoneCall } from '../journal/call-table.ts';
import type { Inode } from '../inodes/inode.ts';
import { encodeCalls } from '../inodes/inode-calls.ts';
import { noteKernelPages } from '../content/kernel-pages.ts';
import type { Operation } from '../journal/operation-log.ts';
import { NotedExchanges } from './redo-exchanges.ts';
import { callsVersion, headBytes, RedoHead, reservedVersion, storedVersion } from './redo-head.ts';
import {
  attributeNumbers,
  behind,
  decodeRecord,
  encodeXattrs,
  kinds,
  operationNumbers,
  putAttributes,
  putStandings,
  recordAt,
  type RedoChange,
  type RedoRecord,
  standingsNumbers,
} from './redo-records.ts';
import { grain, RedoRing } from './redo-ring.ts';
import { RedoMemory } from './redo-memory.ts';
import { RedoRoom } from './redo-room.ts';
import type { SurvivingMemory } from './surviving-memory.ts';
import type { StoredPiece } from '../inodes/written.ts';

/** Where the log was at a moment. */
export interface RedoMark {
  readonly position: number;
  readonly written: number;
  readonly life: number;
}

/**
 * What was done to a volume and answered, and is not durable yet, in memory that outlives this process: a ring of records in the order in which things were done.
 * The next process makes them again over what the store has ({@link prepareReplay}), and no program notices that there was another. A record of content or attributes
 * says what they are and not what was done, so making it again is harmless; one of an operation on names is numbered, and made again only if the journal does not have it.
 *
 * Nothing fails here: what finds no room makes the log incomplete, and as good as none until a flush has made durable all that was done before it went on.
 */
export class RedoLog {
  readonly exchanges: NotedExchanges;
  readonly #memory: RedoMemory;
  readonly #survives: SurvivingMemory;
  readonly #head: RedoHead;
  readonly #words: Float64Array;
  readonly #ring: Buffer;
  readonly #capacity: number;
  readonly #space: RedoRing;
  readonly room: RedoRoom;
  /** Told when it is time to write out. */
  onFilling: (() => void) | undefined;
  /** Records are written. */
  #on = false;
  /** There was no room, or no memory: nothing is written until the next flush begins. */
  #lapsed: 'full' | 'no-memory' | undefined;
  #adopted = false;
  #resumed = false;
  /** In words, from where the record being written goes on. What lies behind the published head belongs to an operation that is not complete. */
  #at = 0;
  /** The inode that the operation makes whose records are being written; 0: none. */
  #creating = 0;
  /** Counts how often it became incomplete: a mark of before is worth nothing then. */
  #life = 0;

  constructor(memory: SurvivingMemory, volumeId: string) {
    const { bytes } = memory;
    this.#survives = memory;
    this.#capacity = bytes.length - headBytes - ((bytes.length - headBytes) % grain);
    this.room = new RedoRoom(this.#capacity);
    this.#head = new RedoHead(memory, volumeId);
    this.exchanges = new NotedExchanges(this.#head.words);
    this.#words = new Float64Array(bytes.buffer, bytes.byteOffset + headBytes, this.#capacity / 8);
    this.#ring = Buffer.from(bytes.buffer, bytes.byteOffset + headBytes, this.#capacity);
    this.#space = new RedoRing(this.#capacity, (from, to) => this.#memory.provide(from, to));
    this.#memory = new RedoMemory(memory, this.#space, () => this.room.used === 0);
  }

  /**
   * Takes over what the process before left, for the session that follows it. False: there is nothing, or it is incomplete, or somebody else has had the volume since, or it killed whoever took it over.
   * @param last the session that had the volume last, as the store has it.
   */
  adopt(last: number, session: number): boolean {
    if (!this.#head.adopt(last, session)) return false;
    this.#adopted = true;
    this.#memory.adopted();
    return true;
  }

  /** What was taken over is of no use. */
  discard(): void {
    this.#head.whole = false;
    this.#adopted = false;
  }

  /** The process did not die over it. */
  survived(): void {
    this.#head.survived();
  }

  /** Goes on with what was taken over; it is all in memory. */
  resume(session: number): void {
    const head = this.#head;
    head.resume(session);
    this.#space.restore(head.tail, this.#left());
    head.end = this.#space.next;
    this.exchanges.resume(this.origin, this.#space.next);
    this.#on = this.#resumed = true;
  }

  /** Lengths of what was taken over. */
  *#left(): Iterable<{ length: number; skips: boolean }> {
    const { tail, end } = this.#head;
    for (let position = tail; position < end;) {
      const { kind, length } = recordAt(this.#words, this.#space.place(position) / 8, position);
      const skips = kind === kinds.skip;
      if (!skips) this.room.add(length);
      yield { length, skips };
      position += length;
    }
  }

  /** Begins anew. All that is in memory is durable, operations up to `durable` among it. @param fresh the kernel waits for nothing that was asked before. */
  begin(session: number, durable: number, fresh: boolean): void {
    this.#head.begin(session, durable, () => {
      // Until whoever knows says otherwise.
      noteKernelPages(this.#survives, 'stale');
      this.exchanges.begin(session, fresh);
      this.#space.restore(0, []);
    });
    this.#on = true;
  }

  /** Nothing is written any more, and what is there counts for nothing: others may have the volume. */
  abandon(): void {
    // What was not taken over yet may be by the next opening.
    if (this.#on || this.#lapsed !== undefined) {
      this.#head.whole = false;
      this.#memory.giveBack();
    }
    this.#on = this.#adopted = false;
    this.#lapsed = undefined;
    this.#memory.keep();
    this.room.release();
  }

  /** Whether what was taken over says which calls of other hosts were done. */
  get namesCalls(): boolean {
    return this.#head.namesCalls;
  }

  /** It began with what a process before left. */
  get resumed(): boolean {
    return this.#resumed;
  }

  /** Names the numbering of operations: that of the session which began the log. */
  get origin(): number {
    return this.#head.origin;
  }

  /** Operations up to this one are durable. */
  get durable(): number {
    return this.#head.durable;
  }

  set durable(sequence: number) {
    if (this.#on || this.#lapsed !== undefined || this.#adopted) this.#head.durable = sequence;
  }

  /** To be written out without delay: there is much of it, or there was no room, which only a flush that begins now ends. */
  get filling(): boolean {
    return this.#on ? this.room.filling : this.#lapsed === 'full';
  }

  /** What is there counts. */
  get whole(): boolean {
    return this.#head.whole;
  }

  /** Undefined while there is room; otherwise a promise for the moment when there is again, or when nothing can be written out at present. */
  wait(): Promise<void> | undefined {
    return this.#on ? this.room.wait() : undefined;
  }

  /** Before a flush of all that is in memory. */
  mark(): RedoMark {
    // What was done while there was no room is in memory, and so part of that flush.
    if (this.#lapsed !== undefined) {
      this.#lapsed = undefined;
      this.#on = true;
    }
    return { position: this.#head.end, written: this.room.written, life: this.#life };
  }

  /** That flush has made everything durable, but what was logged anew since: so many bytes of records. */
  trim(mark: RedoMark, carried = 0): void {
    const head = this.#head;
    if (!this.#on || mark.life !== this.#life || mark.position < head.tail) return;
    head.tail = mark.position;
    head.whole = true;
    this.#space.trim(mark.position);
    if (mark.position === this.#space.next) this.#rewind();
    this.room.trim(mark.written, carried);
  }

  /** Records of content come before the attributes that they go with. */
  write(inode: number, offset: number, data: Uint8Array): void {
    if (!this.#begin(kinds.write, 3, data.length)) return;
    this.#put(inode);
    this.#put(offset);
    this.#put(data.length);
    copyBytes(data, this.#ring, 8 * this.#at);
  }

  /** Content that another host has put into the store. */
  stored(inode: number, { offset, length, at, blockBytes, address }: StoredPiece): void {
    if (!this.#on) return;
    this.#head.needs(storedVersion);
    if (!this.#begin(kinds.stored, 6, address.length)) return;
    for (const value of [inode, offset, length, at, blockBytes, address.length]) this.#put(value);
    this.#ring.write(address, 8 * this.#at, 'latin1');
  }

  /** What becomes a hole, or one that room is set aside for. */
  hole(kind: 'punch' | 'reserve', inode: number, start: number, end: number): void {
    if (this.#on && kind === 'reserve') this.#head.needs(reservedVersion);
    if (!this.#begin(kinds[kind], 3, 0)) return;
    this.#put(inode);
    this.#put(start);
    this.#put(end);
  }

  /** Attributes as they are now, and what was written before. `whole`: extended ones, too, though they did not change just now. */
  attributes(inode: Inode, whole = false): void {
    if (inode.xattrsRevision === inode.revision || whole) this.#xattrs(inode.number, inode.xattrs);
    if (inode.callsRevision === inode.revision || whole) this.#calls(inode.number, inode.calls);
    if (!this.#begin(kinds.attributes, attributeNumbers, 0)) return;
    putAttributes(inode, this.#words, this.#at);
    if (this.#creating === 0) this.#publish();
  }

  /** What a process before this one left of an inode, and this one cannot bring to its place yet. */
  again(change: RedoChange): void {
    switch (change.kind) {
      case 'write':
        return this.write(change.inode, change.offset, change.data);
      case 'stored':
        return this.stored(change.inode, change);
      case 'punch':
      case 'reserve':
        return this.hole(change.kind, change.inode, change.start, change.end);
      case 'xattrs':
        return this.#xattrs(change.inode, change.xattrs);
      case 'calls':
        return this.#calls(change.inode, change.calls);
      case 'attributes':
        if (!this.#begin(kinds.attributes, attributeNumbers, 0)) return;
        putAttributes({ ...change.attributes, number: change.attributes.inode }, this.#words, this.#at);
        return this.#publish();
    }
  }

  /** An inode that the operation with this number is about to make. */
  created(inode: Inode, sequence: number): void {
    this.#creating = inode.number;
    const target = inode.target ?? '';
    if (!this.#begin(kinds.created, 5 + attributeNumbers, target.length)) return;
    this.#put(sequence);
    this.#put(inode.device);
    this.#put(inode.parent);
    this.#put(inode.target === undefined ? 0 : 1);
    this.#put(target.length);
    putAttributes(inode, this.#words, this.#at);
    this.#ring.write(target, 8 * (this.#at + attributeNumbers), 'latin1');
    if (inode.xattrs !== undefined) this.#xattrs(inode.number, inode.xattrs);
  }

  operation({ sequence, names, links, renamed = [], gone, moved = [], settle, request, call }: Operation): void {
    if (call !== undefined) this.#called(sequence, call);
    const made = this.#creating;
    this.#creating = 0;
    let text = 0;
    for (const { change } of names) text += change.name.length;
    const numbers = operationNumbers(names.length, links.length, renamed.length, moved.length);
    const changed = [...links, ...moved].map(({ inode }) => inode).filter(({ number }) => number !== made);
    if (gone !== undefined) changed.push(gone);
    const stand = [...new Set(changed)];
    const rest = behind(numbers, text);
    if (!this.#begin(kinds.operation, stand.length === 0 ? numbers : rest - 2 + standingsNumbers(stand.length), stand.length === 0 ? text : 0))
      return;
    if (stand.length > 0) putStandings(stand, this.#words, this.#at - 2 + rest);
    for (const value of [sequence, names.length, links.length, renamed.length, moved.length, gone?.number ?? 0, settle?.number ?? 0])
      this.#put(value);
    for (const { directory, change } of names) {
      this.#put(directory.number);
      this.#put(change.dentry?.inode ?? 0);
      this.#put(change.dentry?.type ?? 0);
      this.#put(change.name.length);
    }
    for (const { inode, delta } of links) {
      this.#put(inode.number);
      this.#put(delta);
    }
    for (const { number } of renamed) this.#put(number);
    for (const { inode, parent } of moved) {
      this.#put(inode.number);
      this.#put(parent);
    }
    let at = 8 * this.#at;
    for (const { change } of names) at += this.#ring.write(change.name, at, 'latin1');
    if (request !== undefined) this.exchanges.note(request, this.#space.next);
    this.#publish();
  }

  /** Counts together with the operation that follows. */
  #called(sequence: number, { asker, number, inode }: DoneCall): void {
    if (!this.#begin(kinds.called, 4, asker.length)) return;
    this.#put(sequence);
    this.#put(number);
    this.#put(inode);
    this.#put(asker.length);
    this.#ring.write(asker, 8 * this.#at, 'latin1');
  }

  /** What was taken over, in order. Bytes are views of the memory. @throws InfinitError `damaged` */
  *records(): Iterable<RedoRecord> {
    const { tail, end } = this.#head;
    for (let position = tail; position < end;) {
      const [record, length] = decodeRecord(this.#words, this.#ring, this.#space.place(position), position);
      if (record !== undefined) yield record;
      position += length;
    }
  }

  #xattrs(inode: number, xattrs: Inode['xattrs']): void {
    const text = encodeXattrs(xattrs);
    if (!this.#begin(kinds.xattrs, 2, text.length)) return;
    this.#put(inode);
    this.#put(text.length);
    this.#ring.write(text, 8 * this.#at, 'latin1');
  }

  #calls(number: number, calls: Inode['calls']): void {
    if (!this.#on || calls === undefined) return;
    this.#head.needs(callsVersion);
    const encoded = encodeCalls(calls);
    if (!this.#begin(kinds.calls, 2, encoded.length)) return;
    this.#put(number);
    this.#put(encoded.length);
    this.#ring.set(encoded, 8 * this.#at);
  }

  #put(value: number): void {
    this.#words[this.#at++] = value;
  }

  /** Makes room for a record of so many numbers and bytes. */
  #begin(kind: number, numbers: number, bytes: number): boolean {
    if (!this.#on) return false;
    const length = Math.ceil((8 * (2 + numbers) + bytes) / grain) * grain;
    while (!this.#space.fits(length)) {
      const skipped = this.#space.room(length);
      if (typeof skipped === 'string') {
        this.#lapse(skipped);
        return false;
      }
      if (skipped === 0) continue;
      this.#place(kinds.skip, skipped);
      this.#space.skip(skipped);
    }
    this.#place(kind, length);
    this.#space.advance(length);
    this.room.add(length);
    return true;
  }

  /** A record says where it is: what was there before is never taken for one. */
  #place(kind: number, length: number): void {
    const { next } = this.#space;
    this.#at = this.#space.place(next) / 8;
    this.#put(next);
    this.#put(kind * 2 ** 32 + length);
  }

  /** One store of eight bytes, after all that it covers: a process dies before it or after it. */
  #publish(): void {
    const filling = this.filling;
    this.#head.end = this.#space.next;
    if (filling) this.onFilling?.();
  }

  /** Incomplete until {@link trim} says that all of before is durable. */
  #lapse(why: 'full' | 'no-memory'): void {
    this.#head.whole = false;
    this.#on = false;
    this.#lapsed = why;
    this.#life++;
    this.#clear();
    this.room.trim(this.room.written, 0);
    if (why === 'full') this.onFilling?.();
  }

  #clear(): void {
    this.#space.clear();
    this.#head.tail = this.#head.end = this.#space.next;
  }

  /** Nothing is left: the ring begins again where its memory is, and gives that up where it stays empty. */
  #rewind(): void {
    this.#clear();
    this.#memory.empty();
  }
}
