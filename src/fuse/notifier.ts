import { type Logger } from '../base/index.ts';
import type { KernelCache } from '../filesystem/index.ts';
import type { Addon, WatchToken } from './addon.ts';
import { encodeGrow, encodeInvalidateEntry, encodeInvalidateInode, type Message } from './wire/index.ts';

/**
 * Notifications that wait for their turn, in each lane. One more is never dropped (the kernel would go on showing what is stale),
 * but said aloud: whoever notifies must wait for the promises from time to time.
 */
const maxQueued = 65_536;
/** Notifications handed to a lane's thread at a time; its socket buffers them. */
const maxInSocket = 16;

/** The kernel answers so where it has nothing cached, which is what we want. */
const ENOENT = 2;
/** This end is closed: what the kernel has is not known. */
const ENOTCONN = 107;
/** A directory that is mounted on or in use. */
const [ENOTEMPTY, EBUSY] = [39, 16];

/** Outcomes that are no trouble. */
const ordinary: ReadonlySet<number> = new Set([0, ENOENT, ENOTEMPTY, EBUSY, ENOTCONN]);

/** The kernel asks for the attributes of an inode, from when that was read until it is answered. */
export interface Question {
  readonly inode: number;
  /** The kernel is told meanwhile to forget them, and takes the answer in no more (`attr_version` in fuse_change_attributes): the program is told it. */
  forgotten: boolean;
}

interface Queued {
  readonly message: Message;
  readonly done: (errno: number) => void;
}

/** A thread of its own that writes notifications in order, and this thread's end of the socket to it. */
class Lane {
  readonly #addon: Addon;
  readonly #device: number;
  readonly #waiting: Queued[] = [];
  readonly #handed: Queued[] = [];
  readonly #outcome = Buffer.alloc(4);
  #socket = -1;
  #token: WatchToken | undefined;
  #closed = false;

  constructor(addon: Addon, device: number) {
    this.#addon = addon;
    this.#device = device;
  }

  get length(): number {
    return this.#waiting.length + this.#handed.length;
  }

  push(queued: Queued): void {
    if (this.#closed) return queued.done(ENOTCONN);
    this.#waiting.push(queued);
    if (this.#socket < 0 && !this.#open()) return this.close();
    this.#hand();
  }

  #open(): boolean {
    const socket = this.#addon.notifier(this.#device);
    if (socket < 0) return false;
    const token = this.#addon.watch(socket, () => this.#settle());
    if (typeof token === 'number') {
      this.#addon.closeDescriptor(socket);
      return false;
    }
    this.#socket = socket;
    this.#token = token;
    return true;
  }

  #hand(): void {
    while (this.#handed.length < maxInSocket) {
      const next = this.#waiting.shift();
      if (next === undefined) return;
      this.#handed.push(next);
      this.#addon.send(this.#socket, next.message.bytes, next.message.length);
    }
  }

  #settle(): void {
    while (this.#handed.length > 0) {
      const length = this.#addon.receive(this.#socket, this.#outcome);
      if (length === 4) this.#handed.shift()!.done(-this.#outcome.readInt32LE(0));
      else if (length !== -11 && length !== -4) return this.close();
      else if (length === -11) break;
    }
    this.#hand();
  }

  /** What waits counts as done: there is no kernel cache left to drop. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#token !== undefined) this.#addon.unwatch(this.#token);
    if (this.#socket >= 0) this.#addon.closeDescriptor(this.#socket);
    for (const queued of [...this.#handed.splice(0), ...this.#waiting.splice(0)]) queued.done(ENOTCONN);
  }
}

/**
 * Tells the kernel to drop what it cached. A notification may wait inside the kernel for a directory's lock or for dirty
 * pages to be written back, and so for our own answers: each is written by a thread of its own and never by the event loop.
 * Names and inodes have a lane each, because a name's wait (for a CREATE in its directory, which may itself wait for a
 * recalled file) must not hold up the files'.
 */
