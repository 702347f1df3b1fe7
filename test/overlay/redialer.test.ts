import assert from 'node:assert/strict';
import { test } from 'node:test';

import { InfinitError, systemRandom } from '../../src/base/index.ts';
import { type Dialler, Redialer } from '../../src/overlay/redialer.ts';
import type { PeerId } from '../../src/overlay/index.ts';
import { eventually } from '../suites/transport-suite.ts';
import { seeded } from '../suites/seeded.ts';

test('a session that is lost while those who hear of it are told is opened again', async () => {
  const connected = new Set<PeerId>();
  let dials = 0;
  const dialler: Dialler = {
    self: 'a',
    isConnected: (peer) => connected.has(peer),
    connectedCount: () => connected.size,
    connect: async () => {
      dials++;
      connected.add('b');
      // As a listener for peers that came up would do that drops this one: the dial is still under way.
      if (dials === 1) {
        connected.delete('b');
        redialer.lost('b');
      }
      return 'b';
    },
    lookUp: async () => [],
    onFailure: () => {},
  };
  const redialer = new Redialer(dialler, systemRandom);
  try {
    redialer.setTargets([{ peer: 'b', addresses: ['b:1'] }]);
    await eventually(() => dials === 2 && connected.has('b'), 'b is dialled again');
  } finally {
    redialer.close();
  }
});

test('the own address among the seeds is dialled until another of them answers, and no longer', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const connected = new Set<PeerId>();
  const dials: string[] = [];
  let answers = false;
  const redialer = new Redialer(
    {
      self: 'a',
      isConnected: (peer) => connected.has(peer),
      connectedCount: () => connected.size,
      connect: async (address) => {
        dials.push(address);
        if (address === 'a:1') throw new Error('Can not dial self');
        if (!answers) throw new InfinitError('unavailable', 'nobody answers');
        connected.add('b');
        return 'b';
      },
      lookUp: async () => [],
      onFailure: () => {},
    },
    systemRandom,
  );
  /** Rounds of dials, each longer than any pause. */
  const pass = async (rounds: number): Promise<number> => {
    const before = dials.filter((address) => address === 'a:1').length;
    for (let round = 0; round < rounds; round++) {
      t.mock.timers.tick(5000);
      await new Promise((resolve) => setImmediate(resolve));
    }
    return dials.filter((address) => address === 'a:1').length - before;
  };
  redialer.setSeeds(['a:1', 'b:1']);
  assert.equal(await pass(5), 5);
  answers = true;
  await pass(2);
  assert.deepEqual([...connected], ['b']);
  assert.equal(await pass(5), 0);
  redialer.close();
});

/** What a redialer sees: hosts that come and go, dials that take a while, and connections that others open or break. */
class Turmoil {
  readonly connected = new Set<PeerId>();
  readonly redialer: Redialer;
  readonly #random: () => number;
  readonly #waiting: (() => void)[] = [];
  calm = false;

  constructor(random: () => number) {
    this.#random = random;
    this.redialer = new Redialer(
      {
        self: 'm',
        isConnected: (peer) => this.connected.has(peer),
        connectedCount: () => this.connected.size,
        connect: (address) => this.#dial(address.split(':')[0]!),
        lookUp: async () => [],
        onFailure: () => {},
      },
      { ...systemRandom, unit: random },
    );
  }

  async #dial(peer: PeerId): Promise<PeerId> {
    await new Promise<void>((resolve) => (this.calm ? resolve() : this.#waiting.push(resolve)));
    const lot = this.calm ? 1 : this.#random();
    if (lot < 0.3) throw new InfinitError('unavailable', 'nobody answers');
    if (lot < 0.4) throw new InfinitError('conflict', 'it dials itself');
    this.connected.add(peer);
    if (lot < 0.6) this.lose(peer);
    return peer;
  }

  lose(peer: PeerId): void {
    if (this.connected.delete(peer)) this.redialer.lost(peer);
  }

  /** One thing happens. */
  step(peers: readonly PeerId[], addresses: number): void {
    const peer = peers[Math.floor(this.#random() * peers.length)]!;
    const lot = this.#random();
    if (lot < 0.3) this.#waiting.splice(Math.floor(this.#random() * this.#waiting.length), 1)[0]?.();
    else if (lot < 0.5) this.lose(peer);
    else if (lot < 0.6) this.connected.add(peer);
    else if (lot < 0.75)
      this.redialer.setTargets(peers.filter(() => this.#random() < 0.7).map((each) => ({ peer: each, addresses: [`${each}:${addresses}`] })));
    else if (lot < 0.8) this.redialer.setSeeds(this.#random() < 0.5 ? [] : ['s:1', 't:1']);
  }

  settle(): void {
    this.calm = true;
    for (const go of this.#waiting.splice(0)) go();
  }
}

test('whatever happened, once the network is well all targets are connected', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  const peers = Array.from({ length: 20 }, (_, index) => String.fromCharCode(97 + index)).filter((peer) => !'mst'.includes(peer));
  for (let seed = 1; seed <= 40; seed++) {
    const random = seeded(seed);
    const world = new Turmoil(random);
    for (let step = 0; step < 150; step++) {
      world.step(peers, 1 + Math.floor(random() * 2));
      t.mock.timers.tick(Math.floor(random() * 300));
      if (step % 3 === 0) await turn();
    }
    world.redialer.setTargets(peers.map((peer) => ({ peer, addresses: [`${peer}:1`] })));
    world.redialer.setSeeds(['s:1']);
    world.settle();
    for (let round = 0; round < 40 && !peers.every((peer) => world.connected.has(peer)); round++) {
      t.mock.timers.tick(500);
      for (let count = 0; count < 4; count++) await turn();
    }
    assert.deepEqual(
      peers.filter((peer) => !world.connected.has(peer)),
      [],
      `seed ${seed}`,
    );
    world.redialer.close();
  }
});
