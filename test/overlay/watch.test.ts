import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { ringNeighbours } from '../../src/overlay/membership/ring.ts';
import { WatchWorld } from './watch-world.ts';

/** What a frozen host may take to be found, in the world's own time: an interval after its silence is long enough, and messages. */
const foundMs = 1515;
const seeds = Array.from({ length: 12 }, (_, index) => index + 1);

/** Of live hosts nobody is given up. */
function assertNoFalseAlarm(world: WatchWorld, gone: readonly string[]): void {
  for (const pair of world.dropped.keys()) {
    const [a, b] = pair.split('>') as [string, string];
    assert.ok(gone.includes(a) || gone.includes(b), `${pair} was dropped at ${world.dropped.get(pair)}, though both live`);
  }
}

/** Every live host has given up every one that is gone. */
function assertFound(world: WatchWorld, gone: readonly string[]): void {
  for (const name of world.names)
    for (const lost of gone) if (!gone.includes(name)) assert.ok(!world.isConnected(name, lost), `${name} still takes ${lost} for alive`);
}

describe('the ring', () => {
  test('few hosts watch all others; of many each is watched by those that it watches, some 2 log₂ N', () => {
    for (const count of [2, 3, 7, 8, 12, 33, 100, 300]) {
      const names = Array.from({ length: count }, (_, index) => `${(index * 7919) % 1000}`);
      const watchedBy = new Map(
        names.map((name) => [
          name,
          ringNeighbours(
            name,
            names.filter((other) => other !== name),
          ),
        ]),
      );
      for (const [name, watched] of watchedBy) {
        assert.ok(!watched.has(name));
        for (const peer of watched) assert.ok(watchedBy.get(peer)!.has(name));
        assert.ok(count > 7 ? watched.size <= 2 * Math.log2(count) : watched.size === count - 1);
      }
    }
  });
});

describe('hosts that watch each other', () => {
  test('whoever freezes is given up by all, those that do not watch it too, and nobody else is', () => {
    for (const seed of seeds) {
      const world = new WatchWorld(seed, 8 + Math.floor(seed * 4.5));
      world.run(3000 + world.unit() * 1000);
      const gone = world.names.filter(() => world.unit() < (seed % 3) * 0.12 + 0.02);
      for (const name of gone) world.freeze(name);
      world.run(foundMs);
      assertFound(world, gone);
      world.run(3000);
      assertNoFalseAlarm(world, gone);
    }
  });

  test('one that is cut off from all gives up all as soon', () => {
    for (const seed of seeds) {
      const world = new WatchWorld(seed, 40);
      world.run(2000 + world.unit() * 1000);
      const lonely = world.pick(world.names);
      for (const name of world.names) if (name !== lonely) world.cut(lonely, name);
      world.run(foundMs);
      assertFound(world, [lonely]);
      assert.equal(world.hosts.get(lonely)!.lines.size, 0);
      assertNoFalseAlarm(world, [lonely]);
    }
  });

  test('a cut between halves is found by both', () => {
    for (const seed of seeds) {
      const world = new WatchWorld(seed, 30);
      world.run(2000 + world.unit() * 1000);
      const side = world.names.filter(() => world.unit() < 0.5);
      const other = world.names.filter((name) => !side.includes(name));
      for (const a of side) for (const b of other) world.cut(a, b);
      world.run(foundMs);
      for (const a of side) for (const b of other) assert.ok(!world.isConnected(a, b) && !world.isConnected(b, a), `${a} and ${b}`);
    }
  });

  test('where the wire between two hosts alone is cut, whoever says something to the other finds it', () => {
    for (const seed of seeds) {
      const world = new WatchWorld(seed, 40);
      const [a] = world.names;
      const near = ringNeighbours(a!, world.names.slice(1));
      const b = world.pick(world.names.slice(1).filter((name) => !near.has(name)));
      world.run(2000);
      world.cut(a!, b);
      world.run(5000);
      // Nobody needs to know.
      assert.ok(world.isConnected(a!, b));
      world.run(world.unit() * 250);
      world.say(a!, b);
      world.run(foundMs);
      assert.ok(!world.isConnected(a!, b));
      assertNoFalseAlarm(world, [a!]);
    }
  });

  test('hosts that pause, while they talk, are not given up', () => {
    for (const seed of seeds) {
      const world = new WatchWorld(seed, 30);
      for (let index = 0; index < 400; index++)
        world.at(world.unit() * 20_000, () => {
          const [a, b] = [world.pick(world.names), world.pick(world.names)];
          if (a !== b && !world.hosts.get(a)!.frozen) world.say(a, b);
        });
      for (let index = 0; index < 20; index++)
        world.at(1000 * index, () => {
          const name = world.pick(world.names);
          world.freeze(name);
          world.at(world.unit() * 700, () => world.thaw(name));
        });
      world.run(22_000);
      assert.deepEqual([...world.dropped], []);
    }
  });

  test('a host that froze blames nobody when it goes on', () => {
    for (const seed of seeds) {
      const world = new WatchWorld(seed, 20);
      world.run(2000);
      const name = world.pick(world.names);
      world.freeze(name);
      world.run(10_000);
      world.thaw(name);
      world.run(3000);
      assert.ok([...world.dropped.keys()].every((pair) => !pair.startsWith(name)));
      assertNoFalseAlarm(world, [name]);
    }
  });

  test('hosts of an earlier version, which hear from all or take them for lost, are content, and frozen ones are found', () => {
    for (const seed of seeds) {
      const world = new WatchWorld(seed, 24, 6 + seed);
      world.run(10_000);
      assert.deepEqual([...world.dropped], []);
      const gone = [world.pick(world.names), world.pick(world.names)];
      for (const name of gone) world.freeze(name);
      world.run(foundMs);
      const old = world.names.slice(0, 6 + seed);
      for (const name of world.names)
        for (const lost of gone) if (!gone.includes(name) && old.includes(name)) assert.ok(!world.isConnected(name, lost));
      assertNoFalseAlarm(world, gone);
    }
  });

  test('a hundred hosts with nothing to say send a tenth of what each to all would be', () => {
    const world = new WatchWorld(1, 100);
    world.run(2000);
    const before = world.hosts.get('h050')!.sent;
    world.run(10_000);
    const sent = world.hosts.get('h050')!.sent - before;
    assert.ok(sent <= 4 * 10 * 14, `${sent} in ten seconds`);
  });
});
