import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, readlinkSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { type Logger, messageOf } from '../base/index.ts';
import { loadAddon } from './addon.ts';
import { type FromHolder, holderVariable, type AdoptedMount, type ToHolder } from './holder-messages.ts';
import { abortMount, removeMountPoint } from './mount.ts';
import { listMounts } from './mount-table.ts';

/** How a daemon ends that cannot work with what it was given (sysexits' EX_CONFIG): starting it again is of no use. */
export const refusalExitCode = 78;
/** How a daemon ends that lacks what may come back, room on the disk first of all (sysexits' EX_TEMPFAIL): the mounts are worth any wait. */
export const laterExitCode = 75;
/** Descriptors 0 to 2 and the channel come before the mounts'. */
const firstInherited = 4;
/** Mounts that one holder keeps; more are served, but end with their daemon. */
const maxKept = 1000;
/** So many crashes within the time below, and the daemon is given up. */
const maxCrashes = 5;
const crashWindowMs = 60_000;
/** The first restart comes at once, each further one within the window waits twice as long. */
const [firstDelayMs, maxDelayMs] = [200, 5000];
const forwarded = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;
/** How often it is looked whether a daemon that has nothing open any more is dead, in ms. */
const lookMs = 50;

export interface SupervisorSettings {
  /** The daemon's program and arguments, for this same Node. */
  readonly argv: readonly string[];
  readonly logger: Logger;
  /** How long an orderly stop may take before the daemon is killed. */
  readonly stopTimeoutMs?: number;
}

interface Kept {
  readonly mount: AdoptedMount;
  /** The holder's own duplicates. */
  readonly fd: number;
  readonly memory: number | undefined;
}

/**
 * Runs the daemon in a child process, and again when it crashes, keeping its mounts' descriptors meanwhile: clients pause and go on.
 * Returns the exit code for the caller. SIGUSR2 replaces the daemon (an upgrade) without ending the mounts.
 */
export async function superviseDaemon(settings: SupervisorSettings): Promise<number> {
  return new Holder(settings).run();
}

class Holder {
  readonly #settings: SupervisorSettings;
  readonly #logger: Logger;
  readonly #addon = loadAddon();
  readonly #kept = new Map<number, Kept>();
  #daemon: ChildProcess | undefined;
  #stopping = false;
  #replacing = false;
  /** A daemon that never got as far as saying hello was not able to start at all. */
  #started = false;
  #crashes: number[] = [];
  /** Starts in a row that ended with {@link laterExitCode}. */
  #tries = 0;

  constructor(settings: SupervisorSettings) {
    this.#settings = settings;
    this.#logger = settings.logger;
  }

