import { mock } from 'node:test';

import { InfinitError, silentLogger } from '../../../src/base/index.ts';
import { Sealer } from '../../../src/block/index.ts';
import { BlockReader, CallServer, type GrantKey, Grants, LockGrace, type Volume } from '../../../src/filesystem/index.ts';
import { decodeCall } from '../../../src/filesystem/shared/calls.ts';
import { ContentStory } from '../../integration/durability/content-story.ts';
import { MemoryBlockStore } from '../../suites/memory-block-store.ts';
import { open, root, user, volumeId } from '../harness.ts';
import { generator } from '../random-run.ts';
import { ClosingWay } from './closing-way.ts';
import { LogProgram } from './log-program.ts';
import { MakingProgram } from './making-program.ts';
import { NameProgram } from './name-program.ts';
import { Host, maxBytes, type Mutant, Program } from './program.ts';
import { SwapProgram } from './swap-program.ts';
import { VirtualTime } from './virtual-time.ts';

const hosts = 3;
/** What each program does, and how often something becomes of hosts meanwhile. */
const [steps, moves] = [25, 5];
/** No grant, and no lease, is longer. */
const leaseMs = 1000;
/** Files without a name stay for so long where the volume comes to. */
const othersOpenMs = 60_000;
const [punchHole, zeroRange] = [3, 17];

/** What is open on the host that serves the volume. */
interface Opening {
  readonly number: number;
  readonly host: Host;
  readonly volume: Volume;
  readonly way: ClosingWay;
  readonly server: CallServer;
}

/**
 * Three hosts with a volume, of which now one and now another serves it, since it is killed or loses its lease in the middle of anything. On each a program changes a file of its own in small ways, most at its beginning, syncs some of that
 * and looks at each thing that it did, another makes, moves and removes names, a third makes files and writes them, a fourth appends to a log of all of them, and a fifth exchanges two names; where its host is killed another begins with what is there. Answers are lost as well. One seed makes one run.
 */
export class Moves {
  readonly #time = new VirtualTime();
  readonly #chance: () => number;
  readonly #mutant: Mutant | undefined;
  readonly #store = new MemoryBlockStore({ across: true });
  readonly #hosts: Host[] = [];
  readonly #stories = Array.from({ length: hosts }, () => new ContentStory(maxBytes));
  readonly #inodes: number[] = [];
  /** Programs that know what names there are. */
  readonly #named: { readonly index: number; readonly program: NameProgram }[] = [];
  #namesBegun = 0;
  readonly #makers: { readonly index: number; readonly program: MakingProgram }[] = [];
  readonly #loggers: LogProgram[] = [];
  readonly #swappers: { readonly host: Host; readonly program: SwapProgram }[] = [];
  #log = 0;
  #opening: Opening | undefined;
  #openings = 0;
  #grants: Grants | undefined;
  #lives = 0;
  #fills = 0;
  #over = false;
  /** What was done on each host, for whoever looks at what went wrong. */
  readonly deeds: string[] = [];
  /** How often another host came to serve the volume. */
  moves = 0;
  /** How often a guest's daemon alone was killed. */
  daemons = 0;
  /** How often a guest's next daemon was asked for an exchange again. */
  swaps = 0;
  /** How often a guest said what it had written in its own memory. */
  puts = 0;

  constructor(seed: number, mutant?: Mutant) {
    this.#chance = generator(seed);
    this.#mutant = mutant;
  }

