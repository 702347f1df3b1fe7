import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { type Clock, systemClock } from '../../src/base/index.ts';
import { type Address, mutableAddress, namedAddress } from '../../src/block/index.ts';
import { rosterAddress } from '../../src/membership/roster-state.ts';
import { place } from '../../src/placement/index.ts';
import type { Store } from '../../src/store/index.ts';
import { type Host, Hosts, until } from './hosts.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

async function write(store: Store, text: string, address: Address = mutableAddress()): Promise<Address> {
  const result = await store.commit([{ update: [{ address, expect: 'any', payload: bytes(text) }] }]);
  assert.ok(result.done, JSON.stringify(result));
  return address;
}

async function readText(store: Store, address: Address, deadlineMs = 5000): Promise<string | undefined> {
  const block = await store.fetch(address, { deadlineMs });
  return block === undefined ? undefined : Buffer.from(block.payload).toString();
}

/** A register that this host holds. */
function registerAt(host: Host, peer: string): Address {
  const [view] = host.membership.inForce();
  for (;;) {
    const address = mutableAddress();
    if (place(address, view!.roster, 3).includes(peer)) return address;
  }
}

function newest(host: Host): { readonly number: number; readonly id: string } {
  const view = host.membership.inForce().at(-1)!;
  return { number: view.number, id: view.roster.id };
}

const standing = (host: Host): string => host.membership.status().standing;

describe('views of the roster', { concurrency: 8 }, () => {
  test('hosts that change them at once, not hearing of each other, agree on one list', async () => {
    const { cluster, hosts } = await Hosts.of(5);
    await using _ = cluster;
    // Each of them believes that it is the only one to look after the roster.
    const names = hosts.map(({ self }) => self);
    for (const one of names.slice(0, 3))
      cluster.separate(
        [one],
        names.slice(0, 3).filter((other) => other !== one),
      );
    await Promise.all(['h5', 'h6', 'h7'].map((name) => cluster.start(name)));
    await until(() => cluster.running.some((host) => host.membership.status().hosts === 8));
    cluster.network.heal();
    await cluster.settled(8);
    assert.equal(new Set(cluster.running.map((host) => JSON.stringify(newest(host)))).size, 1);
  });

  test('a hundred hosts that come together are taken in, in few views, and ask each other little', async () => {
    await using cluster = new Hosts({ tickMs: 250 });
    const first = await cluster.found('h0');
    await Promise.all(Array.from({ length: 99 }, (_, index) => cluster.start(`h${index + 1}`)));
    await cluster.settled(100, 60_000);
    assert.ok(newest(first).number <= 6, `view ${newest(first).number}`);
    const before = first.transport.traffic().sentMessages;
    await new Promise((resolve) => setTimeout(resolve, 2000));
    const messages = first.transport.traffic().sentMessages - before;
    assert.ok(messages < 100, `${messages} messages of one host in two seconds`);
  });

  test('a host that is down while they change holds back the old view, and catches up', async () => {
    const { cluster, hosts } = await Hosts.of(4);
    await using _ = cluster;
    const address = await write(hosts[0]!.store, 'before');
    await hosts[3]!.stop();
    await cluster.start('h4');
    await until(() => cluster.running.every((host) => newest(host).number > newest(hosts[3]!).number));
    const status = hosts[0]!.membership.status();
    assert.equal(status.views.length, 2, 'the host that is down knows the older one only');
    assert.equal(await readText(hosts[1]!.store, address), 'before');
    const back = await cluster.start('h3');
    await cluster.settled(5);
    assert.equal(standing(back), 'member', 'it was not counted out: all that it held is good');
    assert.equal(await readText(back.store, address), 'before');
  });

  test('they stay as they are while the block that says them is out of reach, and that is said', async () => {
    const { cluster, hosts } = await Hosts.of(3);
    await using _ = cluster;
    const before = newest(hosts[0]!);
    cluster.separate(['h0'], ['h1', 'h2']);
    cluster.separate(['h1'], ['h2']);
    await cluster.start('h3');
    await until(() => hosts.some((host) => host.membership.status().troubles.some((trouble) => /cannot be changed/.test(trouble))));
    for (const host of hosts) assert.deepEqual(newest(host), before);
    cluster.network.heal();
    await cluster.settled(4);
    await until(() => hosts.every((host) => host.membership.status().troubles.length === 0));
  });

  test('what a host knows of them survives its restart, though nobody else is there', async () => {
    const { cluster, hosts } = await Hosts.of(3);
    await using _ = cluster;
    const before = newest(hosts[1]!);
    for (const host of hosts) await host.stop();
    const back = await cluster.start('h1');
    assert.deepEqual(newest(back), before);
    assert.equal(back.membership.hasSay, false, 'it may have been counted out meanwhile');
    const other = await cluster.start('h2');
    await until(() => back.membership.hasSay && other.membership.hasSay);
    // Hosts that restarted wait out the leases that they may have granted before, and both are needed.
    assert.equal(await readText(back.store, await write(other.store, 'two of three'), 20_000), 'two of three');
  });
});