  async run(): Promise<number> {
    for (const signal of forwarded) process.on(signal, () => this.#stop(signal));
    process.on('SIGUSR2', () => this.#replace());
    for (;;) {
      const { code, signal } = await this.#runOnce();
      if (this.#stopping || !(await this.#again(code, signal))) {
        await this.#endAll();
        return code === refusalExitCode ? 1 : (code ?? 128);
      }
    }
  }

  /** Starts one daemon and waits for its end. */
  async #runOnce(): Promise<{ code: number | null; signal: string | null }> {
    const kept = [...this.#kept.values()];
    const inherited: number[] = [];
    this.#kept.clear();
    for (const { mount, fd, memory } of kept) {
      const number = firstInherited + inherited.push(fd) - 1;
      const memoryNumber = memory === undefined ? undefined : firstInherited + inherited.push(memory) - 1;
      this.#kept.set(number, { mount: { ...mount, fd: number, memory: memoryNumber }, fd, memory });
    }
    // A process group of its own: Ctrl-C in a terminal reaches the holder alone, which passes it on.
    const daemon = spawn(process.execPath, this.#settings.argv, {
      stdio: ['inherit', 'inherit', 'inherit', 'ipc', ...inherited],
      env: { ...process.env, [holderVariable]: '1' },
      detached: true,
    });
    this.#daemon = daemon;
    daemon.on('message', (message: ToHolder) => this.#hear(message));
    daemon.on('error', (error) => this.#logger.error('the daemon cannot be started', { error }));
    if (this.#stopping) daemon.kill('SIGTERM');
    const [code, signal] = daemon.pid === undefined ? [1, null] : await endOf(daemon);
    this.#daemon = undefined;
    return { code, signal };
  }

  /** Is there to be another daemon? Waits until its time. */
  async #again(code: number | null, signal: string | null): Promise<boolean> {
    if (this.#replacing) {
      this.#replacing = false;
      return true;
    }
    if (code === 0 || !this.#started) return false;
    // It said why it cannot work, and will say so again; only mounts would be worth the wait.
    if (code === refusalExitCode && this.#kept.size === 0) return false;
    if (code === laterExitCode && this.#kept.size > 0) {
      this.#tries++;
      this.#logger.error('the daemon cannot start yet; its mounts wait for it', { mounts: this.#kept.size, tries: this.#tries });
      await setTimeout(Math.min(maxDelayMs, firstDelayMs * 2 ** (this.#tries - 1)));
      return !this.#stopping;
    }
    this.#tries = 0;
    const now = performance.now();
    this.#crashes = this.#crashes.filter((moment) => now - moment < crashWindowMs);
    this.#crashes.push(now);
    const crashes = this.#crashes.length;
    this.#logger.error('the daemon died', { code, signal, mounts: this.#kept.size, crashes });
    if (crashes > maxCrashes) {
      this.#logger.error('the daemon keeps dying and is given up; its mounts end now');
      return false;
    }
    if (crashes > 1) await setTimeout(Math.min(maxDelayMs, firstDelayMs * 2 ** (crashes - 2)));
    return !this.#stopping;
  }

  #hear(message: ToHolder): void {
    switch (message.type) {
      case 'hello':
        this.#started = true;
        this.#tell({ type: 'inherit', mounts: [...this.#kept.values()].map(({ mount }) => mount) });
        break;
      case 'register': {
        const reason = this.#keep(message.mount);
        if (reason !== undefined) this.#tell({ type: 'refused', volume: message.mount.volume, reason });
        break;
      }
      case 'release':
        this.#drop(message.fd);
        break;
    }
  }

  /** Duplicates the daemon's descriptor. Returns why it cannot. */
  #keep(mount: AdoptedMount): string | undefined {
    const known = this.#kept.get(mount.fd);
    if (known !== undefined && known.mount.connection === mount.connection) {
      // A daemon that inherited none may have made some.
      this.#kept.set(mount.fd, { mount, fd: known.fd, memory: known.memory ?? this.#takeMemory(mount.memory) });
      return undefined;
    }
    if (this.#kept.size >= maxKept) return `over ${maxKept} mounts`;
    const fd = this.#addon.takeDescriptor(this.#daemon?.pid ?? -1, mount.fd);
    if (fd < 0) return `pidfd_getfd failed with errno ${-fd} (Linux 5.6 and CAP_SYS_PTRACE are needed)`;
    if (!this.#is(fd, '/dev/fuse')) return 'the descriptor is not a FUSE device';
    this.#drop(mount.fd);
    this.#kept.set(mount.fd, { mount, fd, memory: this.#takeMemory(mount.memory) });
    return undefined;
  }

  /** Without it the mount is kept all the same. */
  #takeMemory(descriptor: number | undefined): number | undefined {
    if (descriptor === undefined) return undefined;
    const memory = this.#addon.takeDescriptor(this.#daemon?.pid ?? -1, descriptor);
    return memory >= 0 && this.#is(memory, '/memfd:infinit') ? memory : undefined;
  }

  /** The daemon may have closed it meanwhile and given the number to something else, which is let go then. */
  #is(fd: number, name: string): boolean {
    if (readlinkSync(`/proc/self/fd/${fd}`).startsWith(name)) return true;
    this.#addon.closeDescriptor(fd);
    return false;
  }

  #drop(daemonFd: number): void {
    const kept = this.#kept.get(daemonFd);
    if (kept === undefined) return;
    this.#kept.delete(daemonFd);
    this.#addon.closeDescriptor(kept.fd);
    if (kept.memory !== undefined) this.#addon.closeDescriptor(kept.memory);
  }

  #tell(message: FromHolder): void {
    // A daemon that dies meanwhile hears nothing, and its successor gets it all.
    this.#daemon?.send(message, () => {});
  }

  #stop(signal: (typeof forwarded)[number]): void {
    this.#stopping = true;
    this.#daemon?.kill(signal);
    this.#killLater();
  }

  #replace(): void {
    if (this.#stopping || this.#daemon === undefined) return;
    this.#replacing = true;
    this.#daemon.kill('SIGTERM');
    this.#killLater();
  }

  #killLater(): void {
    const daemon = this.#daemon;
    void setTimeout(this.#settings.stopTimeoutMs ?? 60_000, undefined, { ref: false }).then(() => daemon?.kill('SIGKILL'));
  }

  /** Nobody is to come back: whoever still uses a mount gets an error instead of waiting for ever. */
  async #endAll(): Promise<void> {
    const left = [...this.#kept.values()];
    for (const { mount } of left) this.#drop(mount.fd);
    if (left.length > 0)
      this.#logger.warn('mounts that were in use end: restart the containers and programs that have them once the daemon runs again', {
        volumes: left.map(({ mount }) => mount.volume).join(','),
      });
    for (const { mount } of left) {
      try {
        const mounts = await listMounts(mount.mountPoint);
        if (mounts.some(({ connection }) => connection === mount.connection)) {
          await abortMount(mount.mountPoint);
          await removeMountPoint(mount.mountPoint);
        }
      } catch (error) {
        this.#logger.error('a mount could not be ended', { mountPoint: mount.mountPoint, error: messageOf(error) });
      }
    }
  }
}

/**
 * How a daemon ended. One that is killed while the kernel has a thread of it wait for its own answer does not end before the next one has given that: it counts as ended once nothing of it can run any
 * more and all that it had open is closed.
 */
async function endOf(daemon: ChildProcess): Promise<[code: number | null, signal: string | null]> {
  const exited = once(daemon, 'exit') as Promise<[number | null, string | null]>;
  let isOver = false;
  void exited.then(() => (isOver = true));
  const disconnected = once(daemon, 'disconnect').then(async () => {
    while (!isOver && !isDead(daemon.pid!)) await setTimeout(lookMs);
    // As a rule all of it is gone by then, and it is known how.
    await setTimeout(lookMs);
    return [null, 'SIGKILL'] as [null, string];
  });
  return Promise.race([exited, disconnected]);
}

/** Whether the process was ended, though a thread of it may be kept by the kernel. */
function isDead(pid: number): boolean {
  try {
    return / [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/.*\)/s, ''));
  } catch {
    return true;
  }
}
