import { test } from 'node:test';

import { SeededRandom } from '../simulation/random.ts';
import { TestCluster } from './test-cluster.ts';
import { Workload } from './workload.ts';

const steps = 40;
const stepMs = 120;
const maxHosts = 7;
const minHosts = 4;

/**
 * Hosts that come, leave, crash, come back, are counted out and return, drawn at random, while others write. One failure at a time is what three
 * copies promise to survive: nothing acknowledged may be lost and no read may go back.
 */
async function story(seed: number): Promise<void> {
  const random = new SeededRandom(seed);
  const members = ['host-0', 'host-1', 'host-2', 'host-3', 'host-4'];
  await using cluster = await TestCluster.of(members);
  let next = members.length;
  let down: string | undefined;
  let outcast: string | undefined;
  const appendView = (): void => cluster.views.append(members);
  const workload = new Workload(cluster, 6);
  await workload.fill(6);
  workload.start(2);
  for (let step = 0; step < steps; step++) {
    await new Promise((resolve) => setTimeout(resolve, random.between(0, 2 * stepMs)));
    const draw = random.unit();
    const mayChange = cluster.views.list.length < 3;
    if (down === undefined && draw < 0.3) {
      down = random.pick(members);
      await cluster.crash(down);
    } else if (down !== undefined && draw < 0.6) {
      await cluster.open(down);
      down = undefined;
    } else if (down !== undefined && outcast === undefined && members.length > minHosts && mayChange) {
      // Silent for too long: the others go on without it.
      members.splice(members.indexOf(down), 1);
      cluster.views.countOut(down);
      appendView();
      [outcast, down] = [down, undefined];
    } else if (outcast !== undefined && cluster.views.list.length === 1) {
      const { store } = await cluster.open(outcast);
      await store.housekeeping.loseEverything([...cluster.views.countedOut]);
      cluster.views.countedOut.delete(outcast);
      members.push(outcast);
      appendView();
      outcast = undefined;
    } else if (down === undefined && members.length < maxHosts && mayChange && draw < 0.8) {
      const name = `host-${next++}`;
      await cluster.open(name);
      members.push(name);
      appendView();
    } else if (down === undefined && members.length > minHosts && mayChange) {
      members.splice(random.below(members.length), 1);
      appendView();
    }
  }
  if (down !== undefined) await cluster.open(down);
  await workload.stop();
  await cluster.settled([...workload.registers, ...workload.copies]);
  await workload.verify();
}

for (const seed of [1, 2, Date.now() % 1e6])
  test(`hosts come, leave, crash and return at random: story ${seed}`, { timeout: 300_000 }, () => story(seed));
