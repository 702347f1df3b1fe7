import { InfinitError, silentLogger } from '../../../src/base/index.ts';
import { Sealer } from '../../../src/block/index.ts';
import {
  CallServer,
  FileSystemError,
  type GrantKey,
  Grants,
  type KernelCache,
  LockGrace,
  ownKernel,
  SharedFileSystem,
  type Volume,
} from '../../../src/filesystem/index.ts';
import { MemoryBlockStore } from '../../suites/memory-block-store.ts';
import { seeded } from '../../suites/seeded.ts';
import { decodeCall } from '../../../src/filesystem/shared/calls.ts';
import { open, root, user, volumeId } from '../harness.ts';
import { assertAllRest } from './at-rest.ts';
import { OpenFiles } from './open-files.ts';
import { standIn } from './serving.ts';
import type { Event } from './stale.ts';
import { VirtualTime } from './virtual-time.ts';
import { Ways } from './ways.ts';

/** What the code under test does wrong: each must be found out. */
export type Mutant =
  /** A change does not wait until what guests have in memory is forgotten. */
  | 'hasty'
  /** A guest says that it has forgotten, and goes on as before. */
  | 'forgetful'
  /** A guest's clock stands still: nothing that it has in memory ever runs out. */
  | 'timeless'
  /** A host that begins to serve the volume does not wait for what the one before granted. */
  | 'heedless'
  /** What a guest says late that it wrote is taken, whoever has written since. */
  | 'undoing'
  /** A close is answered before the host that serves the volume knows what was written. */
  | 'unflushed'
  /** The kernel of the host that serves the volume believes what it was told for its time, whatever is asked back. */
  | 'trusting';

const clients = 3;
/** More than is allowed would make no difference to whoever asks it back. */
const believedMs = 200;
const steps = 60;

/**
 * A host that serves a volume and two guests, of which each changes and looks at the same two files in the same directory, of which one comes and goes: calls, answers and recalls take their time, recalls are lost, guests stand still, the
 * volume is opened anew. One seed makes one run.
 */
export class Fleet {
  readonly events: Event[] = [];
  readonly #time = new VirtualTime();
  readonly #chance: () => number;
  readonly #mutant: Mutant | undefined;
  readonly #store = new MemoryBlockStore();
  readonly #hosts: SharedFileSystem[];
  readonly #openFiles: readonly OpenFiles[];
  /** Sizes that the kernel of the host that serves the volume believes for a while. */
  readonly #believed = new Map<number, { readonly size: number; readonly untilMs: number }>();
  readonly #ways: Ways;
  #server!: CallServer;
  #grants: Grants | undefined;
  #volume!: Volume;
  #tick = 0;
  #next = 1;
  #opening = 0;
  #over = false;

