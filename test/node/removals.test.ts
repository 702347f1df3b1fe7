/** Hosts that are expelled at the same time, by one daemon or by two. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { nodeKinds } from '../../src/node/kinds.ts';
import { Removals, type RemovalsContext } from '../../src/node/members/removals.ts';
import { MemoryNetwork, type MemoryTransport } from '../../src/overlay/index.ts';

/** Four hosts of which any one may go, and `a` and `c` may expel. */
class Scene implements AsyncDisposable {
  readonly network = new MemoryNetwork();
  readonly revoked = new Set<string>();
  readonly removals = new Map<string, Removals>();
  readonly transports = new Map<string, MemoryTransport>();

  constructor(names: readonly string[] = ['a', 'b', 'c', 'd']) {
    for (const name of names) {
      const transport = this.network.open(name);
      this.transports.set(name, transport);
      const overlay = {
        transport,
        member: (peer: string) => ({ name: `host ${peer}` }),
        rightsOf: (peer: string) => (['a', 'c'].includes(peer) ? ['invite'] : ['store', 'write']),
        // To sign it, and to tell it, takes a while.
        revokeHost: async (peer: string) => {
          await sleep(20);
          this.revoked.add(peer);
        },
      };
      const whyItMustStay = (peer: string, beside: ReadonlySet<string> = new Set()): string | undefined =>
        new Set([...this.revoked, ...beside, peer]).size > 1 ? 'some blocks have no majority without it' : undefined;
      this.removals.set(name, new Removals({ overlay, membership: { whyItMustStay } } as unknown as RemovalsContext));
    }
  }

  remove(by: string, peer: string, unsafe = false): Promise<void> {
    return this.removals.get(by)!.remove(peer, `host ${peer}`, unsafe);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const transport of this.transports.values()) await transport[Symbol.asyncDispose]();
  }
}

test('of two hosts that one daemon is told to expel at once, and of which only one may go, one stays', async () => {
  await using scene = new Scene();
  const done = await Promise.allSettled([scene.remove('a', 'b'), scene.remove('a', 'd')]);
  assert.deepEqual(
    done.map(({ status }) => status),
    ['fulfilled', 'rejected'],
  );
  assert.deepEqual([...scene.revoked], ['b']);
});

test('of two hosts that two daemons are told to expel at once, and of which only one may go, at least one stays', async () => {
  for (const delayMs of [0, 3]) {
    await using scene = new Scene();
    scene.network.setDelay(() => delayMs);
    const done = await Promise.allSettled([scene.remove('a', 'b'), scene.remove('c', 'd')]);
    assert.ok(scene.revoked.size <= 1, [...scene.revoked].join());
    for (const each of done)
      if (each.status === 'rejected') assert.match(String(each.reason), /host [bd]: some blocks .* while host [bd] is being expelled too/);
    // What was not done is no hindrance afterwards.
    if (scene.revoked.size === 0) await scene.remove('a', 'b');
  }
});

test('a host that is about to leave knows who is being expelled', async () => {
  await using scene = new Scene();
  const leaver = scene.removals.get('d')!;
  assert.equal(leaver.whyItMustStay('d'), undefined);
  const removing = scene.remove('a', 'b');
  await sleep(10);
  assert.match(leaver.whyItMustStay('d')!, /majority/);
  await removing;
});

test('who may not expel keeps nobody from expelling, and one that does not answer is named', async () => {
  await using scene = new Scene(['a', 'c']);
  const x = scene.network.open('x');
  x.handle(nodeKinds.expelling, () => Buffer.from('["b","c"]'));
  await x.request('a', nodeKinds.expelling, Buffer.from('{"peer":"c","on":true}'));
  await scene.remove('a', 'b');
  const y = scene.network.open('y');
  y.handle(nodeKinds.expelling, () => Promise.reject(new Error('busy')));
  scene.revoked.clear();
  await assert.rejects(scene.remove('a', 'b'), { code: 'unavailable', message: /host y .*does not say/ });
  assert.equal(scene.revoked.size, 0);
  await scene.remove('a', 'b', true);
  assert.deepEqual([...scene.revoked], ['b']);
  for (const transport of [x, y]) await transport[Symbol.asyncDispose]();
});
