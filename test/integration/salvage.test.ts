import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';

import { connect } from '../../src/api/index.ts';
import { ClusterProcesses } from './cluster-processes.ts';
import type { DaemonProcess } from './daemon-process.ts';

const names = Array.from({ length: 12 }, (_, index) => `key-${index}`);

test('two of three hosts are lost for good: salvage brings back what is left, and only after they were expelled', { timeout: 300_000 }, async () => {
  await using cluster = await ClusterProcesses.start(3, tmpdir(), ['--eviction-delay', '10s']);
  const [host, ...lost] = cluster.hosts;
  const nodes = await host!.client.listNodes();
  const peers = nodes.flatMap(({ self, peer }) => (self ? [] : [peer]));
  const own = nodes.find(({ self }) => self)!.peer;
  await using programs = connect(host!.controlSocket);
  for (const name of names) await programs.blocks.modify(programs.blocks.named(name), () => `value of ${name}`);
  await host!.client.scrub();
  for (const daemon of lost) await daemon.kill();
  const { underQuorum, blocks } = await until(
    () => host!.client.salvage({ force: true, lost: peers, giveUp: false, by: 'test' }),
    (answer) => answer.underQuorum >= names.length,
  );
  assert.ok(underQuorum >= names.length && blocks.every(({ result }) => result === 'refused'), JSON.stringify(blocks));
  // As after hours: nobody has confirmed for long that this host was not counted out.
  await until(
    () => host!.client.status(),
    ({ roster }) => roster.troubles.some((trouble) => trouble.includes('no say')),
  );
  for (const peer of peers) await host!.client.removeNode(peer, true);
  const done = await host!.client.salvage({ force: true, lost: peers, giveUp: false, by: 'test' });
  assert.ok(
    done.blocks.every(({ result }) => result === 'rewritten'),
    JSON.stringify(done.blocks),
  );
  for (const name of names) assert.equal((await programs.blocks.get(programs.blocks.named(name)))?.text(), `value of ${name}`);
  const lines = salvageLog(host!);
  assert.equal(statSync(path.join(host!.directory, 'state', 'salvage.log')).mode & 0o777, 0o600);
  assert.ok(
    lines.every((line) => line.by === 'test' && line.host === own && Date.parse(line.at) > 0 && peers.every((peer) => line.lost.includes(peer))),
  );
  for (const { address, version } of done.blocks) {
    const steps = lines.filter((line) => line.address === address && line.version === version).map(({ step, result }) => [step, result]);
    assert.deepEqual(
      steps,
      [
        ['begin', 'possible'],
        ['end', 'rewritten'],
      ],
      address,
    );
  }
  // One that changed after it was looked at is looked at again, and that is written down as well.
  assert.equal(lines.filter(({ result }) => result === 'rewritten').length, done.blocks.length);
  // The roster was among what was salvaged: the cluster of one agrees on it again.
  await until(
    () => host!.client.status(),
    ({ roster }) => roster.views.length === 1 && roster.hosts === 1,
  );
  // A block that only the other two had would be told to be absent otherwise.
  const later = programs.blocks.named('later');
  await assert.rejects(programs.blocks.get(later), { code: 'lost' });
  assert.equal((await host!.client.salvage({ force: true, lost: peers, giveUp: true, by: 'test' })).accepted, true);
  await programs.blocks.modify(later, () => 'works');
});

test('blocks that lack a majority only through damaged records are rewritten without naming a host as lost', { timeout: 300_000 }, async () => {
  await using cluster = await ClusterProcesses.start(2);
  const [host, other] = cluster.hosts as [DaemonProcess, DaemonProcess];
  await using programs = connect(host.controlSocket);
  for (const name of names) await programs.blocks.modify(programs.blocks.named(name), () => `value of ${name}`);
  await other.stop();
  assert.ok(damage(other, 'value of key-') >= names.length);
  await other.restart();
  const listed = await until(
    () => host.client.salvage({ force: false, lost: [], giveUp: false, by: 'test' }),
    ({ underQuorum, blocks }) => underQuorum >= names.length && blocks.every(({ missing }) => missing.length === 0),
  );
  for (const { damaged, holders, result } of listed.blocks) assert.deepEqual([damaged, holders, result], [['h1'], ['h0'], 'possible']);
  const { code, out } = await host.infinit('salvage', '--force', '--yes');
  assert.equal(code, 0, out);
  assert.match(out, /h1 \(damaged\) +h0 +rewritten/);
  for (const name of names) assert.equal((await programs.blocks.get(programs.blocks.named(name)))?.text(), `value of ${name}`);
  assert.ok(salvageLog(host).filter(({ step, result }) => step === 'end' && result === 'rewritten').length >= names.length);
});

/** What readers were told of a key: its value, `undefined` where there is none. Errors are no answers. */
interface Told {
  readonly name: string;
  readonly at: number;
  readonly value: string | undefined;
}

