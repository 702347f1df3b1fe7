/** A state directory that was copied, and runs twice on the two sides of a cut, each of which it makes a majority. */
import assert from 'node:assert/strict';
import { cpSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';

import { connect } from '../../src/api/index.ts';
import { formCluster, HostDaemon } from '../docker/cluster-hosts.ts';
import { DockerLab } from '../docker/lab.ts';
import { eventually } from '../docker/process.ts';

const settleMs = 60_000;

/** Nothing goes from one side to the other. */
async function cut(lab: DockerLab, sides: readonly [readonly number[], readonly number[]]): Promise<void> {
  for (const [side, hosts] of sides.entries())
    for (const host of hosts)
      for (const other of sides[1 - side]!) await lab.hosts[host]!.must('iptables', ['-A', 'INPUT', '-s', lab.addressOf(other), '-j', 'DROP']);
}

async function heal(lab: DockerLab): Promise<void> {
  for (const host of lab.hosts) await host.must('iptables', ['-F', 'INPUT']);
}

async function write(daemon: HostDaemon, value: string): Promise<void> {
  await using programs = connect(daemon.controlSocket);
  await programs.blocks.modify(programs.blocks.named('value'), () => value);
}

async function read(daemon: HostDaemon): Promise<string | undefined> {
  await using programs = connect(daemon.controlSocket);
  return (await programs.blocks.get(programs.blocks.named('value')))?.text();
}

async function reasons({ client }: HostDaemon): Promise<string> {
  return (await client.clusterStatus()).health.reasons.join('\n');
}

/** Tried until it is so; a host that has no majority yet, or none any more, refuses. */
async function soon(what: string, holds: () => Promise<boolean>): Promise<void> {
  await eventually(
    what,
    () =>
      holds().then(
        (so) => (so ? true : undefined),
        () => undefined,
      ),
    settleMs,
  );
}

const writes = (daemon: HostDaemon, value: string): Promise<void> => soon(`${daemon.address} writes`, () => write(daemon, value).then(() => true));
const reads = (daemon: HostDaemon, value: string): Promise<void> => soon(`${daemon.address} reads`, async () => (await read(daemon)) === value);

test('two copies of one host on the two sides of a cut both stop once it heals, and the others go on and agree', { timeout: 300_000 }, async () => {
  await using lab = await DockerLab.up({ hosts: 4, engines: false, network: true });
  const [a, b, c] = (await formCluster(lab, [], 3)) as [HostDaemon, HostDaemon, HostDaemon];
  await c.stop();
  const twin = new HostDaemon(lab.hosts[3]!, lab.addressOf(3), { INFINIT_NAME: c.host.name });
  cpSync(path.join(c.host.directory, 'state'), path.join(twin.host.directory, 'state'), { recursive: true });
  await cut(lab, [
    [0, 2],
    [1, 3],
  ]);
  await Promise.all([c.start(), twin.start()]);
  // Each copy makes its side a majority: nobody there can know.
  await writes(a, 'of one side');
  await reads(c, 'of one side');
  await writes(b, 'of the other');
  await reads(twin, 'of the other');
  await heal(lab);
  for (const copy of [c, twin])
    await soon(`${copy.address} stops, and says why`, async () =>
      /no member of its cluster: .*(two processes run|another process of that number)/.test(await reasons(copy)),
    );
  for (const host of [a, b])
    await soon(`${host.address} says so`, async () => /two processes run|another process of that number/.test(await reasons(host)));
  // What a side was leased by its copy may be told there until that is over.
  let told: readonly unknown[] = [];
  const agree = async (): Promise<boolean> => {
    told = await Promise.all([a, b].map((host) => read(host).catch(String)));
    return told[0] === told[1];
  };
  await soon('they agree', agree).catch((cause: unknown) => {
    throw new Error(`they tell ${told.join(' and ')}`, { cause });
  });
  const left = await read(a);
  assert.ok(left === 'of one side' || left === 'of the other', `${left} is one of the two`);
  assert.equal(await read(b), left);
  await write(a, 'after');
  assert.equal(await read(b), 'after');
  for (const copy of [c, twin]) await assert.rejects(write(copy, 'of a copy'));
});
