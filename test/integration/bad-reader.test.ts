/** A member that may neither store nor write, and tries everything. */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';

import { connect } from '../../src/api/index.ts';
import { type Address, immutableAddress } from '../../src/block/index.ts';
import { encodeLeaseMessage, encodeRequest, type Request } from '../../src/consensus/index.ts';
import { encodeReport, kinds as rosterKinds } from '../../src/membership/messages.ts';
import { nodeKinds } from '../../src/node/kinds.ts';
import { kinds } from '../../src/store/kinds.ts';
import { Cluster } from '../overlay/fixture.ts';
import { ClusterProcesses } from './cluster-processes.ts';

const everyMs = 200;

/** Of the block whatever there is to ask an acceptor for, at a ballot above all. */
function requests(from: string, block: Address, replicas: readonly string[]): Request[] {
  const ballot = { round: 2 ** 40, peer: from, incarnation: 1, serial: 1 };
  const head = { from, block, tag: 1, attempt: 1, ballot };
  const origin = { peer: from, incarnation: 1, serial: 1 };
  const record = { version: 99, epoch: 99, replicas, previous: [], unsettled: [], origin, value: Buffer.from('forged') };
  return [
    { ...head, type: 'prepare', view: 0, known: null },
    { ...head, type: 'accept', record, next: null, condition: null, founding: -1, leaseClock: 0, lease: null },
    { ...head, type: 'learn', record },
    { ...head, type: 'forget', floor: 2 ** 40 },
  ];
}

test(
  'a member that may neither store nor write changes nothing, stops nobody, and holds up no write for long, whatever it sends',
  { timeout: 300_000 },
  async () => {
    await using cluster = await ClusterProcesses.start(2);
    const [first] = cluster.hosts;
    await using programs = connect(first!.controlSocket);
    const { blocks } = programs;
    await blocks.createNamed('kept', 'as it was');
    const block = blocks.named('kept');
    const { text } = await first!.client.createToken({ rights: ['invite'] });
    await using strangers = await Cluster.onLoopback();
    const tokenFile = path.join(strangers.directory, 'token');
    await writeFile(tokenFile, text, { mode: 0o600 });
    const reader = await strangers.open('reader', { tokenFile, join: [cluster.address] });
    await reader.whenJoined(AbortSignal.timeout(30_000));
    const { transport, self } = reader;
    const members = reader.members().flatMap((member) => (member.self ? [] : [member.peer]));
    while (transport.connected().length < members.length) await new Promise((resolve) => setTimeout(resolve, 50));

    const sealed = Buffer.from('put by nobody');
    const heard = { run: 'x', most: 2 ** 50, before: 2 ** 50 };
    const report = encodeReport({ serial: 0, newest: 0, standing: 'member', resolved: 0, floor: 2 ** 40, silent: members }, undefined, { heard });
    const asked = async (peer: string, kind: number, body: Uint8Array): Promise<string> =>
      transport.request(peer, kind, body, { deadlineMs: 5000 }).then(
        () => 'done',
        (error: { code: string }) => error.code,
      );
    for (const peer of members) {
      for (const request of requests(self, block, members))
        assert.equal(await asked(peer, kinds.register, Buffer.concat(encodeRequest(request))), 'denied');
      const put = Buffer.concat([Buffer.from(immutableAddress(sealed), 'hex'), sealed]);
      for (const kind of [kinds.putBlock, kinds.copyBlock, kinds.eraseBlocks, rosterKinds.news, nodeKinds.judgeBlocks])
        assert.notEqual(await asked(peer, kind, put), 'done', String(kind));
      assert.equal(await asked(peer, rosterKinds.report, report), 'done');
    }
    // Leases may be asked for by everybody; this one gives none back.
    let greedy = true;
    const hold = async (): Promise<void> => {
      for (let sequence = 1; greedy; sequence++) {
        const lease = { mode: 'shared', incarnation: 1, sequence } as const;
        const read = encodeRequest({ type: 'read', from: self, block, tag: 1, attempt: 1, view: -1, known: null, lease });
        for (const peer of members) {
          transport.notify(peer, kinds.lease, encodeLeaseMessage({ type: 'heartbeat', from: self, incarnation: 1, sentAt: performance.now() }));
          await asked(peer, kinds.register, Buffer.concat(read));
        }
        await new Promise((resolve) => setTimeout(resolve, everyMs));
      }
    };
    const holding = hold();
    await new Promise((resolve) => setTimeout(resolve, 5 * everyMs));
    for (const value of ['one', 'two']) {
      const { status } = await blocks.update(block, value, { deadlineMs: 30_000 });
      assert.equal(status, 'committed');
    }
    greedy = false;
    await holding;
    for (const host of cluster.hosts) {
      await using others = connect(host.controlSocket);
      assert.equal((await others.blocks.get(block))?.text(), 'two');
      assert.ok((await host.client.listNodes()).every(({ self: own, name, state }) => own || name === 'reader' || state === 'up'));
    }
  },
);
