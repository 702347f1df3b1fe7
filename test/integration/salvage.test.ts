import assert from 'node:assert/strict';
import { tmpdir } from 'node:os';
import { test } from 'node:test';

import { connect } from '../../src/api/index.ts';
import { ClusterProcesses } from './cluster-processes.ts';

const names = Array.from({ length: 12 }, (_, index) => `key-${index}`);

test('two of three hosts are lost for good: salvage brings back what is left, and only after they were expelled', { timeout: 150_000 }, async () => {
  await using cluster = await ClusterProcesses.start(3, tmpdir(), ['--eviction-delay', '10s']);
  const [host, ...lost] = cluster.hosts;
  const peers = (await host!.client.listNodes()).flatMap(({ self, peer }) => (self ? [] : [peer]));
  await using programs = connect(host!.controlSocket);
  for (const name of names) await programs.blocks.modify(programs.blocks.named(name), () => `value of ${name}`);
  await host!.client.scrub();
  for (const daemon of lost) await daemon.kill();
  const { underQuorum, blocks } = await until(
    () => host!.client.salvage({ force: true, lost: peers, by: 'test' }),
    (answer) => answer.underQuorum >= names.length,
  );
  assert.ok(underQuorum >= names.length && blocks.every(({ result }) => result === 'refused'), JSON.stringify(blocks));
  // As after hours: nobody has confirmed for long that this host was not counted out.
  await until(
    () => host!.client.status(),
    ({ roster }) => roster.troubles.some((trouble) => trouble.includes('no say')),
  );
  for (const peer of peers) await host!.client.removeNode(peer, true);
  const done = await host!.client.salvage({ force: true, lost: peers, by: 'test' });
  assert.ok(
    done.blocks.every(({ result }) => result === 'rewritten'),
    JSON.stringify(done.blocks),
  );
  for (const name of names) assert.equal((await programs.blocks.get(programs.blocks.named(name)))?.text(), `value of ${name}`);
  // The roster was among what was salvaged: the cluster of one agrees on it again.
  await until(
    () => host!.client.status(),
    ({ roster }) => roster.views.length === 1 && roster.hosts === 1,
  );
  await programs.blocks.modify(programs.blocks.named('later'), () => 'works');
});

async function until<T>(look: () => Promise<T>, isSo: (seen: T) => boolean): Promise<T> {
  const deadline = performance.now() + 60_000;
  for (;;) {
    const seen = await look();
    if (isSo(seen)) return seen;
    if (performance.now() > deadline) throw new Error(`it did not come to pass: ${JSON.stringify(seen)}`);
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
}
