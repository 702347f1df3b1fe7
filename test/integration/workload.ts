import assert from 'node:assert/strict';

import type { HostDaemon } from '../docker/cluster-hosts.ts';
import { checkLinearizable, type Operation } from '../simulation/linearizability.ts';

/** Small files that every host writes and reads: each is a register. */
const registers = 2;
/** While a host's daemon is away its mount point is a plain directory, or was one when the shell went there: nothing that happens in it counts. */
const onVolume = `[ "$(stat -f -c %t .)" = 65735546 ] || { echo 'not mounted' >&2; exit 9; }`;

/** An operation that kept its program waiting. */
export interface SlowOperation {
  readonly host: string;
  readonly script: string;
  /** Milliseconds of the wall clock. */
  readonly from: number;
  readonly to: number;
  readonly failed: boolean;
}

/** An operation that ended with an error. */
interface FailedOperation extends SlowOperation {
  /** The error. */
  readonly said: string;
}

/** Failed operations of which more than their number is remembered. */
const maxFailed = 1000;

/** Milliseconds from which on an operation is remembered as slow: no host's end may hold up another host's programs for longer. */
export const slowMs = 5000;

/**
 * Programs on every host that use one volume at once: they replace and read small files, whose history must be linearizable, append to one log, and
 * make files of their own. Remembers what was acknowledged.
 */
export class Workload implements AsyncDisposable {
  readonly #daemons: HostDaemon[] = [];
  readonly #volume: string;
  readonly #history: Operation[] = [];
  readonly #acknowledged = new Set<string>();
  readonly #doubtful = new Set<string>();
  #next = 0;
  readonly #running: Promise<void>[] = [];
  #stopped = false;
  /** Appends that were acknowledged. */
  get acknowledged(): number {
    return this.#acknowledged.size;
  }

  /** Operations that ended with an error. */
  failures = 0;
  /** The longest that one took, in ms. */
  longestMs = 0;
  readonly #took: number[] = [];
  /** What one takes as a rule, in ms: several programs are started for it, one after the other. */
  get usualMs(): number {
    return this.#took.toSorted((a, b) => a - b)[this.#took.length >> 1] ?? 0;
  }

  readonly slow: SlowOperation[] = [];
  readonly failed: FailedOperation[] = [];
  /** What the last failure said. */
  lastFailure = '';

  constructor(daemons: readonly HostDaemon[], volume: string) {
    this.#volume = volume;
    for (const daemon of daemons) this.add(daemon);
  }

  /** One more host, which has the volume mounted. */
  add(daemon: HostDaemon): void {
    this.#daemons.push(daemon);
    this.#running.push(this.#client(daemon));
  }

  /** Lets it run on for a while. */
  async runFor(ms: number): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, ms));
  }

  async #client(daemon: HostDaemon): Promise<void> {
    for (let round = 0; !this.#stopped; round++) {
      const id = this.#next++;
      const register = `register-${id % registers}`;
      if (round % 3 === 0) await this.#write(daemon, id, register);
      else if (round % 3 === 1) await this.#read(daemon, id, register);
      else await this.#append(daemon, `${daemon.host.name}-${id}`);
    }
  }

  /** Replaces a file as careful programs do: the rename takes effect at one moment. */
  async #write(daemon: HostDaemon, id: number, register: string): Promise<void> {
    const value = `w${id}`;
    const ran = await this.#run(daemon, `echo ${value} > .${value}; sync .${value}; mv .${value} ${register}; sync .`);
    const outcome = ran.code === 0 ? ({ status: 'committed' } as const) : ({ status: 'unknown' } as const);
    this.#note({
      id,
      register,
      start: ran.start,
      end: ran.code === 0 ? ran.end : Infinity,
      action: { kind: 'write', expect: 'any', value },
      outcome,
    });
  }

  async #read(daemon: HostDaemon, id: number, register: string): Promise<void> {
    const { code, stdout, stderr, start, end } = await this.#run(daemon, `cat ${register}`);
    const missing = stderr.includes(`${register}: No such file`);
    if (code !== 0 && !missing) return;
    this.#note({ id, register, start, end, action: { kind: 'read' }, outcome: { status: 'value', value: missing ? null : stdout.trim() } });
  }

  async #append(daemon: HostDaemon, line: string): Promise<void> {
    const { code } = await this.#run(daemon, `echo ${line} >> log; sync log; echo ${line} > own-${line}; sync own-${line}`);
    (code === 0 ? this.#acknowledged : this.#doubtful).add(line);
  }

  async #run(daemon: HostDaemon, script: string): Promise<{ code: number; stdout: string; stderr: string; start: number; end: number }> {
    const from = Date.now();
    const start = performance.now();
    const outcome = await daemon.try(this.#volume, `${onVolume}; ${script}`);
    const end = performance.now();
    this.longestMs = Math.max(this.longestMs, Math.round(end - start));
    this.#took.push(end - start);
    const operation = { host: daemon.host.name, script, from, to: from + end - start, failed: outcome.code !== 0 };
    if (end - start > slowMs) this.slow.push(operation);
    if (outcome.code !== 0 && !outcome.stderr.includes('No such file')) {
      this.failures++;
      if (this.failed.length < maxFailed) this.failed.push({ ...operation, said: outcome.stderr.trim() });
      this.lastFailure = `${daemon.host.name}: ${script}: ${outcome.stderr.trim()}`;
      // A host that can do nothing is not asked in a hot loop.
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    return { ...outcome, start, end };
  }

  #note(operation: Operation): void {
    this.#history.push(operation);
  }

  async #stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#running);
  }

  /** Ends the programs and holds what every host sees now against what was acknowledged. */
  async verify(): Promise<void> {
    await this.#stop();
    const verdict = checkLinearizable(this.#history);
    assert.equal(verdict.status, 'linearizable', JSON.stringify(verdict));
    assert.ok(this.#acknowledged.size > 0, `nothing was acknowledged: ${this.lastFailure}`);
    for (const daemon of this.#daemons) {
      const log = (await daemon.sh(this.#volume, 'cat log')).split('\n');
      const own = new Set((await daemon.sh(this.#volume, 'cat own-*')).split('\n'));
      for (const line of this.#acknowledged) {
        assert.ok(own.has(line), `${daemon.host.name} does not see the file of ${line}`);
        assert.equal(log.filter((other) => other === line).length, 1, `${line} in the log of ${daemon.host.name}`);
      }
      const strange = log.filter((line) => !this.#acknowledged.has(line) && !this.#doubtful.has(line));
      assert.deepEqual(strange, [], 'the log holds what nobody wrote');
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stop();
  }
}