/** Reads all of them over and over on a host, whatever becomes of it. Ends when told so. */
async function readAll(host: DaemonProcess, keys: readonly string[], told: Told[], stop: AbortSignal): Promise<void> {
  while (!stop.aborted) {
    await using programs = connect(host.controlSocket);
    for (const name of keys) {
      if (stop.aborted) return;
      const found = await programs.blocks.get(programs.blocks.named(name), { deadlineMs: 300 }).then(
        (block) => ({ value: block?.text() }),
        () => undefined,
      );
      if (found !== undefined) told.push({ name, at: performance.now(), ...found });
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

test(
  'two hosts salvage at once, one is killed and begins again, a lost host comes back before and after: no reader is told that a value is not there',
  { timeout: 300_000 },
  async () => {
    await using cluster = await ClusterProcesses.start(5, tmpdir(), ['--eviction-delay', '10s']);
    const [h0, h1, h2, ...lost] = cluster.hosts as [DaemonProcess, DaemonProcess, DaemonProcess, ...DaemonProcess[]];
    const nodes = await h0.client.listNodes();
    const peers = nodes.flatMap(({ name, peer }) => (name === 'h3' || name === 'h4' ? [peer] : []));
    const keys = Array.from({ length: 60 }, (_, index) => `value-${index}`);
    await using programs = connect(h0.controlSocket);
    for (const name of keys) await programs.blocks.modify(programs.blocks.named(name), () => `value of ${name}`);
    // What a third replica was to get later it has by now.
    await new Promise((resolve) => setTimeout(resolve, 1000));
    const told: Told[] = [];
    const stop = new AbortController();
    await Promise.all(lost.map((daemon) => daemon.kill()));
    const readers = [h0, h1, h2].map((host) => readAll(host, keys, told, stop.signal));
    await until(
      () => h1.client.salvage({ force: false, lost: [], giveUp: false, by: 'test' }),
      ({ blocks }) => blocks.some(({ missing }) => missing.length === 2),
    );
    for (const peer of peers) await h0.client.removeNode(peer, true);
    const salvage = (host: DaemonProcess) => host.client.salvage({ force: true, lost: peers, giveUp: false, by: 'test' }).catch(() => undefined);
    // It has not been told that it is expelled.
    const back = lost[0]!.restart();
    const rounds = [salvage(h0), salvage(h1), salvage(h2)];
    await new Promise((resolve) => setTimeout(resolve, 3300));
    await h2.crash();
    await Promise.all([...rounds, back]);
    // Until nothing is left of it anywhere, as docs/operating.md says.
    for (const host of [h0, h1, h2])
      await until(
        () => salvage(host),
        (report) => report?.underQuorum === 0,
      );
    for (const host of [h0, h1, h2])
      await until(
        () => host.client.status(),
        ({ roster }) => roster.views.length === 1 && roster.hosts === 3,
      );
    await lost[0]!.kill();
    await lost[0]!.restart();
    await new Promise((resolve) => setTimeout(resolve, 1000));
    stop.abort();
    await Promise.all(readers);
    const wrong = told.filter(({ name, value }) => value !== `value of ${name}`);
    assert.deepEqual(wrong, [], `of ${told.length} answers`);
    for (const host of [h0, h1, h2]) {
      await using reader = connect(host.controlSocket);
      for (const name of keys) assert.equal((await reader.blocks.get(reader.blocks.named(name)))?.text(), `value of ${name}`);
      for (const [address, lines] of Map.groupBy(salvageLog(host), (line) => line.address))
        assert.ok(lines.filter(({ step }) => step === 'begin').length >= lines.filter(({ step }) => step === 'end').length, address);
    }
    await using outcast = connect(lost[0]!.controlSocket);
    await assert.rejects(outcast.blocks.modify(outcast.blocks.named(keys[0]!), () => 'of a world that is gone'));
  },
);

interface Line {
  readonly at: string;
  readonly host: string;
  readonly by: string;
  readonly lost: readonly string[];
  readonly step: string;
  readonly address: string;
  readonly version: number;
  readonly result: string;
}

/** What a host wrote down of its salvages. */
function salvageLog(daemon: DaemonProcess): Line[] {
  const text = readFileSync(path.join(daemon.directory, 'state', 'salvage.log'), 'utf8');
  return text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Line);
}

/** Changes the first byte of each place in a stopped host's store where the text is; returns how many there were. */
function damage(daemon: DaemonProcess, text: string): number {
  const directory = path.join(daemon.directory, 'state', 'store');
  let places = 0;
  for (const name of readdirSync(directory, { recursive: true }) as string[]) {
    const file = path.join(directory, name);
    if (!statSync(file).isFile()) continue;
    const bytes = readFileSync(file);
    const before = places;
    for (let at = bytes.indexOf(text); at >= 0; at = bytes.indexOf(text, at + 1)) {
      bytes[at]! ^= 1;
      places++;
    }
    if (places > before) writeFileSync(file, bytes);
  }
  return places;
}

async function until<T>(look: () => Promise<T>, isSo: (seen: T) => boolean): Promise<T> {
  const deadline = performance.now() + 60_000;
  for (;;) {
    const seen = await look();
    if (isSo(seen)) return seen;
    if (performance.now() > deadline) throw new Error(`it did not come to pass: ${JSON.stringify(seen)}`);
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
}