export class Notifier {
  readonly #inodes: Lane;
  readonly #entries: Lane;
  readonly #logger: Logger;
  #sent = 0;
  /** No more than requests may be under way. */
  readonly #questions = new Set<Question>();
  /** Inodes of which something is on its way to the kernel, and how much. */
  readonly #forgetting = new Map<number, number>();

  constructor(addon: Addon, device: number, logger: Logger) {
    this.#inodes = new Lane(addon, device);
    this.#entries = new Lane(addon, device);
    this.#logger = logger;
  }

  /** Notifications so far, and how many are under way. */
  get statistics(): { readonly sent: number; readonly queued: number } {
    return { sent: this.#sent, queued: this.#inodes.length + this.#entries.length };
  }

  /** Resolves when the kernel has dropped it, dirty pages written back. */
  async invalidateInode(inode: number, offset: number, length: number): Promise<void> {
    for (const question of this.#questions) if (question.inode === inode) question.forgotten = true;
    this.#forgetting.set(inode, (this.#forgetting.get(inode) ?? 0) + 1);
    await this.#send(this.#inodes, encodeInvalidateInode(inode, offset, length));
    const left = this.#forgetting.get(inode)! - 1;
    if (left > 0) this.#forgetting.set(inode, left);
    else this.#forgetting.delete(inode);
  }

  /** Resolves when the kernel has forgotten the attributes; pages stay. */
  invalidateAttributes(inode: number): Promise<void> {
    return this.invalidateInode(inode, -1, 0);
  }

  /** To be {@link answered}. */
  asked(inode: number): Question {
    const question = { inode, forgotten: this.#forgetting.has(inode) };
    this.#questions.add(question);
    return question;
  }

  answered(question: Question): void {
    this.#questions.delete(question);
  }

  invalidateEntry(parent: number, name: string): Promise<void> {
    return this.#send(this.#entries, encodeInvalidateEntry(parent, name));
  }

  /** The same for a file system that does not wait for it. */
  get kernelCache(): Pick<KernelCache, 'removed' | 'holds'> {
    return {
      // Names are right without it, since the kernel asks again: only its memory of them goes later.
      removed: (parent, name) => {
        if (this.#entries.length < maxQueued) void this.invalidateEntry(parent, name);
      },
      // Attributes alone: pages stay.
      holds: async (inode) => (await this.#outcome(this.#inodes, encodeInvalidateInode(inode, -1, 0))) !== ENOENT,
    };
  }

  /** Another host made the file longer; `lastByte` is what it ends with now. What the kernel cached before is to be invalidated apart. */
  grow(inode: number, size: number, lastByte: number): Promise<void> {
    return this.#send(this.#inodes, encodeGrow(inode, size, lastByte));
  }

  /**
   * The kernel learns that the file goes on to there, if it believed in an earlier end. The page with the last byte goes again: the kernel would read what lies behind it apart, and where it believed in a
   * later end take the beginning of that for the end. Of questions under way none is marked: where the end moved since, what moved it marked them.
   */
  async showEnd(inode: number, size: number, lastByte: number): Promise<void> {
    const stored = this.grow(inode, size, lastByte);
    await Promise.all([stored, this.#send(this.#inodes, encodeInvalidateInode(inode, size - 1, 1))]);
  }

  close(): void {
    this.#inodes.close();
    this.#entries.close();
  }

  async #send(lane: Lane, message: Message): Promise<void> {
    await this.#outcome(lane, message);
  }

  /** Resolves to the errno that the kernel answers with, 0: done. */
  #outcome(lane: Lane, message: Message): Promise<number> {
    this.#sent++;
    if (lane.length >= maxQueued) this.#logger.error('notification queue is over its bound', { queued: lane.length });
    return new Promise((resolve) => {
      lane.push({
        message,
        done: (errno) => {
          if (!ordinary.has(errno)) {
            this.#logger.warn('the kernel refused a notification', { errno, code: message.words[1] });
          }
          resolve(errno);
        },
      });
    });
  }
}
