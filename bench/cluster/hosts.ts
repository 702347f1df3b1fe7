/** Hosts of the benchmark, each in a process of its own, joined to one cluster. */
import { type ChildProcess, fork } from 'node:child_process';
import path from 'node:path';

import { daemonNodeFlags } from '../../src/cli/node-flags.ts';
import type { Order } from './host.ts';

const script = path.join(import.meta.dirname, 'host.ts');

/** The parent's end of one host. */
export class BenchHost {
  readonly child: ChildProcess;
  readonly #answers: { readonly resolve: (value: never) => void; readonly reject: (error: Error) => void }[] = [];
  readonly ready: Promise<string>;

  constructor(directory: string, name: string) {
    this.child = fork(script, [directory, name], { execArgv: [...daemonNodeFlags], serialization: 'advanced' });
    this.ready = this.#answer();
    this.child.on('message', (answer: { value?: unknown; error?: string }) => {
      const waiting = this.#answers.shift();
      if (answer.error === undefined) waiting?.resolve(answer.value as never);
      else waiting?.reject(new Error(answer.error));
    });
    this.child.on('exit', (code) => {
      for (const { reject } of this.#answers.splice(0)) reject(new Error(`a host ended with ${code}`));
    });
  }

  /** Orders are answered one after the other. */
  ask<T>(order: Order): Promise<T> {
    this.child.send(order);
    return this.#answer();
  }

  #answer<T>(): Promise<T> {
    return new Promise((resolve, reject) => this.#answers.push({ resolve, reject }));
  }
}

export class BenchCluster implements AsyncDisposable {
  readonly hosts: readonly BenchHost[];

  private constructor(hosts: readonly BenchHost[]) {
    this.hosts = hosts;
  }

  static async start(directory: string, count: number): Promise<BenchCluster> {
    const hosts = Array.from({ length: count }, (_, index) => new BenchHost(path.join(directory, `h${index}`), `h${index}`));
    const cluster = new BenchCluster(hosts);
    try {
      await Promise.all(hosts.map(({ ready }) => ready));
      const [first, ...others] = hosts as [BenchHost, ...BenchHost[]];
      const addresses = await first.ask<readonly string[]>({ type: 'init' });
      const token = await first.ask<string>({ type: 'token', uses: count });
      for (const host of others) await host.ask({ type: 'join', addresses, token });
      for (const host of hosts) {
        while ((await host.ask<number>({ type: 'members' })) < count) await new Promise((resolve) => setTimeout(resolve, 50));
      }
      return cluster;
    } catch (error) {
      await cluster[Symbol.asyncDispose]();
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(
      this.hosts.map(async ({ child }) => {
        if (child.exitCode !== null || child.signalCode !== null) return;
        const gone = new Promise((resolve) => child.once('exit', resolve));
        child.disconnect();
        await gone;
      }),
    );
  }
}