  constructor(seed: number, mutant?: Mutant) {
    this.#chance = seeded(seed);
    this.#ways = new Ways(this.#time, this.#chance);
    this.#mutant = mutant;
    const still = { monotonicMs: () => 0, wallMs: () => 0 };
    this.#hosts = Array.from(
      { length: clients },
      (_, index) => new SharedFileSystem(`host ${index}`, () => index === 0, { clock: mutant === 'timeless' ? still : this.#time.clock }),
    );
    this.#openFiles = this.#hosts.map((host) => new OpenFiles(host));
    const kernel: Partial<KernelCache> = { drop: () => undefined, distrust: (inode) => this.#distrust(inode) };
    this.#hosts[0]!.attach(kernel as KernelCache);
  }

  async #distrust(inode: number): Promise<void> {
    await this.#time.sleep(Math.floor(this.#chance() * 5));
    if (this.#mutant !== 'trusting') this.#believed.delete(inode);
  }

  /** As the kernel of the host that serves the volume tells a program. */
  async #sizeAtServing(inode: number): Promise<number> {
    const host = this.#hosts[0]!;
    const now = this.#time.clock.monotonicMs();
    const believed = this.#believed.get(inode);
    if (believed !== undefined && believed.untilMs > now) return believed.size;
    const attributes = await host.getattr(inode);
    const goodMs = Math.min(believedMs, host.guardedMs(attributes));
    if (goodMs > 0) this.#believed.set(inode, { size: attributes.size, untilMs: this.#time.clock.monotonicMs() + goodMs });
    return attributes.size;
  }

  /** All do as chance has it. */
  run(): Promise<readonly Event[]> {
    return this.#play(() => Promise.all(this.#hosts.map((_, index) => this.#client(index))));
  }

  /** A guest that has something in memory does not hear that the volume was opened anew, and that the file was written there. */
  takeOver(): Promise<readonly Event[]> {
    const cutOff = async (): Promise<void> => {
      for (let look = 0; look < 10; look++) await this.#see(1, 'f');
      this.#ways.cut(1, 3000);
      for (let look = 0; look < 30; look++) {
        await this.#see(1, 'f');
        await this.#time.sleep(50);
      }
    };
    const serve = async (): Promise<void> => {
      while (!this.#ways.someIsCut) await this.#time.sleep(1);
      await this.#open();
      await this.#write(0, 'f');
    };
    return this.#play(() => Promise.all([cutOff(), serve()]));
  }

  async #play(scenes: () => Promise<unknown>): Promise<readonly Event[]> {
    this.#time.rule();
    let passing: Promise<void> | undefined;
    try {
      await this.#open();
      await this.#write(0, 'f');
      await this.#begin();
      passing = this.#passTime();
      await scenes();
      await this.#rest();
      return this.events;
    } finally {
      this.#over = true;
      await passing;
      this.#time.end();
    }
  }

  /** All are in reach again, and programs end. */
  async #rest(): Promise<void> {
    // What a mutant leaves behind tells nothing.
    if (this.#mutant !== undefined) return;
    for (let peer = 0; peer < clients; peer++) while (this.#ways.leftOfCut(peer) > 0) await this.#time.sleep(this.#ways.leftOfCut(peer));
    await assertAllRest({ time: this.#time, hosts: this.#hosts, openFiles: this.#openFiles, volume: this.#volume, grants: this.#grants! });
  }

  async #passTime(): Promise<void> {
    while (!this.#over) {
      await new Promise((resolve) => setImmediate(resolve));
      this.#time.tick();
    }
  }

  /** The volume is opened on this host, anew where it was. */
  async #open(): Promise<void> {
    const opening = ++this.#opening;
    const earlierUntilMs = this.#mutant === 'heedless' ? 0 : (this.#grants?.untilMs ?? 0);
    const [own, ...guests] = this.#hosts as [SharedFileSystem, ...SharedFileSystem[]];
    own.setBacking(undefined);
    await this.#volume?.syncfs();
    await this.#volume?.abandon();
    const volume = (this.#volume = await open(this.#store, {}, { session: opening }));
    const grants = new Grants({
      now: () => this.#time.clock.monotonicMs(),
      sleep: (ms) => this.#time.sleep(ms),
      leaseMs: () => Infinity,
      recall: (peer, keys) => (peer === ownKernel ? own.distrust(keys) : this.#recall(Number(peer), keys)),
      onGivenUp: (peer, inode, lapsed) => this.#server.givenUp(peer, inode, lapsed),
      earlierUntilMs,
    });
    this.#grants = grants;
    const claim = (wait: Promise<void> | undefined): Promise<void> | undefined => (this.#mutant === 'hasty' ? undefined : wait);
    volume.guard({
      inode: (inode, owner) => claim(grants.inode(inode, owner)),
      names: (inode, asker) => claim(grants.names(inode, asker)),
      shown: (inode) => grants.shown(inode),
      isLent: (inode) => grants.isLent(inode),
      locks: (inode, waits) => grants.locks(inode, waits),
    });
    const grace = new LockGrace([]);
    const { lending } = volume;
    const taking = standIn(volume, {
      lending: standIn(lending, { apply: (inode, written, _isLent, owner) => lending.apply(inode, written, () => true, owner) }),
    });
    const server = (this.#server = new CallServer(
      this.#mutant === 'undoing' ? taking : volume,
      (shown) => volume.keep(shown),
      grace,
      () => {},
      grants,
    ));
    own.setBacking({ kind: 'local', volume, grace: grace.over, lending, grants });
    for (const [index, guest] of guests.entries()) {
      const peer = index + 1;
      const ask = async (call: Uint8Array): Promise<Uint8Array> => {
        const answer = await this.#ways.roundTrip(peer, async () => {
          if (opening !== this.#opening) throw new InfinitError('unavailable', 'the volume was opened anew');
          return server.serve(String(peer), call);
        });
        if (decodeCall(call).method === 'put' && this.#chance() < 0.1) throw new InfinitError('unknown-outcome', 'lost');
        return answer;
      };
      const writes = { store: this.#store, sealer: new Sealer(), volumeId, logger: silentLogger };
      // It hears of it later.
      void this.#ways.pass(peer).then(() => opening === this.#opening && guest.setBacking({ kind: 'remote', ask, writes }));
    }
  }

  async #recall(peer: number, keys: readonly GrantKey[]): Promise<void> {
    if (this.#chance() < 0.2) throw new InfinitError('unavailable', 'lost');
    await this.#ways.roundTrip(peer, async () => this.#mutant !== 'forgetful' && this.#hosts[peer]!.recall(keys));
  }

  async #client(index: number): Promise<void> {
    for (let step = 0; step < steps; step++) {
      const what = this.#chance();
      if (what < 0.04 && index > 0) {
        const ms = 300 + Math.floor(this.#chance() * 2500);
        this.#ways.cut(index, ms);
        // It stands still itself, or is only cut off.
        if (this.#chance() < 0.4) await this.#time.sleep(ms);
      } else if (index === 0 && what < (this.#ways.someIsCut ? 0.15 : 0.02)) await this.#open();
      else if (index > 0 && this.#ways.leftOfCut(index) > 0) await this.#see(index);
      else if (what < 0.3) await this.#write(index, 'f');
      else if (what < 0.35) await this.#write(index, 'g');
      else if (what < 0.4) await this.#remove(index, 'g');
      else if (what < 0.6) await this.#overwrite(index);
      else await this.#see(index);
      // For the host that serves the volume nothing takes any time.
      if (index === 0 || this.#chance() < 0.3) await this.#time.sleep(Math.floor(this.#chance() * 60));
    }
  }

  /** The size is what is written: it changes attributes and content. Or another file takes the name. */
  async #write(index: number, name: string): Promise<void> {
    const host = this.#hosts[index]!;
    const value = this.#next++;
    const began = this.#tick++;
    const replaces = this.#chance() < 0.4;
    try {
      const temporary = `${name} ${value}`;
      const found = replaces ? undefined : await host.lookup(root, name);
      if (found !== undefined) {
        await host.setattr(found.inode, { size: value });
      } else {
        const { attributes, handle } = await host.create(root, temporary, 0o644, 0, 1, user);
        await host.write(attributes.inode, handle, 0, Buffer.alloc(value, 1), false);
        await host.release(attributes.inode, handle);
        await host.rename(root, temporary, root, name, 0);
      }
    } catch (error) {
      // Somebody else took its name; or what came of it is not known: it may be seen at any time.
      if (!(error instanceof FileSystemError) && !(error instanceof InfinitError)) throw error;
      return void this.events.push({ what: 'write', name, value, began, ended: Infinity, client: index });
    }
    this.events.push({ what: 'write', name, value, began, ended: this.#tick++, client: index });
  }

  async #remove(index: number, name: string): Promise<void> {
    const began = this.#tick++;
    let ended = Infinity;
    try {
      await this.#hosts[index]!.unlink(root, name);
      ended = this.#tick++;
    } catch (error) {
      if (error instanceof FileSystemError && error.errno === 'ENOENT') return;
      if (!(error instanceof FileSystemError) && !(error instanceof InfinitError)) throw error;
    }
    this.events.push({ what: 'write', name, value: 0, began, ended, client: index });
  }

  /** The file that is written in place. */
  async #begin(): Promise<void> {
    const [host] = this.#hosts as [SharedFileSystem];
    const { attributes, handle } = await host.create(root, 'h', 0o644, 0, 1, user);
    await host.write(attributes.inode, handle, 0, numberOf(this.#next), false);
    await host.release(attributes.inode, handle);
    this.events.push({ what: 'write', name: 'h', value: this.#next++, began: this.#tick++, ended: this.#tick++, client: 0 });
  }

  /** As programs do: what is written counts once the file is closed. */
  async #overwrite(index: number): Promise<void> {
    const host = this.#hosts[index]!;
    const written: { readonly value: number; readonly began: number; answered: number }[] = [];
    let ended = Infinity;
    try {
      const { inode } = (await host.lookup(root, 'h'))!;
      const handle = await host.open(inode, 1);
      for (let time = 0; time < 2; time++) {
        const value = this.#next++;
        const event = { value, began: this.#tick++, answered: Infinity };
        written.push(event);
        await host.write(inode, handle, 0, numberOf(value), false);
        event.answered = this.#tick++;
        if (index > 0 && this.#chance() < 0.15) this.#ways.cut(index, 300 + Math.floor(this.#chance() * 2500));
        if (this.#chance() < 0.7) await this.#time.sleep(Math.floor(this.#chance() * 400));
      }
      if (this.#mutant === 'unflushed') void Promise.resolve(host.flush(inode, handle, '1')).catch(() => {});
      else await host.flush(inode, handle, '1');
      ended = this.#tick++;
      await host.release(inode, handle);
    } catch (error) {
      if (!(error instanceof FileSystemError) && !(error instanceof InfinitError)) throw error;
    }
    for (const [at, event] of written.entries())
      this.events.push({ what: 'write', name: 'h', ...event, ended: at + 1 < written.length ? Infinity : ended, client: index });
  }

  async #seeContent(index: number): Promise<void> {
    const host = this.#hosts[index]!;
    try {
      const { inode } = (await host.lookup(root, 'h'))!;
      const handle = await host.open(inode, 0);
      const began = this.#tick++;
      const bytes = Buffer.concat(await host.read(inode, handle, 0, 8));
      this.events.push({ what: 'see', name: 'h', value: bytes.readUInt32LE(0), began, ended: this.#tick++, client: index });
      await host.release(inode, handle);
    } catch (error) {
      if (!(error instanceof FileSystemError) && !(error instanceof InfinitError)) throw error;
    }
  }

  async #see(index: number, name = this.#chance() < 0.6 ? 'f' : 'g'): Promise<void> {
    if (this.#chance() < 0.3) return this.#seeContent(index);
    const host = this.#hosts[index]!;
    const began = this.#tick++;
    const how = this.#chance();
    try {
      const found = await host.lookup(root, name);
      let value = found?.size ?? 0;
      if (found !== undefined && how < 0.4) value = index === 0 ? await this.#sizeAtServing(found.inode) : (await host.getattr(found.inode)).size;
      else if (found !== undefined && how < 0.7) {
        const handle = await host.open(found.inode, 0);
        value = (await host.read(found.inode, handle, 0, 65_536)).reduce((sum, { length }) => sum + length, 0);
        await host.release(found.inode, handle);
      }
      this.events.push({ what: 'see', name, value, began, ended: this.#tick++, client: index });
    } catch (error) {
      // It may be gone between two of these.
      if (!(error instanceof FileSystemError) && !(error instanceof InfinitError)) throw error;
    }
  }
}

function numberOf(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt32LE(value);
  return bytes;
}
