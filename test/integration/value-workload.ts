import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';

import { type Block, connect, type Infinit, type WriteResult } from '../../src/api/index.ts';
import { InfinitError } from '../../src/base/index.ts';
import type { HostDaemon } from '../docker/cluster-hosts.ts';
import { type Action, checkLinearizable, type Observation, type Operation, type Outcome } from '../simulation/linearizability.ts';

/** Named blocks that all clients use. */
const keys = 3;
/** Between two operations of one client, in ms. */
const pauseMs = 100;
/** How long a client waits for an answer, in ms. */
const deadlineMs = 4000;

/**
 * A client of the value store on every host. Keys are made, replaced where they are at the version last seen, removed and read, and the whole history, versions included, must be
 * linearizable. What nobody knows the outcome of may take effect at any time.
 */
export class ValueWorkload implements AsyncDisposable {
  readonly #history: Operation[] = [];
  readonly #clients: Infinit[] = [];
  readonly #running: Promise<void>[] = [];
  readonly #prefix: string;
  #next = 0;
  #stopped = false;

  /** @param prefix of the keys' names: a workload of its own has keys of its own. */
  constructor(daemons: readonly HostDaemon[], prefix: string) {
    this.#prefix = prefix;
    for (const { controlSocket } of daemons) {
      const infinit = connect(controlSocket);
      this.#clients.push(infinit);
      this.#running.push(this.#client(infinit));
    }
  }

  /** Writes that were acknowledged. */
  get acknowledged(): number {
    return this.#history.filter(({ outcome }) => outcome.status === 'committed').length;
  }

  async #client({ blocks }: Infinit): Promise<void> {
    const seen = new Map<string, Observation>();
    while (!this.#stopped) {
      const id = this.#next++;
      const register = `${this.#prefix}-${id % keys}`;
      const address = blocks.named(register);
      const known = seen.get(register);
      const value = `w${id}`;
      if (known === undefined || id % 4 === 0) {
        const start = performance.now();
        const block = await blocks.get(address, { deadlineMs }).then(
          (found) => ({ found }),
          (error: unknown): undefined => {
            // Too few replicas answer: that says nothing of the key.
            if (!(error instanceof InfinitError) || error.code === 'bug') throw error;
          },
        );
        if (block !== undefined) {
          const observed = observe(block.found);
          seen.set(register, observed);
          this.#note(id, register, start, { kind: 'read' }, { status: 'value', ...observed });
        }
      } else if (known.version === undefined) {
        const start = performance.now();
        const result = await blocks.createNamed(register, value, { deadlineMs });
        this.#note(id, register, start, { kind: 'write', expect: 'absent', value }, outcomeOf(result));
        seen.delete(register);
      } else {
        const removes = id % 5 === 0;
        const limits = { deadlineMs, expect: known.version };
        const start = performance.now();
        const result = await (removes ? blocks.remove(address, limits) : blocks.update(address, value, limits));
        this.#note(id, register, start, { kind: 'write', expect: known.version, value: removes ? null : value }, outcomeOf(result));
        if (result.status === 'committed' && !removes) seen.set(register, { version: result.version, value });
        else seen.delete(register);
      }
      await sleep(pauseMs);
    }
  }

  #note(id: number, register: string, start: number, action: Action, outcome: Outcome): void {
    this.#history.push({ id, register, start, end: outcome.status === 'unknown' ? Infinity : performance.now(), action, outcome });
  }

  /** Ends the clients and judges what they were told. */
  async verify(): Promise<void> {
    await this.#stop();
    // The versions of a key that is made again go on from where they were, or further on.
    const verdict = checkLinearizable(this.#history, { forgets: true });
    assert.equal(verdict.status, 'linearizable', JSON.stringify(verdict));
    assert.ok(this.acknowledged > 0, 'no write of a value was acknowledged');
  }

  async #stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#running);
    for (const client of this.#clients.splice(0)) client.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stop();
  }
}

function observe(block: Block | undefined): Observation {
  return block === undefined ? { value: null } : { version: block.version, value: block.text() };
}

function outcomeOf(result: WriteResult): Outcome {
  if (result.status === 'committed') return { status: 'committed', version: result.version };
  return result.status === 'conflict' ? { status: 'conflict', current: observe(result.current) } : { status: result.status };
}
