import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, suite, test } from 'node:test';

import { eventually } from '../docker/process.ts';
import { freePort } from '../suites/free-port.ts';
import { ClusterProcesses } from './cluster-processes.ts';
import { DaemonProcess } from './daemon-process.ts';
import { sh } from './programs.ts';

/** The others wait for a part of this until nobody relies on a host that was expelled. */
const soon = ['--eviction-delay', '10s'];

// One after the other, on one cluster: hosts come and go, and the last test takes it apart.
suite('what operators say to a cluster of three', { timeout: 300_000 }, () => {
  let cluster: ClusterProcesses;
  let h0: DaemonProcess;
  let h1: DaemonProcess;
  let h2: DaemonProcess;
  let directory: string;
  const stack = new AsyncDisposableStack();

  /** A daemon that is alone so far. */
  async function newcomer(name: string): Promise<DaemonProcess> {
    const flags = ['--listen', `127.0.0.1:${await freePort()}`, '--name', name, '--replicas', '3', '--discover', 'none', ...soon];
    return stack.use(await DaemonProcess.start(path.join(directory, name), flags));
  }

  /** A new token in a file, and its id. */
  async function newToken(name: string): Promise<{ readonly file: string; readonly id: string }> {
    const file = path.join(directory, name);
    return { file, id: await h0.says('cluster', 'token', 'create', file) };
  }

  const stateOf = async (name: string): Promise<string | undefined> => (await h0.client.listNodes()).find((node) => node.name === name)?.state;

  before(async () => {
    directory = await mkdtemp(path.join(tmpdir(), 'infinit-operators-'));
    stack.defer(() => rm(directory, { recursive: true, force: true }));
    cluster = stack.use(await ClusterProcesses.start(3, undefined, soon));
    [h0, h1, h2] = cluster.hosts as [DaemonProcess, DaemonProcess, DaemonProcess];
  });
  after(() => stack.disposeAsync());

  test('node inspect shows hosts by name and by id, and what they say of themselves', async () => {
    const [host] = JSON.parse(await h0.says('node', 'inspect', 'h1')) as [{ name: string; peer: string; status: { version: string } }];
    assert.equal(host.name, 'h1');
    assert.equal(typeof host.status.version, 'string');
    assert.equal(await h0.says('node', 'inspect', host.peer, 'h0', '--format', '{{.Name}}'), 'h1\nh0');
    const { code, out, err } = await h0.infinit('node', 'inspect', 'h1', 'nobody', '--format', '{{.Name}}');
    assert.deepEqual([code, out], [1, 'h1\n']);
    assert.match(err, /not-found: there is no host "nobody"/);
  });

  test('a join is refused while it would lose the trash, and can be taken back; a host that was drained leaves', async () => {
    const { file } = await newToken('for-late');
    const late = await newcomer('late');
    await sh(`echo mine > ${await late.mount('old')}/f`);
    await late.client.unmountVolume('old', 'test');
    await late.says('volume', 'rm', 'old');
    const refused = await late.infinit('cluster', 'join', file, cluster.address);
    assert.equal(refused.code, 4);
    assert.match(refused.err, /trash of this host holds volumes \("old"\)/);
    assert.match((await late.infinit('cluster', 'leave')).err, /bad-argument: this host belongs to no cluster/);

    // Nobody answers there: it would go on trying.
    const nobody = `127.0.0.1:${await freePort()}`;
    const joining = late.infinit('cluster', 'join', '--force', file, nobody);
    await eventually('it tries', async () => (await late.client.status()).outside?.includes(nobody) === true);
    assert.match((await late.infinit('cluster', 'leave')).err, /alone again/);
    assert.match((await joining).err, /cancelled: the join was taken back/);
    await late.client.restoreVolume('old');
    const place = await late.client.mountVolume('old', 'test');
    assert.equal(await sh(`cat ${place}/f; echo works > ${place}/g; cat ${place}/g`), 'mine\nworks\n');
    await late.client.unmountVolume('old', 'test');
    await late.says('volume', 'rm', 'old');

    await late.says('cluster', 'join', '--force', file, cluster.address);
    await cluster.settled([...cluster.hosts, late]);
    const stores = await late.infinit('cluster', 'leave');
    assert.equal(stores.code, 4);
    assert.match(stores.err, /stores blocks: drain it first/);
    const drained = await h0.infinit('node', 'drain', 'late');
    assert.deepEqual([drained.code, drained.out], [0, 'late\n']);
    assert.match(drained.err, /nothing that late stores is needed any longer: say `infinit cluster leave` on it/);
    const unasked = await late.infinit('cluster', 'leave');
    assert.deepEqual(
      [unasked.code, unasked.out, unasked.err],
      [1, '', 'infinit: cancelled: this host stays in its cluster: without a terminal say --yes\n'],
    );
    assert.equal(await stateOf('late'), 'draining', 'and it did stay');
    assert.equal(await late.says('cluster', 'leave', '--yes'), 'left');
    assert.equal(await stateOf('late'), undefined);
    await late.stop();
    await late.restart();
    assert.equal((await late.client.status()).outside, 'this host has left the cluster');
    assert.match((await late.infinit('cluster', 'join', file, cluster.address)).err, /has left the cluster/);
    assert.deepEqual(
      (await late.client.listNodes()).map(({ name, state }) => [name, state]),
      [['late', 'outside']],
    );
    const { troubles, silent } = await late.client.clusterStatus();
    assert.deepEqual([troubles, silent], [[], []]);
    assert.doesNotMatch(await late.says('status'), /DOWN|token/);
  });

  test('a drain that is not waited for goes on, and is taken back', async () => {
    assert.equal(await h0.says('node', 'drain', '--detach', 'h2'), 'h2');
    await eventually('it drains', async () => (await stateOf('h2')) === 'draining');
    assert.match((await h1.infinit('node', 'drain', '--cancel', 'h2')).err, /denied: host h1 has no right to invite and expel/);
    assert.equal(await h2.says('node', 'drain', '--cancel', 'h2'), 'h2');
    await eventually('it stays', async () => (await stateOf('h2')) === 'up');
  });

  test('a token that was revoked lets nobody in; with --hosts those who came by it must go', async () => {
    const [revoked, used] = [await newToken('revoked'), await newToken('used')];
    assert.equal(await h0.says('cluster', 'token', 'revoke', revoked.id), revoked.id);
    assert.match(await h0.says('cluster', 'token', 'ls'), new RegExp(`^${revoked.id} +revoked `, 'm'));
    const guest = await newcomer('guest');
    const refused = await guest.infinit('cluster', 'join', revoked.file, cluster.address);
    assert.match(refused.err, /denied: .*token .*was revoked/);
    await guest.says('cluster', 'leave');
    await guest.says('cluster', 'join', used.file, cluster.address);
    const { peer } = await guest.client.status();
    assert.match(
      (await h0.infinit('cluster', 'token', 'revoke', '--hosts', used.id)).err,
      /cancelled: nobody was expelled: without a terminal say --yes/,
    );
    assert.equal(await h0.says('cluster', 'token', 'revoke', '--hosts', '--yes', used.id), `${used.id}\nexpelled ${peer}`);
    await eventually('it is told', async () => /was expelled/.test((await guest.client.status()).outside ?? ''));
    assert.deepEqual(
      (await guest.client.listNodes()).map(({ name }) => name),
      ['guest'],
    );
    assert.equal(await stateOf('guest'), undefined);
    assert.equal((await h0.infinit('cluster', 'token', 'revoke', 'nonsense')).code, 2);
  });

  test('node rm refuses what would lose a majority, and does it when told that it is unsafe', async () => {
    await cluster.complete();
    await h1.kill();
    await eventually('h1 is missed', async () => (await stateOf('h1')) === 'down');
    const [missing] = JSON.parse(await h0.says('node', 'inspect', 'h1')) as [{ silent: string }];
    assert.match(missing.silent, /no connection/);
    const unasked = await h0.infinit('node', 'rm', 'h2');
    assert.deepEqual([unasked.code, unasked.err], [1, 'infinit: cancelled: nobody was expelled: without a terminal say --yes\n']);
    const both = await h0.infinit('node', 'rm', '--yes', 'h2');
    assert.equal(both.code, 4);
    assert.match(both.err, /in-use: h2: while h1 is missing too, some blocks may have no majority without it.*--unsafe/);
    assert.equal(await h0.says('node', 'rm', '--yes', 'h1'), 'h1');
    await cluster.settled([h0, h2]);
    const last = await h0.infinit('node', 'rm', '--yes', 'h2');
    assert.equal(last.code, 4);
    assert.match(last.err, /h2: some blocks have no majority without it/);
    assert.equal(await h0.says('node', 'rm', '-y', '--unsafe', 'h2'), 'h2');
    await eventually('h2 is told', async () => /was expelled/.test((await h2.client.status()).outside ?? ''));
    assert.match(await h2.says('status'), /^UNAVAILABLE\n {2}- this host is no member of its cluster: .*expelled/);
  });
});
