import { existsSync, mkdirSync, rmdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';

/** Short beside the times that hosts wait for each other: one that has used its share stands still until the next period. */
const periodUs = 10_000;
const v1 = '/sys/fs/cgroup/cpu';
const v2 = '/sys/fs/cgroup';

/** A control group that gives its processes a fixed share of one processor. Needs root. */
export class CpuShare implements Disposable {
  readonly #directory: string;

  constructor(name: string, share: number) {
    const old = existsSync(v1);
    this.#directory = path.join(old ? v1 : v2, name);
    mkdirSync(this.#directory);
    try {
      this.#limit(old, Math.round(periodUs * share));
    } catch (error) {
      // The kernel refuses a share that is too small.
      this[Symbol.dispose]();
      throw error;
    }
  }

  #limit(old: boolean, quota: number): void {
    if (old) {
      writeFileSync(path.join(this.#directory, 'cpu.cfs_period_us'), String(periodUs));
      writeFileSync(path.join(this.#directory, 'cpu.cfs_quota_us'), String(quota));
    } else writeFileSync(path.join(this.#directory, 'cpu.max'), `${quota} ${periodUs}`);
  }

  add(pid: number): void {
    writeFileSync(path.join(this.#directory, 'cgroup.procs'), String(pid));
  }

  /** Its processes must be gone. */
  [Symbol.dispose](): void {
    rmdirSync(this.#directory);
  }
}