  /** @returns what went wrong. */
  async run(): Promise<string | undefined> {
    mock.timers.enable({ apis: ['setTimeout'] });
    let passing: Promise<void> | undefined;
    try {
      for (let index = 0; index < hosts; index++) this.#hosts.push(this.#start(index));
      passing = this.#passTime();
      await this.#serve(this.#hosts[0]!);
      for (let index = 0; index < hosts; index++) this.#inodes.push(await this.#make(`f${index}`));
      this.#log = await this.#make('log');
      const indexes = this.#hosts.map(({ index }) => index);
      await Promise.all([
        ...indexes.map((index) => this.#programs(index)),
        ...indexes.map((index) => this.#namers(index)),
        ...indexes.map((index) => this.#making(index)),
        ...indexes.map((index) => this.#logging(index)),
        ...indexes.map((index) => this.#swapping(index)),
        this.#moveAbout(),
      ]);
      await this.#judgeAll();
      return undefined;
    } catch (error) {
      return error instanceof Error ? (error.stack ?? error.message) : String(error);
    } finally {
      this.#opening?.way.cut();
      // What is on its way to the store takes time.
      await this.#opening?.volume.abandon();
      this.#over = true;
      await passing;
      this.#time.end();
      mock.timers.reset();
    }
  }

  #start(index: number): Host {
    return new Host(index, ++this.#lives, (host) => !host.isDead && this.#opening?.host === host, this.#time);
  }

  async #passTime(): Promise<void> {
    while (!this.#over) {
      await new Promise((resolve) => setImmediate(resolve));
      this.#time.jump(1);
      mock.timers.tick(1);
    }
  }

  #below(limit: number): number {
    return Math.floor(this.#chance() * limit);
  }

  #pause(most: number): Promise<void> {
    return this.#time.sleep(this.#below(most));
  }

  async #make(name: string): Promise<number> {
    const { fileSystem } = this.#hosts[0]!;
    const { attributes, handle } = await fileSystem.create(root, name, 0o644, 0, 2, user);
    await fileSystem.fsync(attributes.inode, handle, false);
    await fileSystem.release(attributes.inode, handle);
    return attributes.inode;
  }

  async #moveAbout(): Promise<void> {
    for (let move = 0; move < moves; move++) {
      await this.#pause(600);
      const serving = this.#opening!.host;
      const what = this.#chance();
      const next = this.#hosts[this.#below(hosts)]!;
      if (what < 0.5) {
        this.#kill(serving);
        await this.#time.sleep(leaseMs);
        this.#restart(serving);
        await this.#serve(this.#hosts[next.index]!);
      } else if (what < 0.7) {
        await this.#loseLease();
        await this.#time.sleep(this.#below(2) * leaseMs);
        await this.#serve(next);
      } else if (what < 0.9) {
        const other = this.#hosts[(serving.index + 1) % hosts]!;
        // What was done while the volume was open here another daemon does not have.
        if (other.exposed || other.lost) continue;
        this.daemons++;
        this.deeds.push(`the daemon of host ${other.index} is killed`);
        other.way?.cut();
        other.killDaemon(this.#mutant === 'forgetful');
        await this.#pause(300);
        this.#welcome(other);
      } else {
        const other = this.#hosts[(serving.index + 1) % hosts]!;
        this.#kill(other);
        void this.#opening!.server.dismiss(String(other.index)).then((letGo) => letGo());
        // What it had asked for waits no longer for what other hosts have in memory.
        await this.#time.sleep(leaseMs + this.#below(300));
        this.#restart(other);
        this.#welcome(this.#hosts[other.index]!);
      }
    }
  }

  #kill(host: Host): void {
    this.deeds.push(`host ${host.index} is killed`);
    host.isDead = true;
    host.way?.cut();
    if (this.#opening?.host === host) void this.#close().volume.abandon();
    host.died.resolve('died');
  }

  #restart(host: Host): void {
    this.#hosts[host.index] = this.#start(host.index);
  }

  #close(): Opening {
    const opening = this.#opening!;
    this.#opening = undefined;
    opening.way.cut();
    return opening;
  }