describe('hosts that fall silent', { concurrency: 8 }, () => {
  test('one is counted out after the delay, and others have its copies', async () => {
    const { cluster, hosts } = await Hosts.of(5, { evictionDelayMs: 1000 });
    await using _ = cluster;
    const addresses = await Promise.all(Array.from({ length: 20 }, (_, index) => write(hosts[0]!.store, String(index))));
    await hosts[4]!.stop();
    await cluster.settled(4);
    const [view] = hosts[0]!.membership.inForce();
    assert.deepEqual([...hosts[0]!.membership.countedOut()], ['h4']);
    for (const [index, address] of addresses.entries()) {
      assert.equal(await readText(hosts[1]!.store, address), String(index));
      const { accepted } = (await hosts[0]!.store.housekeeping.inspect(address)) ?? {};
      if (accepted?.pointer === false) assert.deepEqual(accepted.record.replicas.toSorted(), place(address, view!.roster, 3).sort());
    }
  });

  test('the time of silence goes on over restarts of those who count it', async () => {
    const { cluster, hosts } = await Hosts.of(4, { evictionDelayMs: 4000 });
    await using _ = cluster;
    await hosts[3]!.stop();
    const began = performance.now();
    for (let round = 0; round < 3; round++) {
      await new Promise((resolve) => setTimeout(resolve, 1500));
      for (const name of ['h0', 'h1', 'h2']) {
        await cluster.hosts.get(name)!.stop();
        await cluster.start(name);
      }
    }
    await cluster.settled(3);
    assert.ok(performance.now() - began >= 4000);
  });

  test('two are replaced, but neither is counted out; when one is back the other is', async () => {
    const { cluster, hosts } = await Hosts.of(6, { evictionDelayMs: 1000 });
    await using _ = cluster;
    const kept = place(rosterAddress('cluster'), hosts[0]!.membership.inForce()[0]!.roster, 3).slice(0, 2);
    const [first, second] = hosts.filter(({ self }) => !kept.includes(self)).slice(0, 2);
    await first!.stop();
    await second!.stop();
    const witness = cluster.running[0]!;
    await until(() => witness.membership.status().hosts === 4);
    await until(() =>
      cluster.running.some((host) =>
        host.membership.status().troubles.some((trouble) => /is not counted out: while h\d is missing too/.test(trouble)),
      ),
    );
    assert.deepEqual([...witness.membership.countedOut()], []);
    const back = await cluster.start(first!.self);
    await cluster.settled(5);
    assert.equal(standing(back), 'member');
    assert.deepEqual([...back.membership.countedOut()], [second!.self]);
  });

  test('one that comes back after it was counted out gives up what it held before it says anything, and is taken in', async () => {
    const { cluster, hosts } = await Hosts.of(5, { evictionDelayMs: 1000 });
    await using _ = cluster;
    const address = namedAddress('owner', 'name');
    await write(hosts[0]!.store, 'old', address);
    const gone = hosts.find(({ self }) => place(address, hosts[0]!.membership.inForce()[0]!.roster, 3).includes(self))!;
    await gone.stop();
    await cluster.settled(4);
    const other = cluster.running[0]!;
    await write(other.store, 'new', address);
    const back = await cluster.start(gone.self);
    await cluster.settled(5);
    assert.equal(standing(back), 'member');
    assert.deepEqual([...back.membership.countedOut()], []);
    for (const host of cluster.running) assert.equal(await readText(host.store, address), 'new');
  });

  test('one that comes back before anybody relies on its being gone loses nothing, and has a say again', async () => {
    const { cluster, hosts } = await Hosts.of(5, { evictionDelayMs: 1000 });
    await using _ = cluster;
    const address = await write(hosts[0]!.store, 'kept', registerAt(hosts[0]!, 'h4'));
    const { accepted } = (await hosts[4]!.store.housekeeping.inspect(address))!;
    cluster.separate(['h4'], ['h0', 'h1', 'h2', 'h3']);
    await until(() => cluster.running.some(({ membership }) => membership.status().countedOut.includes('h4')));
    let told = false;
    hosts[4]!.membership.onChange(() => (told ||= hosts[4]!.membership.status().countedOut.includes('h4') && !hosts[4]!.membership.hasSay));
    cluster.network.heal();
    await cluster.settled(5);
    assert.ok(told, 'it was counted out, and knew');
    assert.equal(standing(hosts[4]!), 'member');
    const after = (await hosts[4]!.store.housekeeping.inspect(address))!;
    assert.deepEqual([after.lost, after.accepted?.record.value], [false, accepted!.record.value]);
    await until(() => hosts[4]!.membership.hasSay);
  });

  test('one that is cut off has no say any longer when it is counted out, whoever reaches it', async () => {
    const { cluster, hosts } = await Hosts.of(5, { evictionDelayMs: 1000 });
    await using _ = cluster;
    const cut = hosts[4]!;
    cluster.separate(['h4'], ['h0', 'h1', 'h2', 'h3']);
    await until(() => cluster.running.some((host) => host.membership.countedOut().has('h4')));
    assert.equal(cut.membership.hasSay, false);
    assert.equal(standing(cut), 'member', 'nobody could tell it');
    cluster.network.heal();
    await cluster.settled(5);
    assert.ok(cut.membership.hasSay);
  });

  test('one that was suspended has no say before others confirm that it was not counted out', async () => {
    let asleepMs = 0;
    const sleeper: Clock = { monotonicMs: () => systemClock.monotonicMs(), wallMs: () => systemClock.wallMs() + asleepMs };
    const { cluster, hosts } = await Hosts.of(3, { clockOf: (self) => (self === 'h2' ? sleeper : systemClock) });
    await using _ = cluster;
    const { membership } = hosts[2]!;
    await until(() => membership.hasSay);
    cluster.separate(['h2'], ['h0', 'h1']);
    assert.equal(membership.hasSay, true);
    asleepMs = 60_000;
    assert.equal(membership.hasSay, false);
    cluster.network.heal();
    await until(() => membership.hasSay);
  });

  test('a minority that is cut off changes nothing, and the majority goes on', async () => {
    const { cluster, hosts } = await Hosts.of(5, { evictionDelayMs: 1000 });
    await using _ = cluster;
    const before = newest(hosts[0]!);
    cluster.separate(['h0', 'h1'], ['h2', 'h3', 'h4']);
    await until(() => hosts[2]!.membership.status().hosts === 3);
    for (const host of hosts.slice(0, 2)) assert.deepEqual(newest(host), before);
    assert.deepEqual([...hosts[2]!.membership.countedOut()], [], 'together they may be the majority of a block');
    cluster.network.heal();
    await cluster.settled(5);
    for (const host of hosts) assert.equal(standing(host), 'member');
  });

  test('one that was away while all views that it knows passed, and all that it knew of left, is taken in as new', async () => {
    const { cluster, hosts } = await Hosts.of(4, { evictionDelayMs: 1000 });
    await using _ = cluster;
    await write(hosts[0]!.store, 'old', namedAddress('owner', 'name'));
    await hosts[3]!.stop();
    await cluster.settled(3);
    // All others are replaced one by one.
    for (const [index, name] of ['h0', 'h1', 'h2'].entries()) {
      await cluster.start(`n${index}`);
      await cluster.settled(4);
      cluster.records.set(name, { ...cluster.records.get(name)!, state: 'draining' });
      await cluster.settled(3);
      await until(
        () =>
          !cluster.hosts
            .get(name)!
            .membership.inForce()
            .some(({ roster }) => roster.get(name) !== undefined),
      );
      await cluster.hosts.get(name)!.stop();
      cluster.records.delete(name);
    }
    const back = await cluster.start('h3');
    await cluster.settled(4);
    assert.equal(standing(back), 'member');
    assert.equal(await readText(back.store, namedAddress('owner', 'name')), 'old');
  });
});

