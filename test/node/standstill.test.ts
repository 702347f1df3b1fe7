import assert from 'node:assert/strict';
import { test } from 'node:test';

import { InfinitError, silentLogger } from '../../src/base/index.ts';
import type { CatalogueEntry } from '../../src/node/volumes/catalogue-entry.ts';
import { ServedVolumes } from '../../src/node/volumes/served-volumes.ts';
import type { VolumesContext } from '../../src/node/volumes/volumes-context.ts';

const entry: CatalogueEntry = { name: 'data', id: 'd'.repeat(32), createdAt: '', options: {} };

function scene(): { readonly volumes: ServedVolumes; readonly mounting: PromiseWithResolvers<void>; readonly served: string[] } {
  const [mounting, served] = [Promise.withResolvers<void>(), [] as string[]];
  const server = {
    adoptable: () => new Map(),
    leave: () => {},
    serve: async ({ name, id }: CatalogueEntry) => {
      served.push(name);
      await mounting.promise;
      return { name, id, closed: new Promise(() => {}), stop: () => Promise.resolve() };
    },
  };
  const context = { server, table: { volumes: () => [] }, mountDir: '/nowhere', logger: silentLogger };
  return { volumes: new ServedVolumes(context as unknown as VolumesContext), mounting, served };
}

test('what is being mounted or made when a host is about to join others is seen, and what would begin meanwhile waits', async () => {
  const { volumes, mounting, served } = scene();
  await using _volumes = volumes;
  const made = Promise.withResolvers<string>();
  const mounted = volumes.serve(entry);
  const making = volumes.make(
    'new',
    () => {},
    () => made.promise,
  );
  const decided = Promise.withResolvers<void>();
  const refused = new InfinitError('unavailable', 'it joins');
  let mayMake: () => void = () => {};
  const still = volumes.standstill(async () => {
    assert.deepEqual([volumes.busy(), volumes.making()], [['data'], ['new']]);
    await decided.promise;
    mayMake = () => {
      throw refused;
    };
  });
  const later = volumes.serve({ ...entry, name: 'later', id: 'e'.repeat(32) });
  const alsoMade = volumes.make(
    'late',
    () => mayMake(),
    () => assert.fail('it joins'),
  );
  await new Promise(setImmediate);
  assert.deepEqual(served, ['data']);
  decided.resolve();
  made.resolve('new');
  mounting.resolve();
  await still;
  await assert.rejects(alsoMade, refused);
  await Promise.all([mounted, making, later]);
  assert.deepEqual([served, volumes.busy(), volumes.making()], [['data', 'later'], ['data', 'later'], []]);
});
