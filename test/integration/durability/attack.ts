import assert from 'node:assert/strict';
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';

import { messageOf } from '../../../src/base/index.ts';
import { type Loss, Story } from './story.ts';

/** What is wrong is looked at once more so much later. */
const laterMs = 3000;
const program = path.join(import.meta.dirname, 'attacker.ts');

type Program = ChildProcessByStdio<Writable, Readable, null>;

/** What is in a directory: inodes and contents by name. */
type Seen = ReadonlyMap<string, { readonly inode: number; readonly content: Buffer }>;

/** One program that attacks a volume from a directory of its own. */
export class Attack {
  readonly name: string;
  readonly seed: number;
  readonly #log: string;
  readonly #child: Program;
  readonly #ended: Promise<unknown>;

  private constructor(name: string, seed: number, log: string, child: Program) {
    this.name = name;
    this.seed = seed;
    this.#log = log;
    this.#child = child;
    this.#ended = once(child, 'exit');
  }

  /** @param place where the volume is mounted. @param logs a directory elsewhere. */
  static async begin(place: string, seed: number, logs: string): Promise<Attack> {
    const name = `attack-${seed}`;
    const directory = path.join(place, name);
    mkdirSync(directory);
    const log = path.join(logs, `${name}.log`);
    const child = spawn(process.execPath, [program, directory, String(seed), log], { stdio: ['pipe', 'pipe', 'inherit'] });
    child.stdin.on('error', () => {});
    const attack = new Attack(name, seed, log, child);
    await Promise.race([once(child.stdout, 'data'), attack.#ended]);
    return attack;
  }

  /** Ends it when what it does is done. `settled`: after everything is synced. */
  async end(settled = false): Promise<Story> {
    this.#child.stdin.end(settled ? 'settle' : undefined);
    return this.over();
  }

  /** Its end has come, or is about to. */
  async over(): Promise<Story> {
    await this.#ended;
    return Story.read(this.seed, this.#log);
  }
}

export function see(directory: string): Seen {
  const names = readdirSync(directory).map((name) => path.join(directory, name));
  return new Map(names.map((file) => [path.basename(file), { inode: statSync(file).ino, content: readFileSync(file) }]));
}

/** Holds what is in an attack's directory against what may be there. Returns what is. */
export function judge(story: Story, name: string, place: string, loss: Loss): Seen {
  const seen = see(path.join(place, name));
  const inodes = new Map([...seen].map(([file, { inode }]) => [file, inode]));
  const problem = story.problem(inodes, (file) => seen.get(file)!.content, loss);
  assert.equal(problem, undefined, `${name} after ${story.steps} steps with ${story.syncs} syncs: ${problem}`);
  return seen;
}

/** Holds the first place against what may be there. What is wrong is looked at once more everywhere, to tell what is lost from what was shown as it had been. */
export async function judgeTwice(story: Story, name: string, places: readonly string[], loss: Loss): Promise<Seen> {
  try {
    return judge(story, name, places[0]!, loss);
  } catch (error) {
    await sleep(laterMs);
    const again = places.map((place) => {
      try {
        judge(story, name, place, loss);
        return `${place}: right`;
      } catch (now) {
        return `${place}: ${messageOf(now)}`;
      }
    });
    throw new Error(`${messageOf(error)}\n${laterMs} ms later:\n${again.join('\n')}`, { cause: error });
  }
}