describe('hosts that go', { concurrency: 8 }, () => {
  test('one that drains stores nothing when it is through, and blocks have all copies', async () => {
    const { cluster, hosts } = await Hosts.of(4);
    await using _ = cluster;
    const addresses = await Promise.all(Array.from({ length: 20 }, (_, index) => write(hosts[0]!.store, String(index))));
    cluster.records.set('h3', { ...cluster.records.get('h3')!, state: 'draining' });
    await cluster.settled(3);
    await until(() => standing(hosts[3]!) === 'fresh');
    await hosts[3]!.stop();
    await hosts[0]!.stop();
    for (const [index, address] of addresses.entries()) assert.equal(await readText(hosts[1]!.store, address), String(index));
  });

  test('one that was expelled is not waited for; a second one may not be while blocks lack copies', async () => {
    const { cluster, hosts } = await Hosts.of(4, { evictionDelayMs: 8000 });
    await using _ = cluster;
    for (const host of hosts) host.moves = false;
    await hosts[3]!.stop();
    assert.equal(hosts[0]!.membership.whyItMustStay('h3'), undefined);
    cluster.revoked.add('h3');
    cluster.records.delete('h3');
    await until(() => hosts[0]!.membership.countedOut().has('h3'));
    assert.match(hosts[0]!.membership.whyItMustStay('h2')!, /h3 is missing too/);
    for (const host of hosts) host.moves = true;
    await cluster.start('h4');
    await cluster.settled(4);
    assert.equal(hosts[0]!.membership.whyItMustStay('h2'), undefined);
  });
});
