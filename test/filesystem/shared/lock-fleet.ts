import { InfinitError } from '../../../src/base/index.ts';
import {
  CallServer,
  type FileLock,
  FileSystemError,
  type GrantKey,
  Grants,
  LockGrace,
  SharedFileSystem,
  SilentHosts,
  type Volume,
} from '../../../src/filesystem/index.ts';
import { decodeCall } from '../../../src/filesystem/shared/calls.ts';
import { MemoryBlockStore } from '../../suites/memory-block-store.ts';
import { MemoryRecords } from '../../suites/memory-records.ts';
import { open, put, root } from '../harness.ts';
import { seeded } from '../../suites/seeded.ts';
import type { LockMutant } from './lock-mutants.ts';
import { type Has, inTheWay, show } from './locked.ts';
import { assertAllRest } from './at-rest.ts';
import { OpenFiles } from './open-files.ts';
import { standIn } from './serving.ts';
import { VirtualTime } from './virtual-time.ts';
import { Ways } from './ways.ts';

const hosts = 3;
const programs = 2;
const steps = 60;
/** After it was cut off for so long a guest is given up, in ms. */
const dismissMs = 4000;
/** After so long it is not heard, in ms. */
const silentMs = 1250;
/** So long at the most what is written is on its way in a crowd, in ms. */
const crowdedMs = 3000;
/** For so long a host that opened the volume waits for those who have locks, in ms. */
const graceMs = 2500;

/**
 * A host that serves a volume and two guests, whose programs lock two files and look who has: messages take their time, recalls are lost, guests are cut off, and given up after a while, their daemons are killed,
 * the volume is opened anew. One seed makes one run.
 */
export class LockFleet {
  readonly #time = new VirtualTime();
  readonly #chance: () => number;
  readonly #mutant: LockMutant | undefined;
  readonly #crowded: boolean;
  readonly #store = new MemoryBlockStore();
  readonly #records = Array.from({ length: hosts }, () => new MemoryRecords());
  readonly #hosts: SharedFileSystem[] = [];
  readonly #openFiles: OpenFiles[] = [];
  #volume!: Volume;
  readonly #killed = Array.from({ length: hosts }, () => Promise.withResolvers<'killed'>());
  readonly #ways: Ways;
  /** Counts those that were lost. */
  readonly #connections = [0, 0, 0];
  readonly #has = new Set<Has>();
  readonly #inodes: number[] = [];
  readonly #relocked = new Set<number>();
  readonly #silent = new SilentHosts();
  /** Guests that were given up and have not said since which locks they have, as the record of the lease says to whoever opens the volume next. */
  readonly #givenUp = new Set<string>();
  #grants: Grants | undefined;
  #server!: CallServer;
  #welcome!: (peer: number) => void;
  #opening = 0;
  #running = 0;
  /** Locks that were granted by guests. */
  granted = 0;
  /** What guests asked for, and when: the same in all runs of a seed. */
  readonly asked: string[] = [];

  /** @param crowded what is written takes long to come to the host that serves the volume, and all else does not. */
  constructor(seed: number, mutant?: LockMutant, crowded = false) {
    this.#crowded = crowded;
    this.#chance = seeded(seed);
    this.#ways = new Ways(this.#time, this.#chance);
    this.#mutant = mutant;
    for (let index = 0; index < hosts; index++) this.#hosts.push(this.#daemon(index));
  }

