/** A member of which a file of its identity is gone: it says so, and comes back with all that it stores. */
import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';

import { connect } from '../../src/api/index.ts';
import { ClusterProcesses } from './cluster-processes.ts';
import type { DaemonProcess } from './daemon-process.ts';

async function value(daemon: DaemonProcess, change: (old: string) => string): Promise<string> {
  await using programs = connect(daemon.controlSocket);
  const block = programs.blocks.named('value');
  await programs.blocks.modify(block, (old) => change(old?.text() ?? ''));
  return (await programs.blocks.get(block))!.text();
}

test(
  'a member whose passport or number of starts is gone does not start as another, and goes on once it is mended',
  { timeout: 300_000 },
  async () => {
    await using cluster = await ClusterProcesses.start(3);
    const [first, second, member] = cluster.hosts as [DaemonProcess, DaemonProcess, DaemonProcess];
    await value(first, () => 'a');
    const at = (file: string): string => path.join(member.directory, 'state', 'cluster', file);

    await member.stop();
    rmSync(at('passport'));
    await assert.rejects(member.restart(), /its passport \(cluster\/passport\) is gone.*--token/);
    // It is not tried again and again.
    assert.equal(member.log.match(/its passport \(cluster\/passport\) is gone/g)?.length, 1);
    const tokenFile = path.join(member.directory, 'token');
    writeFileSync(tokenFile, (await first.client.createToken({})).text, { mode: 0o600 });
    await member.restart(['--token', tokenFile]);
    await cluster.complete();

    await member.stop();
    rmSync(at('incarnation'));
    await assert.rejects(member.restart(), /number of starts of this host, is gone: write one/);
    writeFileSync(at('incarnation'), '1000000\n');
    await member.restart();
    await cluster.complete();

    // What it stored counts: with one of the others away it is half of the majority.
    await second.stop();
    assert.equal(await value(member, (old) => `${old}b`), 'ab');
    assert.equal((await first.client.listNodes()).length, 3);
  },
);
