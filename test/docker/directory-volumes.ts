import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';

import { parseVolumeOptions, typedOptions, type Volume, type VolumeService } from '../../src/api/index.ts';
import { InfinitError } from '../../src/base/index.ts';

const command = promisify(execFile);

/** A volume's record in the catalogue. */
interface Entry {
  readonly createdAt: string;
  readonly options: Readonly<Record<string, string>>;
}

/**
 * A {@link VolumeService} for tests: a volume is a plain directory, mounting binds it. Hosts that share `root` are its cluster, with a file
 * NAME/hosts/HOST for each host that has it mounted. It shows the plugin alone, without the file system beneath.
 */
export class DirectoryVolumes implements VolumeService {
  readonly #root: string;
  readonly #mountDir: string;
  readonly #host: string;
  readonly #holdersFile: string;
  readonly #holders: Map<string, Set<string>>;

  private constructor(root: string, mountDir: string, host: string) {
    this.#root = root;
    this.#mountDir = mountDir;
    this.#host = host;
    this.#holdersFile = path.join(root, `.holders-${host}.json`);
    const saved = existsSync(this.#holdersFile) ? (JSON.parse(readFileSync(this.#holdersFile, 'utf8')) as Record<string, string[]>) : {};
    this.#holders = new Map(Object.entries(saved).map(([name, holders]) => [name, new Set(holders)]));
  }

  /** @param mountDir this host's own. What was mounted before is mounted again. */
  static async open(root: string, mountDir: string, host: string): Promise<DirectoryVolumes> {
    mkdirSync(root, { recursive: true });
    mkdirSync(mountDir, { recursive: true });
    const volumes = new DirectoryVolumes(root, mountDir, host);
    for (const [name, holders] of volumes.#holders) if (holders.size > 0) await volumes.#bind(name);
    return volumes;
  }

  #path(name: string, ...more: string[]): string {
    return path.join(this.#root, name, ...more);
  }

  #entry(name: string): Entry | undefined {
    const file = this.#path(name, 'volume.json');
    return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Entry) : undefined;
  }

  async create(name: string, options: Readonly<Record<string, string>>): Promise<Volume> {
    const existing = this.#entry(name);
    if (existing !== undefined) {
      if (JSON.stringify(existing.options) !== JSON.stringify(options))
        throw new InfinitError('already-exists', `the volume "${name}" exists with other options`);
      return this.#describe(name, existing);
    }
    const typed = typedOptions(parseVolumeOptions(options));
    const data = this.#path(name, 'data');
    mkdirSync(data, { recursive: true });
    mkdirSync(this.#path(name, 'hosts'), { recursive: true });
    chownSync(data, typed.uid, typed.gid);
    chmodSync(data, typed.mode);
    const entry = { createdAt: new Date().toISOString(), options };
    const draft = this.#path(name, `.draft-${this.#host}`);
    writeFileSync(draft, JSON.stringify(entry));
    renameSync(draft, this.#path(name, 'volume.json'));
    return this.#describe(name, entry);
  }

  async inspect(name: string): Promise<Volume | undefined> {
    const entry = this.#entry(name);
    return entry === undefined ? undefined : this.#describe(name, entry);
  }

  async list(): Promise<readonly Volume[]> {
    return readdirSync(this.#root).flatMap((name) => {
      const entry = this.#entry(name);
      return entry === undefined ? [] : [this.#describe(name, entry)];
    });
  }

  #describe(name: string, entry: Entry): Volume {
    const mountpoint = this.mountpoint(name);
    return {
      name,
      id: createHash('md5').update(name).digest('hex'),
      createdAt: entry.createdAt,
      options: entry.options,
      ...(mountpoint === undefined ? {} : { mountpoint }),
      holders: [...(this.#holders.get(name) ?? [])],
      hosts: readdirSync(this.#path(name, 'hosts')),
      health: { state: 'HEALTHY', reasons: [] },
    };
  }

  async remove(name: string): Promise<void> {
    const volume = await this.inspect(name);
    if (volume === undefined) throw new InfinitError('not-found', `there is no volume "${name}"`);
    if (volume.holders.length > 0) throw new InfinitError('in-use', `the volume "${name}" is held by ${volume.holders.join(', ')}`);
    if (volume.hosts.length > 0) throw new InfinitError('in-use', `the volume "${name}" is mounted on ${volume.hosts.join(', ')}`);
    if (volume.options['sticky'] === 'true') throw new InfinitError('in-use', `the volume "${name}" is sticky`);
    rmSync(this.#path(name), { recursive: true });
  }

  async mount(name: string, holder: string, signal?: AbortSignal): Promise<string> {
    signal?.throwIfAborted();
    if (this.#entry(name) === undefined) throw new InfinitError('not-found', `there is no volume "${name}"`);
    const holders = this.#holders.get(name) ?? new Set();
    this.#holders.set(name, holders.add(holder));
    this.#saveHolders();
    return await this.#bind(name);
  }

  async #bind(name: string): Promise<string> {
    const target = path.join(this.#mountDir, name);
    mkdirSync(target, { recursive: true });
    if (!isMounted(target)) {
      if (this.#entry(name)!.options['readonly'] === 'true') await bindReadOnly(this.#path(name, 'data'), target);
      else await command('mount', ['--bind', this.#path(name, 'data'), target]);
    }
    writeFileSync(this.#path(name, 'hosts', this.#host), '');
    return target;
  }

  async unmount(name: string, holder: string): Promise<void> {
    const holders = this.#holders.get(name);
    if (holders === undefined) return;
    holders.delete(holder);
    this.#saveHolders();
    if (holders.size > 0) return;
    this.#holders.delete(name);
    const target = path.join(this.#mountDir, name);
    if (isMounted(target)) await command('umount', ['-l', target]);
    rmSync(this.#path(name, 'hosts', this.#host), { force: true });
  }

  mountpoint(name: string): string | undefined {
    const target = path.join(this.#mountDir, name);
    return (this.#holders.get(name)?.size ?? 0) > 0 && isMounted(target) ? target : undefined;
  }

  #saveHolders(): void {
    writeFileSync(`${this.#holdersFile}.new`, JSON.stringify(Object.fromEntries([...this.#holders].map(([name, holders]) => [name, [...holders]]))));
    renameSync(`${this.#holdersFile}.new`, this.#holdersFile);
  }
}

/** A remount reaches no other namespace, so make it read-only aside and bind that. */
async function bindReadOnly(source: string, target: string): Promise<void> {
  const aside = mkdtempSync('/run/read-only-');
  await command('mount', ['--bind', source, aside]);
  await command('mount', ['-o', 'remount,bind,ro', aside]);
  await command('mount', ['--bind', aside, target]);
  await command('umount', ['-l', aside]);
  rmdirSync(aside);
}

function isMounted(target: string): boolean {
  return readFileSync('/proc/self/mountinfo', 'utf8').includes(` ${target} `);
}