  #daemon(index: number): SharedFileSystem {
    const still = { monotonicMs: () => 0, wallMs: () => 0 };
    const clock = this.#mutant === 'timeless' ? still : this.#time.clock;
    const records = this.#records[index];
    const daemon = new SharedFileSystem(`${index}`, () => index === 0, { records, mount: `mount ${index}`, clock });
    this.#openFiles[index] = new OpenFiles(daemon);
    return daemon;
  }

  /** All do as chance has it. Returns what went wrong; undefined: nothing. */
  run(): Promise<string | undefined> {
    return this.#play(async () => {
      const all = Array.from({ length: hosts * programs }, (_, index) => this.#program(index % hosts, `${index}`));
      this.#running = all.length;
      await Promise.all([...all, this.#fate()]);
    });
  }

  /** A guest that grants a file's locks is cut off and given up, and its programs and others go on to take them. */
  givenUp(): Promise<string | undefined> {
    return this.#play(async () => {
      const [inode] = this.#inodes as [number];
      await this.#time.sleep(100);
      await this.#asked(1, async (fileSystem) => fileSystem.getattr(inode));
      await this.#time.sleep(100);
      for (let time = 0; time < 20; time++) await this.#hold(1, inode, '1', false);
      const cut = this.#cutOff(1, dismissMs + 1500);
      const hold = async (host: number): Promise<void> => {
        while (this.#ways.leftOfCut(1) > 100) {
          await this.#hold(host, inode, `${host}`, false);
          await this.#time.sleep(1);
        }
      };
      await Promise.all([cut, hold(0), hold(1)]);
    });
  }

  async #play(scenes: () => Promise<void>): Promise<string | undefined> {
    this.#time.rule();
    let wrong: string | undefined;
    let over = false;
    const pass = async (): Promise<void> => {
      while (!over) {
        await new Promise((resolve) => setImmediate(resolve));
        this.#time.tick();
      }
    };
    const passing = pass();
    try {
      await this.#open();
      await scenes();
      await this.#free();
      await this.#rest();
    } catch (error) {
      if (!(error instanceof Wrong)) throw error;
      wrong = error.message;
    } finally {
      over = true;
      await passing;
      this.#time.end();
    }
    return wrong;
  }

  /** Programs end, and nothing more is asked for. */
  async #rest(): Promise<void> {
    // What a mutant leaves behind tells nothing.
    if (this.#mutant !== undefined) return;
    await assertAllRest({ time: this.#time, hosts: this.#hosts, openFiles: this.#openFiles, volume: this.#volume, grants: this.#grants! });
  }

  /** The volume is opened on this host, anew where it was. */
  async #open(): Promise<void> {
    const opening = ++this.#opening;
    const [own, ...guests] = this.#hosts as [SharedFileSystem, ...SharedFileSystem[]];
    const earlierUntilMs = this.#grants?.untilMs ?? 0;
    this.#grants?.lentLocks.close();
    own.setBacking(undefined);
    const volume = (this.#volume = await open(this.#store, {}, { session: opening }));
    if (this.#inodes.length === 0) for (const name of ['f', 'g']) this.#inodes.push(await put(volume, root, name, 'x', true));
    this.#relocked.clear();
    const grants = (this.#grants = new Grants({
      now: () => this.#time.clock.monotonicMs(),
      sleep: (ms) => this.#time.sleep(ms),
      leaseMs: () => Infinity,
      recall: (peer, keys) => this.#recall(Number(peer), keys),
      onGivenUp: () => {},
      earlierUntilMs,
      silent: this.#silent,
    }));
    volume.guard(this.#mutant === 'hasty' ? standIn<Grants>(grants, { locks: () => undefined }) : grants);
    const { locks } = volume;
    const wrong = { hoarding: { replace: () => {} }, forgiving: { shareWith: () => {} } }[this.#mutant as string];
    const served = wrong === undefined ? volume : standIn(volume, { locks: standIn(locks, wrong) });
    const awaited = guests.map((_, index) => ({ peer: String(index + 1), ms: graceMs }));
    const grace = new LockGrace(awaited, undefined, async (peer) => {
      // The record is written.
      await this.#time.sleep(Math.floor(this.#chance() * 20));
      if (opening === this.#opening && !this.#relocked.has(Number(peer))) this.#givenUp.add(peer);
    });
    void grace.over.then(() => {
      if (opening === this.#opening) for (let peer = 1; peer < hosts; peer++) if (!this.#relocked.has(peer)) this.#lose(peer);
    });
    const server = new CallServer(
      served,
      (shown) => volume.keep(shown),
      grace,
      () => {},
      grants,
    );
    this.#server = server;
    if (this.#mutant !== 'ignorant') server.knowLost([...this.#givenUp], (peer) => this.#givenUp.delete(peer));
    own.setBacking({ kind: 'local', volume, grace: grace.over, lending: volume.lending });
    this.#welcome = (peer) => {
      const guest = this.#hosts[peer]!;
      const ask = async (call: Uint8Array): Promise<Uint8Array> => {
        const { method, args } = decodeCall(call);
        const connection = this.#connections[peer];
        await this.#ways.pass(peer);
        if (this.#crowded && method === 'write') await this.#time.sleep(Math.floor(this.#chance() * crowdedMs));
        if (connection !== this.#connections[peer]) throw new InfinitError('unavailable', 'cut off');
        if (this.#mutant === 'termless' && method === 'rejoin' && args.length > 0) throw new InfinitError('bad-argument', 'too many arguments');
        // It may have been opened anew since the guest last heard who serves it.
        const [server, reached] = [this.#server, this.#opening];
        this.asked.push(`${this.#time.clock.monotonicMs()} ${peer} ${method}`);
        const answer = await server.serve(String(peer), call);
        if (reached !== this.#opening) throw new InfinitError('unknown-outcome', 'the lease of the volume ended meanwhile');
        if (method === 'relocked') this.#relocked.add(peer);
        await this.#ways.pass(peer);
        if (this.#chance() < 0.05 || connection !== this.#connections[peer]) throw new InfinitError('unavailable', 'lost');
        return answer;
      };
      guest.setBacking({ kind: 'remote', ask });
    };
    // They hear of it later.
    for (const peer of guests.keys()) void this.#ways.pass(peer + 1).then(() => opening === this.#opening && this.#welcome(peer + 1));
  }

  async #recall(peer: number, keys: readonly GrantKey[]): Promise<void> {
    if (this.#chance() < 0.2) throw new InfinitError('unavailable', 'lost');
    await this.#ways.roundTrip(peer, async () => this.#mutant !== 'forgetful' && this.#hosts[peer]!.recall(keys));
  }

  /** Nobody knows any more what the host's programs have locked. */
  #lose(host: number): void {
    for (const each of this.#has) if (each.host === host) each.lost = true;
  }

  /** What happens to the hosts while programs run. */
  async #fate(): Promise<void> {
    while (this.#running > 0) {
      await this.#time.sleep(Math.floor(this.#chance() * 1500));
      const peer = 1 + Math.floor(this.#chance() * (hosts - 1));
      const what = this.#chance();
      if (what < 0.15) await this.#open();
      else if (what < 0.4) await this.#kill(peer);
      else if (what < 0.6) await this.#cutOff(peer, Math.floor(this.#chance() * (dismissMs - 500)));
      else if (what < 0.8) await this.#cutOff(peer, dismissMs + 1500);
      else await Promise.all([this.#cutOff(peer, dismissMs + 1500), this.#openAt(Math.floor(this.#chance() * (dismissMs + 1500)))]);
    }
  }

  async #openAt(ms: number): Promise<void> {
    await this.#time.sleep(ms);
    await this.#open();
  }

  async #cutOff(peer: number, ms: number): Promise<void> {
    const server = this.#server;
    this.#ways.cut(peer, ms);
    await this.#time.sleep(Math.min(ms, silentMs));
    if (ms > silentMs) this.#silent.fell(String(peer));
    await this.#time.sleep(Math.min(ms, dismissMs) - Math.min(ms, silentMs));
    if (ms < dismissMs || server !== this.#server) return this.#silent.judged(String(peer));
    this.#lose(peer);
    this.#connections[peer]!++;
    this.#givenUp.add(String(peer));
    await server.dismiss(String(peer));
    await this.#time.sleep(ms - dismissMs);
  }

  /** Its daemon is killed, and another one serves its mount. */
  async #kill(peer: number): Promise<void> {
    const old = this.#hosts[peer]!;
    const killed = this.#killed[peer]!;
    this.#killed[peer] = Promise.withResolvers();
    this.#hosts[peer] = this.#daemon(peer);
    old.setBacking(undefined);
    killed.resolve('killed');
    await this.#time.sleep(Math.floor(this.#chance() * 800));
    this.#welcome(peer);
  }

  async #program(host: number, owner: string): Promise<void> {
    let inode = 0;
    for (let step = 0; step < steps; step++) {
      // Now and then all is quiet, so that one host alone is at work.
      if (step === 0 || this.#chance() < 0.15) {
        inode = this.#inodes[Math.floor(this.#chance() * 2)]!;
        if (this.#chance() < 0.7) await this.#time.sleep(Math.floor(this.#chance() * 3000));
        // A guest that has nothing in memory has no locks either.
        await this.#asked(host, async (fileSystem) => fileSystem.getattr(inode));
      }
      if (this.#chance() < 0.15) await this.#look(host, inode, owner);
      else await this.#hold(host, inode, owner);
      await this.#time.sleep(1);
    }
    this.#running--;
  }

  #lockOf(owner: string): FileLock {
    const kind = this.#chance() < 0.3 ? 'flock' : 'posix';
    const start = kind === 'flock' ? 0 : Math.floor(this.#chance() * 3);
    const end = kind === 'flock' ? Infinity : start + Math.floor(this.#chance() * 3);
    return { kind, type: this.#chance() < 0.5 ? 'write' : 'read', owner, pid: 1, start, end };
  }

  async #hold(host: number, inode: number, owner: string, closes?: boolean): Promise<void> {
    const lock = this.#lockOf(owner);
    const all: FileLock = { ...lock, type: 'unlock', start: 0, end: Infinity };
    const waits = this.#chance() < 0.2;
    const opened = (closes ?? this.#chance() < 0.5) ? await this.#asked(host, (fileSystem) => this.#opened(fileSystem, inode)) : undefined;
    const before = this.asked.length;
    const taken = await this.#asked(host, (fileSystem) => fileSystem.setlk(inode, lock, waits));
    if (taken !== undefined) {
      if (host > 0 && this.asked.length === before) this.granted++;
      const has: Has = { inode, lock, host, lost: false, overtaken: false };
      for (const other of this.#has) {
        if (!inTheWay(other, has)) continue;
        if (!other.lost) throw new Wrong(`${host} was given ${show(has)} though ${other.host} has ${show(other)}`);
        other.overtaken = true;
      }
      this.#has.add(has);
      if (this.#chance() < 0.7)
        await this.#time.sleep(Math.floor(this.#chance() * (this.#chance() < (this.#crowded ? 0.5 : 0.1) ? 2 * dismissMs : 150)));
      if (opened !== undefined) await this.#write(has, opened.answer);
      this.#has.delete(has);
    }
    if (opened === undefined) await this.#asked(host, (fileSystem) => fileSystem.setlk(inode, all, false));
    else await this.#close(host, inode, lock, opened.answer);
  }

  /** What a program writes that has lost its lock counts for nothing. */
  async #write(has: Has, { fileSystem, handle }: Opened): Promise<void> {
    const { host, inode, overtaken } = has;
    const isAlone = (): boolean => ![...this.#has].some((other) => other !== has && other.inode === inode && other.host === host);
    const wasAlone = isAlone();
    // Through the next daemon as well: its file is open there anew.
    const written = await this.#asked(host, async (now) =>
      now.write(inode, now === fileSystem ? handle : await now.open(inode, 2), 0, Buffer.from('x'), false),
    );
    if (written !== undefined && overtaken && wasAlone && isAlone()) throw new Wrong(`${host} wrote under ${show(has)}, which others had since`);
  }

  async #opened(fileSystem: SharedFileSystem, inode: number): Promise<Opened> {
    return { fileSystem, handle: await fileSystem.open(inode, 2) };
  }

  /** What the owner has locked goes with its file, and nothing else says so. The next daemon knows nothing of what was open, and is told what was locked; as a kernel does, and src/fuse. */
  async #close(host: number, inode: number, { kind, owner }: FileLock, { fileSystem, handle }: Opened): Promise<void> {
    const unlock: FileLock = { kind, type: 'unlock', owner, pid: 1, start: 0, end: Infinity };
    await this.#asked(host, async (now) => {
      if (now !== fileSystem) return now.setlk(inode, unlock, false);
      if (kind === 'flock') return now.release(inode, handle, owner);
      // The kernel asks for both, one behind the other, however the first ends.
      await Promise.allSettled([(async () => now.flush(inode, handle, owner))()]);
      await now.release(inode, handle);
    });
  }

  async #look(host: number, inode: number, owner: string): Promise<void> {
    const lock = this.#lockOf(owner);
    const inWay = [...this.#has].filter((other) => inTheWay(other, { inode, lock, host, lost: false, overtaken: false }));
    const found = await this.#asked(host, async (fileSystem) => fileSystem.getlk(inode, lock));
    const [still] = inWay.filter((each) => this.#has.has(each) && !each.lost);
    if (found !== undefined && found.answer === undefined && still !== undefined)
      throw new Wrong(`${host} was told that nobody has ${show({ inode, lock })} though ${still.host} has ${show(still)}`);
  }

  /** As a kernel does: what a killed daemon did not answer is asked of the next one. undefined: an error. */
  async #asked<T>(host: number, ask: (fileSystem: SharedFileSystem) => T | Promise<T>): Promise<{ readonly answer: T } | undefined> {
    for (;;) {
      const { promise } = this.#killed[host]!;
      try {
        const answer = await Promise.race([Promise.resolve(ask(this.#hosts[host]!)), promise]);
        if (answer !== 'killed') return { answer: answer as T };
      } catch (error) {
        if (!(error instanceof FileSystemError) && !(error instanceof InfinitError)) throw error;
        return undefined;
      }
    }
  }

  /** Nobody has anything any more. */
  async #free(): Promise<void> {
    for (let peer = 1; peer < hosts; peer++) while (this.#ways.leftOfCut(peer) > 0) await this.#time.sleep(this.#ways.leftOfCut(peer));
    // What was not heard is said again.
    await this.#time.sleep(3000);
    for (let host = 0; host < hosts; host++) {
      for (const inode of this.#inodes) {
        const lock: FileLock = { kind: 'posix', type: 'write', owner: 'last', pid: 1, start: 0, end: Infinity };
        for (const each of [lock, { ...lock, kind: 'flock' as const }]) {
          const taken = await this.#asked(host, (fileSystem) => fileSystem.setlk(inode, each, false));
          if (taken === undefined) throw new Wrong(`${host} is refused ${show({ inode, lock: each })} though nobody has any`);
          await this.#asked(host, (fileSystem) => fileSystem.setlk(inode, { ...each, type: 'unlock' }, false));
        }
      }
    }
  }
}

interface Opened {
  readonly fileSystem: SharedFileSystem;
  readonly handle: number;
}

class Wrong extends Error {}
