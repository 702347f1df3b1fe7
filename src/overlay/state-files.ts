import { mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';

import { InfinitError, insistOnFile, KeyedQueue, type Logger, openDraft, plainly, type Random } from '../base/index.ts';
import { keyBytes, KeyPair, tokenPrefix } from './identity/index.ts';

/** The overlay's files in the state directory, all for the daemon's user alone. Keys are 64 hex digits. */
export type StateFile = 'host.key' | 'cluster.key' | 'passport' | 'incarnation' | 'members.json' | 'tokens.json' | 'tokens-tried.json' | 'left';

const secretMode = 0o600;
/** The list of members is the longest: this is room for some hundred thousand. */
const maxBytes = 256 * 1024 * 1024;
/** Of a token file. */
const maxTokenBytes = 64 * 1024;

/** What the overlay keeps between runs: keys, the passport, the members it knows. Every write is atomic and durable; those of one file follow each other. */
export class StateFiles {
  readonly #directory: string;
  readonly #turns = new KeyedQueue();

  private constructor(directory: string) {
    this.#directory = directory;
  }

  /** @throws InfinitError `disk-failed` for a directory that cannot be made, `bad-argument` for something else in its place. */
  static async open(stateDirectory: string): Promise<StateFiles> {
    try {
      await mkdir(stateDirectory, { recursive: true, mode: 0o700 });
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === 'EEXIST')
        throw new InfinitError('bad-argument', `${stateDirectory} has to be a directory`, { cause });
      throw new InfinitError('disk-failed', `cannot use ${stateDirectory}: ${plainly(cause)}`, { cause });
    }
    return new StateFiles(stateDirectory);
  }

  /** @throws InfinitError `damaged` for what is no file, `disk-failed`. */
  async read(file: StateFile): Promise<string | undefined> {
    const place = path.join(this.#directory, file);
    await insistOnFile(place, { code: 'damaged', maxBytes });
    try {
      return await readFile(place, 'utf8');
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw new InfinitError('disk-failed', `cannot read ${place}: ${plainly(cause)}`, { cause });
    }
  }

  write(file: StateFile, text: string): Promise<void> {
    return this.#turns.run(file, () => this.#write(file, text));
  }

  remove(file: StateFile): Promise<void> {
    return this.#turns.run(file, () => this.#remove(file));
  }

  async #write(file: StateFile, text: string): Promise<void> {
    const target = path.join(this.#directory, file);
    const fresh = `${target}.new`;
    try {
      const handle = await openDraft(fresh, secretMode);
      try {
        await handle.chmod(secretMode);
        await handle.writeFile(text);
        await handle.sync();
      } finally {
        await handle.close();
      }
      await rename(fresh, target);
      await this.#syncDirectory();
    } catch (cause) {
      throw new InfinitError('disk-failed', `cannot write ${target}: ${plainly(cause)}`, { cause });
    }
  }

  async #remove(file: StateFile): Promise<void> {
    const target = path.join(this.#directory, file);
    try {
      await rm(target, { force: true });
      await this.#syncDirectory();
    } catch (cause) {
      throw new InfinitError('disk-failed', `cannot remove ${target}: ${plainly(cause)}`, { cause });
    }
  }

  async #syncDirectory(): Promise<void> {
    const handle = await open(this.#directory, 'r');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  }

  /** The key in a file; undefined where there is none. @throws InfinitError `damaged`. */
  async readKey(file: 'host.key' | 'cluster.key'): Promise<KeyPair | undefined> {
    const text = await this.read(file);
    if (text === undefined) return undefined;
    const seed = Buffer.from(text.trim(), 'hex');
    if (seed.length !== keyBytes) throw new InfinitError('damaged', `${path.join(this.#directory, file)} holds no key: restore it from a backup`);
    return new KeyPair(seed);
  }

  async writeKey(file: 'host.key' | 'cluster.key', key: KeyPair): Promise<void> {
    await this.write(file, `${Buffer.from(key.seed).toString('hex')}\n`);
  }

  /** This host's key, made at its first start. @throws InfinitError `damaged`, also where there were starts and the key is gone: with another one it would be another host. */
  async hostKey(random: Random): Promise<KeyPair> {
    const known = await this.readKey('host.key');
    if (known !== undefined) return known;
    if ((await this.read('incarnation')) !== undefined || (await this.read('passport')) !== undefined)
      throw new InfinitError('damaged', `${path.join(this.#directory, 'host.key')}, the key of this host, is gone: restore it from a backup`);
    const key = new KeyPair(random.bytes(keyBytes));
    await this.writeKey('host.key', key);
    return key;
  }

  /**
   * Counts this start; durable before anybody hears of it. Of a member no start is the first, and a number that was used before would take back what the host has promised.
   * @throws InfinitError `damaged`.
   */
  async nextIncarnation(): Promise<number> {
    const text = await this.read('incarnation');
    const isFirst = text === undefined && (await this.read('passport')) === undefined;
    const last = isFirst ? 0 : startsIn(text);
    if (last === undefined)
      throw new InfinitError(
        'damaged',
        `${path.join(this.#directory, 'incarnation')}, the number of starts of this host, ${text === undefined ? 'is gone' : 'holds no number'}: write one into it that is larger than it can have been, as \`echo 1000000 >FILE\` does`,
      );
    await this.write('incarnation', `${last + 1}\n`);
    return last + 1;
  }
}

/** Far more than there are seconds in ten years; that many lives' leases still have numbers. */
const maxStarts = 2 ** 28;

function startsIn(text: string | undefined): number | undefined {
  const starts = /^\d{1,9}$/.test(text?.trim() ?? '') ? Number(text) : undefined;
  return starts === undefined || starts > maxStarts ? undefined : starts;
}

/** Whether the host whose overlay keeps its files there has belonged to a cluster. */
export async function hasPassport(stateDirectory: string): Promise<boolean> {
  return (await (await StateFiles.open(stateDirectory)).read('passport')) !== undefined;
}

/** The text of a token file; undefined where there is none and it is optional. @throws InfinitError `bad-argument`. */
export async function readTokenFile(file: string, logger: Logger, { optional = false } = {}): Promise<string | undefined> {
  // Not repeated: what is said here is logged, and the environment is shown by `docker inspect`.
  if (file.includes(tokenPrefix))
    throw new InfinitError('bad-argument', 'the token itself was given in place of a file: write it to a file of mode 0600, and make a new one');
  await insistOnFile(file, { code: 'bad-argument', maxBytes: maxTokenBytes });
  try {
    const { mode } = await stat(file);
    if ((mode & 0o077) !== 0) logger.warn('others may read the token file: chmod 600 it', { file });
    return await readFile(file, 'utf8');
  } catch (cause) {
    const missing = (cause as NodeJS.ErrnoException).code === 'ENOENT';
    if (missing && optional) return undefined;
    const advice = missing ? 'there is none: make one on a member (`infinit cluster token create FILE`) and copy it here' : plainly(cause);
    throw new InfinitError('bad-argument', `cannot read the token file ${file}: ${advice}`, { cause });
  }
}