  /** As SharedRole does it. */
  async #loseLease(): Promise<void> {
    const { host, volume } = this.#close();
    this.deeds.push(`host ${host.index} loses its lease`);
    const lost = [...volume.unsynced()];
    host.lost ||= host.exposed || host.busy;
    host.fileSystem.markLost(lost);
    host.fileSystem.setBacking(undefined);
    await volume.abandon();
  }

  async #serve(host: Host): Promise<void> {
    const number = ++this.#openings;
    this.moves++;
    this.deeds.push(`host ${host.index} serves`);
    const way = this.#wayToStore();
    host.fileSystem.setBacking(undefined);
    const volume = await open(way, { flushDelayMs: 100 }, { othersOpened: this.#time.sleep(othersOpenMs) });
    const grants = new Grants({
      now: () => this.#time.clock.monotonicMs(),
      sleep: (ms) => this.#time.sleep(ms),
      leaseMs: () => (this.#opening?.number === number ? leaseMs : 0),
      recall: (peer, keys) => this.#recall(Number(peer), keys),
      onGivenUp: (peer, inode, lapsed) => server.givenUp(peer, inode, lapsed),
      earlierUntilMs: this.#grants?.untilMs ?? 0,
    });
    this.#grants = grants;
    volume.guard(grants);
    await host.fileSystem.takeLeft({
      attributes: async (inode) => volume.getattr(inode),
      put: async (inode, _loan, written) => volume.lending.apply(inode, written),
    });
    const grace = new LockGrace([]);
    const keep: ConstructorParameters<typeof CallServer>[1] = (shown) => (this.#mutant === 'hasty' ? undefined : volume.keep(shown));
    const server = new CallServer(this.#mutant === 'hasty' ? unsynced(volume) : volume, keep, grace, () => {}, grants);
    this.#opening = { number, host, volume, way, server };
    if (this.#mutant === 'unaware') Object.assign(volume, { callOutcome: () => 'not done' });
    host.served++;
    host.fileSystem.setBacking({ kind: 'local', volume, grace: grace.over, lending: volume.lending });
    for (const other of this.#hosts) if (other !== host) this.#welcome(other);
  }

  #wayToStore(): ClosingWay {
    return new ClosingWay(
      this.#store,
      () => this.#pause(this.#chance() < 0.1 ? 40 : 3),
      () => this.#chance(),
    );
  }

  /** A guest hears a little later who serves the volume. */
  #welcome(guest: Host): void {
    const opening = this.#opening;
    if (opening === undefined) return;
    const { fileSystem } = guest;
    const isThere = (): boolean => this.#opening === opening && !guest.isDead && guest.fileSystem === fileSystem;
    const ask = async (call: Uint8Array): Promise<Uint8Array> => {
      const asked = Uint8Array.from(call);
      const { method } = decodeCall(asked);
      if (method === 'put') this.puts++;
      if (method === 'made' && this.#mutant === 'forgetful') throw new InfinitError('bad-argument', 'no such method');
      await this.#pause(10);
      if (!isThere()) throw new InfinitError('unavailable', 'the host does not answer');
      const answer = await opening.server.serve(String(guest.index), asked);
      await this.#pause(10);
      if (!isThere() || this.#chance() < 0.03) throw new InfinitError('unknown-outcome', 'the answer was lost');
      return answer;
    };
    const store = (guest.way = this.#wayToStore());
    const blocks = new BlockReader(this.#store, new Sealer());
    const writes = { store, sealer: new Sealer(), volumeId, logger: silentLogger };
    void this.#pause(30).then(() => isThere() && fileSystem.setBacking({ kind: 'remote', ask, blocks, writes }));
  }

  async #recall(peer: number, keys: readonly GrantKey[]): Promise<void> {
    await this.#pause(10);
    const host = this.#hosts[peer]!;
    if (host.isDead || this.#chance() < 0.1) throw new InfinitError('unavailable', 'lost');
    await host.fileSystem.recall(keys);
  }

  /** One program after another: each ends with its host. */
  async #programs(index: number): Promise<void> {
    for (let left = steps; left > 0;) {
      const host = this.#hosts[index]!;
      if (host.isDead) {
        await this.#time.sleep(20);
        continue;
      }
      const program = new Program(host, this.#inodes[index]!, this.#stories[index]!, this.#mutant);
      const one = async (): Promise<'went on'> => {
        if (!program.begun) await program.begin();
        else await this.#step(program);
        return 'went on';
      };
      while (left > 0) {
        left--;
        const came = await Promise.race([one(), host.died.promise]);
        if (came === 'died') break;
        await this.#pause(30);
      }
    }
  }

  /** As {@link #programs}; those that no host's death ended are judged. */
  async #namers(index: number): Promise<void> {
    for (let left = 2 * steps; left > 0;) {
      const host = this.#hosts[index]!;
      if (host.isDead) {
        await this.#time.sleep(20);
        continue;
      }
      const program = new NameProgram(host, ++this.#namesBegun);
      let came: string | undefined;
      while (left > 0 && came !== 'died') {
        left--;
        // It dies with the daemon as well.
        came = await Promise.race([program.step(this.#chance), host.died.promise, host.next.promise]);
        this.deeds.push(`host ${index}: ${came}`);
        if (came === 'next') break;
        await this.#pause(30);
      }
      if (came !== 'died' && came !== 'next') this.#named.push({ index, program });
    }
  }

  /** As {@link #programs}; all are judged. */
  async #making(index: number): Promise<void> {
    for (let left = 2 * steps; left > 0;) {
      const host = this.#hosts[index]!;
      if (host.isDead) {
        await this.#time.sleep(20);
        continue;
      }
      const program = new MakingProgram(host, this.#makers.length + 1);
      this.#makers.push({ index, program });
      let came: string | undefined;
      for (const { fileSystem } = host; left > 0 && came !== 'died' && host.fileSystem === fileSystem;) {
        left--;
        came = await Promise.race([program.step(this.#chance), host.died.promise, host.next.promise]);
        this.deeds.push(`host ${index}: ${came}`);
        if (came === 'next') break;
        await this.#pause(30);
      }
    }
  }

  /** All are judged. */
  #logging(index: number): Promise<void> {
    return this.#oneAfterAnother(index, (host) => {
      const program = new LogProgram(host, this.#log, this.#loggers.length + 1);
      this.#loggers.push(program);
      return program;
    });
  }

  /** Those that no host's death ended are judged. */
  #swapping(index: number): Promise<void> {
    return this.#oneAfterAnother(index, (host) => {
      const program = new SwapProgram(host, this.#swappers.length + 1);
      this.#swappers.push({ host, program });
      return program;
    });
  }

  /** As {@link #programs}. */
  async #oneAfterAnother(index: number, begin: (host: Host) => LogProgram | SwapProgram): Promise<void> {
    for (let left = 2 * steps; left > 0;) {
      const host = this.#hosts[index]!;
      if (host.isDead) {
        await this.#time.sleep(20);
        continue;
      }
      const program = begin(host);
      let came: string | undefined;
      while (left > 0 && came !== 'died') {
        left--;
        came = await Promise.race([program.step(), host.died.promise]);
        this.deeds.push(`host ${index}: ${came}`);
        await this.#pause(30);
      }
    }
  }

  async #step(program: Program): Promise<void> {
    const { story, host } = program;
    const dice = this.#chance();
    const front = this.#chance() < 0.6 ? this.#below(9) : this.#below(12_000);
    const length = 1 + this.#below(this.#chance() < 0.5 ? 9 : this.#chance() < 0.9 ? 9000 : 60_000);
    const note = (what: string): void => void this.deeds.push(`host ${host.index}: ${what}`);
    if (dice < 0.3) {
      note(`write ${front} ${length}`);
      await program.write(front, this.#bytes(length));
    } else if (dice < 0.4) {
      note(`mapped ${front} ${length}`);
      await program.mapped(front, this.#bytes(length), () => this.#pause(this.#chance() < 0.3 ? 1500 : 5));
    } else if (dice < 0.5) {
      const size = this.#chance() < 0.5 ? front : Math.min(maxBytes, story.size + length);
      note(`truncate ${size}`);
      await program.truncate(size);
    } else if (dice < 0.62) {
      note(`zero ${front} ${length}`);
      await program.zero(this.#chance() < 0.5 ? punchHole : zeroRange, front, length);
    } else if (dice < 0.68) {
      note(`append ${length}`);
      await program.append(this.#bytes(length));
    } else if (dice < 0.78) {
      note('fsync');
      await program.sync();
    } else await program.look();
  }

  #bytes(length: number): Uint8Array {
    const fill = ++this.#fills;
    return Uint8Array.from({ length }, (_, at) => 1 + ((fill * 31 + at * 7) % 255));
  }

  /** At the end each host sees the same of each file, which is what was done to it. */
  async #judgeAll(): Promise<void> {
    for (const { index, program } of [...this.#named, ...this.#makers]) await program.judge(this.#hosts[index]!);
    for (const { host, program } of this.#swappers) {
      this.swaps += program.again;
      if (!host.isDead) await program.judge();
    }
    const { fileSystem } = this.#hosts[0]!;
    const log = await fileSystem.read(this.#log, await fileSystem.open(this.#log, 0), 0, maxBytes);
    const text = Buffer.concat(log).toString();
    for (const logger of this.#loggers) logger.judge(text);
    for (const [index, inode] of this.#inodes.entries()) {
      const own = new Program(this.#hosts[index]!, inode, this.#stories[index]!, this.#mutant);
      await own.begin();
      for (const host of this.#hosts) {
        const other = new Program(host, inode, own.story, this.#mutant);
        await other.begin(true);
      }
    }
  }
}

/** A volume that says that things are durable and does not see to it. */
function unsynced(volume: Volume): Volume {
  return new Proxy(volume, {
    get(target, name) {
      if (name === 'fsync') return () => Promise.resolve();
      const member: unknown = Reflect.get(target, name, target);
      return typeof member === 'function' ? (member as () => unknown).bind(target) : member;
    },
  });
}
