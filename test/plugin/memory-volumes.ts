import { InfinitError } from '../../src/base/index.ts';
import type { Volume, VolumeService } from '../../src/api/index.ts';

/** A {@link VolumeService} without storage: what the driver asked of it can be read, what it answers can be changed. */
export class MemoryVolumes implements VolumeService {
  readonly volumes = new Map<string, { options: Readonly<Record<string, string>>; holders: Set<string> }>();
  readonly calls: string[] = [];
  /** Thrown by inspect and list while it is set. */
  trouble: Error | undefined;
  /** Awaited by every mount. */
  mountDelay: (signal: AbortSignal | undefined) => Promise<void> = async () => {};
  createdAt = '2026-01-02T03:04:05Z';

  async create(name: string, options: Readonly<Record<string, string>>): Promise<Volume> {
    this.calls.push(`create ${name}`);
    const existing = this.volumes.get(name);
    if (existing !== undefined && JSON.stringify(existing.options) !== JSON.stringify(options)) {
      throw new InfinitError('already-exists', `the volume "${name}" exists with other options`);
    }
    if (existing === undefined) this.volumes.set(name, { options, holders: new Set() });
    return this.#describe(name)!;
  }

  async inspect(name: string): Promise<Volume | undefined> {
    if (this.trouble !== undefined) throw this.trouble;
    return this.#describe(name);
  }

  async list(): Promise<readonly Volume[]> {
    if (this.trouble !== undefined) throw this.trouble;
    return [...this.volumes.keys()].map((name) => this.#describe(name)!);
  }

  async remove(name: string): Promise<void> {
    this.calls.push(`remove ${name}`);
    const volume = this.#known(name);
    if (volume.holders.size > 0) throw new InfinitError('in-use', `the volume "${name}" is held by ${[...volume.holders].join(', ')}`);
    this.volumes.delete(name);
  }

  async mount(name: string, holder: string, signal?: AbortSignal): Promise<string> {
    this.calls.push(`mount ${name} ${holder}`);
    this.#known(name).holders.add(holder);
    await this.mountDelay(signal);
    return `/mounts/${name}`;
  }

  async unmount(name: string, holder: string): Promise<void> {
    this.calls.push(`unmount ${name} ${holder}`);
    this.volumes.get(name)?.holders.delete(holder);
  }

  mountpoint(name: string): string | undefined {
    return (this.volumes.get(name)?.holders.size ?? 0) > 0 ? `/mounts/${name}` : undefined;
  }

  #known(name: string): { options: Readonly<Record<string, string>>; holders: Set<string> } {
    const volume = this.volumes.get(name);
    if (volume === undefined) throw new InfinitError('not-found', `there is no volume "${name}"`);
    return volume;
  }

  #describe(name: string): Volume | undefined {
    const volume = this.volumes.get(name);
    if (volume === undefined) return undefined;
    const mountpoint = this.mountpoint(name);
    return {
      name,
      id: '0'.repeat(32),
      createdAt: this.createdAt,
      options: volume.options,
      ...(mountpoint === undefined ? {} : { mountpoint }),
      holders: [...volume.holders],
      hosts: [],
      health: { state: 'HEALTHY', reasons: [] },
    };
  }
}
