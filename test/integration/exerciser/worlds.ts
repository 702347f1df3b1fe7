import { chmod, mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { codeOf } from '../../../src/base/index.ts';
import type { Event } from '../../suites/exerciser/exerciser.ts';
import { DaemonProcess } from '../daemon-process.ts';
import { shareMounts } from '../shared-mounts.ts';

const volume = 'data';

/** Hosts with a volume, and what may happen to them. */
export interface World extends AsyncDisposable {
  readonly places: readonly string[];
  readonly happen: (event: Event, place: number) => Promise<void>;
  /** What the volume's own check finds. */
  readonly problems: () => Promise<readonly unknown[]>;
  readonly log: (place: number) => string;
}

/** A daemon that is killed more often in so many ms is given up (src/fuse/holder.ts). */
const [maxCrashes, crashWindowMs] = [5, 60_000];
const crashes = new Map<DaemonProcess, number[]>();

async function crash(daemon: DaemonProcess): Promise<void> {
  const now = performance.now();
  const recent = (crashes.get(daemon) ?? []).filter((moment) => now - moment < crashWindowMs);
  if (recent.length >= maxCrashes) return;
  crashes.set(daemon, [...recent, now]);
  await daemon.crash();
}

async function strike(hosts: readonly DaemonProcess[], event: Event, place: number): Promise<void> {
  const daemon = hosts[place]!;
  if (event === 'crash') return crash(daemon);
  if (event === 'lose') return daemon.kill();
  if (event === 'remount') await daemon.client.unmountVolume(volume, 'test');
  else await daemon.restart();
  await daemon.mount(volume);
}

/** A daemon by itself. */
export async function oneHost(): Promise<World> {
  const directory = await mkdtemp(path.join(tmpdir(), 'infinit-exerciser-'));
  await chmod(directory, 0o711);
  const daemon = await DaemonProcess.start(directory);
  return {
    places: [await daemon.mount(volume)],
    happen: (event, place) => strike([daemon], event, place),
    problems: async () => (await daemon.client.checkVolume(volume)).problems,
    log: () => daemon.log,
    [Symbol.asyncDispose]: () => daemon[Symbol.asyncDispose](),
  };
}

/** Three, all of which have the volume mounted. */
export async function threeHosts(): Promise<World> {
  const { cluster, places } = await shareMounts();
  return {
    places,
    async happen(event, place) {
      await strike(cluster.hosts, event, place);
      // One more that is lost would be one too many.
      if (event === 'bring') await cluster.complete();
    },
    async problems() {
      // Only the host that serves the volume does it.
      for (const { client } of cluster.hosts) {
        const report = await client.checkVolume(volume).catch((error: unknown) => {
          if (codeOf(error) !== 'in-use') throw error;
        });
        if (report !== undefined) return report.problems;
      }
      return ['nobody serves the volume'];
    },
    log: (place) => cluster.hosts[place]!.log,
    [Symbol.asyncDispose]: () => cluster[Symbol.asyncDispose](),
  };
}
