import { mkdirSync } from 'node:fs';
import path from 'node:path';

import { HostDaemon } from '../../docker/cluster-hosts.ts';
import { DockerLab } from '../../docker/lab.ts';
import type { Database } from './databases.ts';
import { Server } from './server.ts';

const warmUp = 20;
const volume = 'databases';

/** Transactions a second of one program, each durable before the next, on ext4 (a directory beside the store) and on a volume of one host, in turn. */
export async function compareRates(databases: readonly Database[], seconds: number, say: (line: string) => void): Promise<void> {
  await using lab = await DockerLab.up({ hosts: 1, engines: false });
  const daemon = new HostDaemon(lab.host, '127.0.0.1', { INFINIT_REPLICAS: '1', INFINIT_LOG_LEVEL: 'info' });
  await daemon.start();
  await daemon.mount(volume);
  const ext4 = path.join(lab.host.directory, 'ext4');
  mkdirSync(ext4);
  for (const database of databases) {
    const rates: number[] = [];
    for (const place of [ext4, path.join(daemon.mountDir, volume)]) {
      const server = new Server(database, lab.host, place);
      await server.make();
      await server.start();
      const writer = await server.write(`${database.name}-${rates.length}`);
      await writer.reach(warmUp, 60_000);
      const [before, from] = [writer.committed.size, performance.now()];
      await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
      rates.push((writer.committed.size - before) / ((performance.now() - from) / 1000));
      await writer.kill();
      await server.kill();
    }
    const [onExt4, onVolume] = rates as [number, number];
    say(`| ${database.name} | ${onExt4.toFixed(0)} | ${onVolume.toFixed(0)} | ${(onVolume / onExt4).toFixed(2)} |`);
  }
}
