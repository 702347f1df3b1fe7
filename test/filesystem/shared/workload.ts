import { ContentStory } from '../../integration/durability/content-story.ts';
import { root, user } from '../harness.ts';
import { LogProgram } from './log-program.ts';
import { MakingProgram } from './making-program.ts';
import { NameProgram } from './name-program.ts';
import { type Host, maxBytes, type Mutant, Program } from './program.ts';
import { SwapProgram } from './swap-program.ts';
import type { VirtualTime } from './virtual-time.ts';

/** What the programs of each kind do on a host. */
const contentSteps = 25;
const otherSteps = 50;
const [punchHole, zeroRange] = [3, 17];

/** A program that runs. */
interface Running {
  /** One operation; may say which. */
  readonly step: () => Promise<string | undefined>;
  /** It takes no other daemon's answers: where its host's is killed, it ends as well. */
  readonly endsWithDaemon?: boolean;
  /** Nothing ended it in the middle of a step. */
  readonly whole?: () => void;
}

/**
 * What programs do on each of some hosts. One changes a file of its own in small ways, most at its beginning, syncs some of that and looks at each thing that it did; another makes, moves and removes names, a third makes files and
 * writes them, a fourth appends to a log of all of them, and a fifth exchanges two names. Where their host is killed others begin with what is there.
 */
export class Workload {
  /** Those that are there now; whoever kills them puts others in their places. */
  readonly #hosts: readonly Host[];
  readonly #time: VirtualTime;
  readonly #chance: () => number;
  readonly #note: (deed: string) => void;
  readonly #mutant: Mutant | undefined;
  readonly #stories: ContentStory[] = [];
  readonly #inodes: number[] = [];
  #log = 0;
  /** Programs that know what names there are. */
  readonly #namers: { readonly index: number; readonly program: NameProgram }[] = [];
  #namesBegun = 0;
  readonly #makers: { readonly index: number; readonly program: MakingProgram }[] = [];
  readonly #loggers: LogProgram[] = [];
  readonly #swappers: { readonly host: Host; readonly program: SwapProgram }[] = [];
  #fills = 0;

  constructor(hosts: readonly Host[], time: VirtualTime, chance: () => number, note: (deed: string) => void, mutant: Mutant | undefined) {
    this.#hosts = hosts;
    this.#time = time;
    this.#chance = chance;
    this.#note = note;
    this.#mutant = mutant;
  }

  /** How often a guest's next daemon was asked for an exchange again. */
  get swaps(): number {
    return this.#swappers.reduce((sum, { program }) => sum + program.again, 0);
  }

  /** Makes the files that all programs share or begin with. */
  async begin(): Promise<void> {
    for (const { index } of this.#hosts) {
      this.#stories.push(new ContentStory(maxBytes));
      this.#inodes.push(await this.#make(`f${index}`));
    }
    this.#log = await this.#make('log');
  }

  async run(): Promise<void> {
    const onEach = (steps: number, begin: (host: Host) => Running): Promise<void>[] =>
      this.#hosts.map(({ index }) => this.#oneAfterAnother(index, steps, begin));
    await Promise.all([
      ...onEach(contentSteps, (host) => this.#content(host)),
      ...onEach(otherSteps, (host) => this.#names(host)),
      ...onEach(otherSteps, (host) => this.#making(host)),
      ...onEach(otherSteps, (host) => this.#logging(host)),
      ...onEach(otherSteps, (host) => this.#swapping(host)),
    ]);
  }

  /** Programs of one kind on one host: where one ends with its host, or with the host's daemon, another begins. */
  async #oneAfterAnother(index: number, steps: number, begin: (host: Host) => Running): Promise<void> {
    for (let left = steps; left > 0;) {
      const host = this.#hosts[index]!;
      if (host.isDead) {
        await this.#time.sleep(20);
        continue;
      }
      const { step, endsWithDaemon, whole } = begin(host);
      const { fileSystem } = host;
      let came: string | undefined;
      while (left > 0 && !(endsWithDaemon === true && host.fileSystem !== fileSystem)) {
        left--;
        came = await Promise.race([step(), host.died.promise, ...(endsWithDaemon === true ? [host.next.promise] : [])]);
        if (came === 'died' || came === 'next') break;
        if (came !== undefined) this.#note(`host ${index}: ${came}`);
        await this.#pause(30);
      }
      if (came !== 'died' && came !== 'next') whole?.();
    }
  }

  #content(host: Host): Running {
    const program = new Program(host, this.#inodes[host.index]!, this.#stories[host.index]!, this.#mutant);
    return {
      step: async () => {
        await (program.begun ? this.#change(program) : program.begin());
        return undefined;
      },
    };
  }

  /** Those that nothing ended in the middle of a step are judged. */
  #names(host: Host): Running {
    const program = new NameProgram(host, ++this.#namesBegun);
    return {
      step: () => program.step(this.#chance),
      endsWithDaemon: true,
      whole: () => this.#namers.push({ index: host.index, program }),
    };
  }

  /** All are judged, as are those of the next kinds. */
  #making(host: Host): Running {
    const program = new MakingProgram(host, this.#makers.length + 1);
    this.#makers.push({ index: host.index, program });
    return { step: () => program.step(this.#chance), endsWithDaemon: true };
  }

  #logging(host: Host): Running {
    const program = new LogProgram(host, this.#log, this.#loggers.length + 1);
    this.#loggers.push(program);
    return { step: () => program.step() };
  }

  #swapping(host: Host): Running {
    const program = new SwapProgram(host, this.#swappers.length + 1);
    this.#swappers.push({ host, program });
    return { step: () => program.step() };
  }

  /** Says what it does before, so that what a host's death interrupts can be read. */
  async #change(program: Program): Promise<void> {
    const { story, host } = program;
    const dice = this.#chance();
    const front = this.#chance() < 0.6 ? this.#below(9) : this.#below(12_000);
    const length = 1 + this.#below(this.#chance() < 0.5 ? 9 : this.#chance() < 0.9 ? 9000 : 60_000);
    const note = (what: string): void => this.#note(`host ${host.index}: ${what}`);
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

  /** At the end each host sees the same of each file, which is what was done to it. */
  async judge(): Promise<void> {
    for (const { index, program } of [...this.#namers, ...this.#makers]) await program.judge(this.#hosts[index]!);
    for (const { host, program } of this.#swappers) if (!host.isDead) await program.judge();
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

  async #make(name: string): Promise<number> {
    const { fileSystem } = this.#hosts[0]!;
    const { attributes, handle } = await fileSystem.create(root, name, 0o644, 0, 2, user);
    await fileSystem.fsync(attributes.inode, handle, false);
    await fileSystem.release(attributes.inode, handle);
    return attributes.inode;
  }

  #bytes(length: number): Uint8Array {
    const fill = ++this.#fills;
    return Uint8Array.from({ length }, (_, at) => 1 + ((fill * 31 + at * 7) % 255));
  }

  #below(limit: number): number {
    return Math.floor(this.#chance() * limit);
  }

  #pause(most: number): Promise<void> {
    return this.#time.sleep(this.#below(most));
  }
}
