import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Driver } from '../../plugin/driver.ts';
import type { Membership } from '../../src/api/index.ts';
import { InfinitError, silentLogger } from '../../src/base/index.ts';
import { MemoryVolumes } from './memory-volumes.ts';

const never = new AbortController().signal;
/** Long enough not to end in a test, and short enough to be waited for. */
const patient = 60_000;
const impatient = 1;

/** A host that may be let in. */
class Gate implements Membership {
  readonly #letIn = Promise.withResolvers<void>();
  readonly names = new Set<string>();
  why: string | undefined = 'nobody answers';
  readonly expected: Membership['expected'] = {
    list: () => [...this.names],
    has: (name) => this.names.has(name),
    add: async (name) => void this.names.add(name),
    delete: async (name) => void this.names.delete(name),
  };

  whyOutside(): string | undefined {
    return this.why;
  }

  async whenInside(signal: AbortSignal): Promise<void> {
    const over = new Promise<never>((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true }));
    await Promise.race([this.#letIn.promise, over]);
  }

  letIn(): void {
    this.why = undefined;
    this.#letIn.resolve();
  }
}

function outside(joinPatienceMs: number): { readonly gate: Gate; readonly volumes: MemoryVolumes; readonly driver: Driver } {
  const [gate, volumes] = [new Gate(), new MemoryVolumes()];
  return { gate, volumes, driver: new Driver(volumes, silentLogger, { membership: gate, joinPatienceMs }) };
}

test('a question about an unknown volume waits until the host is let in, and is answered by what the cluster has', async () => {
  const { gate, volumes, driver } = outside(patient);
  const answers = Promise.all([driver.get('there'), driver.get('not-there')]);
  await volumes.create('there', {});
  gate.letIn();
  const [there, notThere] = await answers;
  assert.equal(there?.Name, 'there');
  assert.equal(notThere, undefined);
  assert.deepEqual([...gate.names], []);
});

test('a host that is not let in says that an unknown volume exists, and refuses to mount or make it with the reason', async () => {
  const { driver } = outside(impatient);
  const shown = await driver.get('data');
  assert.equal(shown?.Status['health'], 'UNAVAILABLE');
  assert.match(String(shown?.Status['reasons']), /"data" .*no member of its cluster: nobody answers/);
  await assert.rejects(driver.mount('data', 'one', never), { code: 'unavailable', message: /no member of its cluster: nobody answers/ });
  await assert.rejects(driver.create('data', null), { code: 'unavailable', message: /nobody answers/ });
  assert.deepEqual(
    (await driver.list()).map(({ Name }) => Name),
    ['data'],
  );
});

test('a name that cannot be written down is shown all the same: without an answer Docker would make a local volume', async () => {
  const { gate, driver } = outside(impatient);
  gate.expected.add = () => Promise.reject(new InfinitError('disk-full', 'the disk is full'));
  assert.equal((await driver.get('data'))?.Status['health'], 'UNAVAILABLE');
});

test('volumes that the host knows are shown at once, and anonymous ones of other drivers are nobody’s', async () => {
  const { volumes, driver } = outside(patient);
  await volumes.create('known', {});
  assert.equal((await driver.get('known'))?.Status['health'], 'HEALTHY');
  assert.equal(await driver.get('0123456789abcdef'.repeat(4)), undefined);
});

test('a name that Docker was told of stays a volume that cannot be mounted, until it is made, found or removed', async () => {
  const { gate, volumes, driver } = outside(impatient);
  for (const name of ['made', 'removed', 'found']) await driver.get(name);
  await volumes.create('found', {});
  gate.letIn();
  assert.equal((await driver.get('made'))?.Status['health'], 'UNAVAILABLE');
  await assert.rejects(driver.mount('made', 'one', never), { code: 'not-found', message: /infinit volume create made.*docker volume rm made/ });
  await volumes.create('made', {});
  assert.equal(await driver.mount('made', 'one', never), '/mounts/made');
  await driver.remove('removed', never);
  assert.equal(await driver.get('removed'), undefined);
  await driver.remove('found', never);
  assert.ok(!volumes.volumes.has('found'));
  for (const name of ['made', 'found']) await driver.get(name);
  assert.deepEqual([...gate.names], []);
});

test('a member that cannot ask the others for a moment asks again, and gives up without an answer in the end', async () => {
  const { gate, volumes, driver } = outside(patient);
  gate.letIn();
  await volumes.create('there', {});
  volumes.list = () => Promise.resolve([]);
  const inspect = volumes.inspect.bind(volumes);
  let asked = 0;
  volumes.inspect = (name) => (++asked < 3 ? Promise.reject(new InfinitError('unavailable', 'no majority answers')) : inspect(name));
  assert.equal((await driver.get('there'))?.Name, 'there');
  assert.equal(asked, 3);
  const hasty = outside(impatient);
  hasty.gate.letIn();
  hasty.volumes.trouble = new InfinitError('unavailable', 'no majority answers');
  hasty.volumes.list = () => Promise.resolve([]);
  await assert.rejects(hasty.driver.get('there'), { code: 'unavailable' });
  assert.deepEqual([...hasty.gate.names], []);
});
