import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import type { Block, WriteResult } from '../../src/api/index.ts';
import { checkLinearizable, type Operation, type Outcome } from '../simulation/linearizability.ts';
import { type ValueHost, ValueHosts } from './daemon-double.ts';

const workMs = 5000;
const clientsAHost = 3;

/** One program: reads, and writes of every kind, to two blocks that all share, each with a value of its own. */
class Program {
  readonly #host: ValueHost;
  readonly #history: Operation[];
  readonly #name: string;
  readonly #seen = new Map<string, number>();
  #writes = 0;

  constructor(host: ValueHost, name: string, history: Operation[]) {
    this.#host = host;
    this.#name = name;
    this.#history = history;
  }

  async work(registers: readonly string[], until: number): Promise<void> {
    while (performance.now() < until) {
      await this.#one(registers[Math.floor(Math.random() * registers.length)]!, Math.random());
      if (Math.random() < 0.2) await sleep(Math.random() * 20);
    }
  }

  async #one(register: string, what: number): Promise<void> {
    const { blocks } = this.#host.infinit;
    const address = blocks.named(register);
    const value = `${this.#name}.${this.#writes++}`;
    const limits = { deadlineMs: 800 };
    const start = performance.now();
    const record = (action: Operation['action'], outcome: Outcome): void => {
      const end = outcome.status === 'unknown' ? Infinity : performance.now();
      this.#history.push({ id: this.#history.length, register, start, end, action, outcome });
    };
    if (what < 0.4) {
      const block = await blocks.get(address, limits).catch(() => 'failed' as const);
      if (block !== 'failed') record({ kind: 'read' }, { status: 'value', ...this.#observed(register, block) });
    } else if (what < 0.5) {
      const result = await blocks.createNamed(register, value, limits);
      record({ kind: 'write', expect: 'absent', value }, this.#outcome(register, result));
    } else if (what < 0.55) {
      const expect = this.#seen.get(register);
      if (expect === undefined) return;
      const result = await blocks.remove(address, { ...limits, expect });
      record({ kind: 'write', expect, value: null }, this.#outcome(register, result));
    } else if (what < 0.8) {
      const expect = this.#seen.get(register);
      if (expect === undefined) return;
      const result = await blocks.update(address, value, { ...limits, expect });
      record({ kind: 'write', expect, value }, this.#outcome(register, result));
    } else {
      const result = await blocks.update(address, value, limits);
      // Where there is no block an update changes nothing, and is a look at it.
      if (result.status === 'conflict') record({ kind: 'read' }, { status: 'value', ...this.#observed(register, result.current) });
      else record({ kind: 'write', expect: 'any', value }, this.#outcome(register, result));
    }
  }

  #outcome(register: string, result: WriteResult): Outcome {
    if (result.status === 'committed') {
      this.#seen.set(register, result.version);
      return { status: 'committed', version: result.version };
    }
    if (result.status === 'conflict') return { status: 'conflict', current: this.#observed(register, result.current) };
    return { status: result.status };
  }

  #observed(register: string, block: Block | undefined): { version?: number; value: string | null } {
    if (block === undefined) return { value: null };
    this.#seen.set(register, block.version);
    return { version: block.version, value: block.text() };
  }
}

/** Cuts one host after another off from the others, both ways or one. */
async function trouble(cluster: ValueHosts, until: number): Promise<void> {
  const names = cluster.hosts.map(({ name }) => name);
  while (performance.now() < until) {
    await sleep(100 + Math.random() * 200);
    const victim = names[Math.floor(Math.random() * names.length)]!;
    const others = names.filter((name) => name !== victim);
    if (Math.random() < 0.5) cluster.network.partition([victim], others);
    else for (const other of others) cluster.network.cut(victim, other);
    await sleep(50 + Math.random() * 150);
    cluster.network.heal();
  }
}

test('what programs are told under contention and failures has an order that explains it, unknown outcomes found out included', async () => {
  await using cluster = await ValueHosts.start(4);
  const history: Operation[] = [];
  const until = performance.now() + workMs;
  const programs = cluster.hosts.flatMap((host) =>
    Array.from({ length: clientsAHost }, (_, index) => new Program(host, `${host.name}.${index}`, history)),
  );
  await Promise.all([...programs.map((program) => program.work(['first', 'second'], until)), trouble(cluster, until)]);
  const count = (status: string): number => history.filter(({ outcome }) => outcome.status === status).length;
  assert.ok(count('committed') > 50, `${count('committed')} of ${history.length} committed`);
  const verdict = checkLinearizable(history);
  assert.notEqual(verdict.status, 'violation', verdict.status === 'violation' ? verdict.reason : '');
});
