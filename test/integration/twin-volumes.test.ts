/** A snapshot of the state directory of the host that serves a volume, started on another host while programs write, beside the original and in its place. */
import assert from 'node:assert/strict';
import { cpSync } from 'node:fs';
import { open, readFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { freePort } from '../suites/free-port.ts';
import { ClusterProcesses } from './cluster-processes.ts';
import { DaemonProcess } from './daemon-process.ts';

/** A program that appends lines to a file and makes each durable, until it is told to end or fails. */
class Appender {
  /** Lines that are durable. */
  readonly acknowledged: string[] = [];
  readonly name: string;
  readonly #over: Promise<void>;
  #ends = false;

  constructor(directory: string, name: string) {
    this.name = name;
    this.#over = this.#append(path.join(directory, name));
  }

  async #append(place: string): Promise<void> {
    try {
      await using file = await open(place, 'a');
      for (let line = 0; !this.#ends; line++) {
        await file.write(`${line}\n`);
        await file.sync();
        this.acknowledged.push(String(line));
        await sleep(5);
      }
    } catch {
      // Its host was killed.
    }
  }

  async end(): Promise<void> {
    this.#ends = true;
    await this.#over;
  }
}

for (const original of ['runs on', 'is killed'] as const)
  test(
    `a copy of a serving host that was a while ago serves nothing, where the original ${original}; no acknowledged write is lost`,
    { timeout: 300_000 },
    async () => {
      await using cluster = await ClusterProcesses.start(3);
      const [first, other, serving] = cluster.hosts as [DaemonProcess, DaemonProcess, DaemonProcess];
      const [servingPlace, place] = [await serving.mount('data'), await first.mount('data')];
      const writers = [new Appender(servingPlace, 'of-serving'), new Appender(place, 'of-first')];
      await sleep(1000);
      const copy = path.join(path.dirname(serving.directory), 'copy');
      process.kill(serving.daemonPid, 'SIGSTOP');
      cpSync(path.join(serving.directory, 'state'), path.join(copy, 'state'), { recursive: true });
      process.kill(serving.daemonPid, 'SIGCONT');
      // A term, within which each host has told each how much it has written since.
      await sleep(5000);
      if (original === 'is killed') await serving.kill();
      await using twin = await DaemonProcess.start(copy, ['--listen', `127.0.0.1:${await freePort()}`, '--name', 'h2', '--replicas', '3']);
      await assert.rejects(twin.client.mountVolume('data', 'test'), /no member of its cluster: .*(two processes run|older than what its cluster)/);
      await sleep(2000);
      await Promise.all(writers.map((writer) => writer.end()));
      if (original === 'runs on') assert.deepEqual((await serving.client.clusterStatus()).health.reasons, []);
      const seenBy = [place, await other.mount('data')];
      for (const { name, acknowledged } of writers) {
        assert.ok(acknowledged.length > 10, `${name}: ${acknowledged.length}`);
        for (const at of seenBy)
          assert.deepEqual((await readFile(path.join(at, name), 'utf8')).split('\n').slice(0, acknowledged.length), acknowledged);
      }
    },
  );
