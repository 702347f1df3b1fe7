import { InfinitError, silentLogger } from '../../../src/base/index.ts';
import { Sealer } from '../../../src/block/index.ts';
import { BlockReader, CallServer, type GrantKey, Grants, LockGrace, type Volume } from '../../../src/filesystem/index.ts';
import { decodeCall } from '../../../src/filesystem/shared/calls.ts';
import { MemoryBlockStore } from '../../suites/memory-block-store.ts';
import { seeded } from '../../suites/seeded.ts';
import { open, volumeId } from '../harness.ts';
import { assertAllRest } from './at-rest.ts';
import { ClosingWay } from './closing-way.ts';
import { Host, type Mutant } from './program.ts';
import { VirtualTime } from './virtual-time.ts';
import { Workload } from './workload.ts';

const hosts = 3;
/** How often something becomes of hosts. */
const moves = 5;
/** No grant, and no lease, is longer. */
const leaseMs = 1000;
/** Files without a name stay for so long where the volume comes to. */
const othersOpenMs = 60_000;

/** What is open on the host that serves the volume. */
interface Opening {
  readonly number: number;
  readonly host: Host;
  readonly volume: Volume;
  readonly way: ClosingWay;
  readonly server: CallServer;
}

/**
 * Three hosts with a volume, of which now one and now another serves it, since it is killed or loses its lease in the middle of anything, under a {@link Workload}. Answers are lost as well. One seed makes one run.
 */
export class Moves {
  readonly #time = new VirtualTime();
  readonly #chance: () => number;
  readonly #mutant: Mutant | undefined;
  readonly #store = new MemoryBlockStore({ across: true });
  readonly #hosts: Host[] = [];
  #opening: Opening | undefined;
  #openings = 0;
  #grants: Grants | undefined;
  #lives = 0;
  readonly #workload: Workload;
  #over = false;
  /** What was done on each host, for whoever looks at what went wrong. */
  readonly deeds: string[] = [];
  /** How often another host came to serve the volume. */
  moves = 0;
  /** How often a guest's daemon alone was killed. */
  daemons = 0;
  /** How often a guest said what it had written in its own memory. */
  puts = 0;

  constructor(seed: number, mutant?: Mutant) {
    this.#chance = seeded(seed);
    this.#mutant = mutant;
    this.#workload = new Workload(this.#hosts, this.#time, this.#chance, (deed) => void this.deeds.push(deed), mutant);
  }

  /** How often a guest's next daemon was asked for an exchange again. */
  get swaps(): number {
    return this.#workload.swaps;
  }

  /** @returns what went wrong. */
  async run(): Promise<string | undefined> {
    this.#time.rule();
    let passing: Promise<void> | undefined;
    try {
      for (let index = 0; index < hosts; index++) this.#hosts.push(this.#start(index));
      passing = this.#passTime();
      await this.#serve(this.#hosts[0]!);
      await this.#workload.begin();
      await Promise.all([this.#workload.run(), this.#moveAbout()]);
      await this.#workload.judge();
      await this.#rest();
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
    }
  }

  /** Programs end, and nothing more is asked for. */
  async #rest(): Promise<void> {
    // What a mutant leaves behind tells nothing.
    if (this.#mutant !== undefined) return;
    const [hosts, openFiles] = [this.#hosts.map(({ fileSystem }) => fileSystem), this.#hosts.map(({ open }) => open)];
    await assertAllRest({ time: this.#time, hosts, openFiles, volume: this.#opening!.volume, grants: this.#grants! });
  }

  #start(index: number): Host {
    return new Host(index, ++this.#lives, (host) => !host.isDead && this.#opening?.host === host, this.#time);
  }

  async #passTime(): Promise<void> {
    while (!this.#over) {
      await new Promise((resolve) => setImmediate(resolve));
      this.#time.tick();
    }
  }

  #below(limit: number): number {
    return Math.floor(this.#chance() * limit);
  }

  #pause(most: number): Promise<void> {
    return this.#time.sleep(this.#below(most));
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
