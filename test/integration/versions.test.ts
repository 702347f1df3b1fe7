/** Hosts of several versions in one cluster of real daemons. INFINIT_EARLIER names a checkout of an earlier commit, which is tried as well. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, suite, test } from 'node:test';

import { eventually } from '../docker/process.ts';
import { ClusterProcesses } from './cluster-processes.ts';
import type { DaemonProcess } from './daemon-process.ts';
import { programOf } from './other-program.ts';
import { sh } from './programs.ts';

const own = path.resolve(import.meta.dirname, '../../src/cli/main.ts');
/** What a host may need to serve a volume that the others had, in ms. */
const servedMs = 60_000;

let turn = 0;

/** Each of these hosts changes what the others made; all see all of it. */
async function work(volume: string, hosts: readonly DaemonProcess[]): Promise<void> {
  const places = hosts.map(({ mountDir }) => path.join(mountDir, volume));
  turn++;
  for (const [index, place] of places.entries()) {
    await sh(
      `echo ${turn}-${index} > f${index}; echo ${turn}-${index} >> log; head -c 700000 /dev/zero | tr '\\0' ${index} > large; mkdir -p d; echo > d/x${index}`,
      {
        cwd: place,
      },
    );
    for (const other of places) {
      const seen = await sh(`cat f${index}; tail -n1 log; head -c 1 large; stat -c %s large; ls d | grep -c x${index}; flock log true`, {
        cwd: other,
      });
      assert.equal(seen, `${turn}-${index}\n${turn}-${index}\n${index}700000\n1\n`);
    }
  }
  for (const [index, place] of places.entries()) {
    const from = places[(index + 1) % places.length]!;
    await sh(`mv d/x${index} d/y${index}; truncate -s 5 large; sync large f${index}`, { cwd: from });
    assert.equal(await sh(`stat -c %s large; ls d | grep -c y${index}; rm d/y${index}`, { cwd: place }), '5\n1\n');
  }
}

async function startAs(host: DaemonProcess, program: string): Promise<void> {
  host.program = program;
  await host.restart();
}

async function mountOn(host: DaemonProcess, ...volumes: readonly string[]): Promise<void> {
  for (const volume of volumes)
    await eventually(
      `${volume} is mounted again`,
      () =>
        host.client.mountVolume(volume, 'test').then(
          () => true,
          () => undefined,
        ),
      servedMs,
    );
}

suite('hosts of several versions', () => {
  let directory: string;
  before(async () => {
    directory = await mkdtemp(path.join(tmpdir(), 'infinit-versions-'));
  });
  after(() => rm(directory, { recursive: true, force: true }));

  async function shareVolumes(other: string): Promise<void> {
    await using cluster = await ClusterProcesses.start(3, tmpdir(), [], [own, other, own]);
    const [first, second, third] = cluster.hosts as [DaemonProcess, DaemonProcess, DaemonProcess];
    // The first to mount one serves it: a host of each version.
    for (const host of [first, second, third]) await host.mount('aa');
    for (const host of [second, first, third]) await host.mount('bb');
    await work('aa', cluster.hosts);
    await work('bb', cluster.hosts);
    // One of each is left, and one of them comes to serve what was served by the lost host.
    await first.kill();
    await work('aa', [second, third]);
    await startAs(first, other);
    await mountOn(first, 'aa', 'bb');
    await work('aa', cluster.hosts);
    await second.kill();
    await work('bb', [third, first]);
    // And back to the version of before.
    await startAs(second, own);
    await mountOn(second, 'aa', 'bb');
    await work('bb', cluster.hosts);
    await work('aa', cluster.hosts);
  }

  test('a later minor version and this one share volumes, whichever serves them, and a host goes from one to the other and back', async () => {
    await shareVolumes(await programOf('later minor', path.join(directory, 'minor')));
  });

  const earlier = process.env['INFINIT_EARLIER'];
  test('so do an earlier version and this one', { skip: earlier === undefined && 'INFINIT_EARLIER names none' }, async () => {
    await shareVolumes(path.resolve(earlier!, 'src/cli/main.ts'));
  });

  test('a cluster goes to the next major version host by host: the others are refused in plain words, and a majority goes on', async () => {
    const next = await programOf('next major', path.join(directory, 'major'));
    await using cluster = await ClusterProcesses.start(3);
    const [first, second, third] = cluster.hosts as [DaemonProcess, DaemonProcess, DaemonProcess];
    const troubles = async ({ client }: DaemonProcess): Promise<string> =>
      (await client.clusterStatus()).troubles.map(({ message }) => message).join('\n');
    for (const host of cluster.hosts) await host.mount('aa');
    await work('aa', cluster.hosts);
    await first.stop();
    await startAs(first, next);
    const versions = /the peer speaks wire version (2\.0, this host 3\.0|3\.0, this host 2\.0): upgrade the older one/;
    for (const host of cluster.hosts) await eventually('it says which versions', async () => versions.test(await troubles(host)) || undefined);
    await work('aa', [second, third]);
    await second.stop();
    await startAs(second, next);
    await mountOn(first, 'aa');
    await mountOn(second, 'aa');
    await work('aa', [first, second]);
    await third.stop();
    await startAs(third, next);
    await mountOn(third, 'aa');
    await work('aa', cluster.hosts);
    for (const host of cluster.hosts) assert.doesNotMatch(await troubles(host), versions);
    // A program that does not know the format leaves it alone.
    await third.stop();
    await assert.rejects(
      startAs(third, own),
      /wrong-version: .*"infinit-disk 4 [0-9a-f]+"; this program reads "infinit-disk 3": a later program wrote it/s,
    );
    await startAs(third, next);
    await mountOn(third, 'aa');
    await work('aa', cluster.hosts);
  });
});
