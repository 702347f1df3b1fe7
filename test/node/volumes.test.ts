import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';

import { noVolume, noVolumeToRemove } from '../../src/api/index.ts';
import { InfinitError, silentLogger } from '../../src/base/index.ts';
import type { CatalogueEntry } from '../../src/node/volumes/catalogue-entry.ts';
import { Cluster, type ClusterContext } from '../../src/node/members/cluster.ts';
import { nodeKinds } from '../../src/node/kinds.ts';
import { NotWrittenOut } from '../../src/node/volumes/served-volume.ts';
import { holdersInWords } from '../../src/node/mounts/holder-names.ts';
import { Volumes } from '../../src/node/volumes/volumes.ts';
import type { VolumesContext } from '../../src/node/volumes/volumes-context.ts';

interface Before {
  /** Of the daemon before: a mount that outlived it, and one whose holders are known. */
  readonly adoptable: readonly string[];
  readonly held: readonly string[];
  /** Until then nothing is mounted. */
  readonly gate: Promise<void>;
  /** What attempts to serve a mount that outlived its daemon fail with. */
  readonly failures?: Error[];
  /** Copies that the cluster keeps at this moment. */
  readonly replicas?: () => string;
}

/** The volumes of a host alone, with a catalogue in memory; `unmount`: what the unmount of a served one comes to. */
function volumesOn(
  directory: string,
  unmount: (how: { readonly discard: boolean }) => Promise<void>,
  { adoptable, held, gate, failures = [], replicas }: Before = { adoptable: [], held: [], gate: Promise.resolve() },
): Volumes {
  const entries = new Map<string, CatalogueEntry>();
  const trash: CatalogueEntry[] = [];
  const holders = new Set<string>();
  const find = (name: string): Promise<CatalogueEntry | undefined> => Promise.resolve(entries.get(name));
  const context = {
    hostName: 'host',
    mountDir: directory,
    keyDir: path.join(directory, 'keys'),
    fallbacks: () => (replicas === undefined ? {} : { replicas: replicas() }),
    logger: silentLogger,
    catalogue: {
      add: (entry: CatalogueEntry) => {
        if (!entries.has(entry.name)) entries.set(entry.name, entry);
        return Promise.resolve(entries.get(entry.name)!);
      },
      find,
      current: find,
      known: (name: string) => entries.get(name),
      list: () => Promise.resolve([...entries.values()]),
      remove: (entry: CatalogueEntry) => {
        entries.delete(entry.name);
        trash.push({ ...entry, trashedAt: new Date(0).toISOString() });
        return Promise.resolve();
      },
      trash: () => Promise.resolve(trash),
    },
    table: {
      volumes: () => held,
      idOf: () => undefined,
      add: (_name: string, _id: string, holder: string) => Promise.resolve(void holders.add(holder)),
      deleteVolume: () => Promise.resolve(),
      delete: (_name: string, holder: string) => Promise.resolve(void holders.delete(holder)),
      holders: () => [...holders],
    },
    server: {
      adoptable: () => new Map(adoptable.map((name) => [name, undefined])),
      keeps: (name: string) => adoptable.includes(name),
      giveUp: () => Promise.resolve(),
      leave: () => {},
      serve: async ({ name, id }: CatalogueEntry, mountpoint: string) => {
        await gate;
        const failure = failures.shift();
        if (failure !== undefined) throw failure;
        const usage = (): Promise<unknown> => Promise.resolve({ name, usedBytes: 7, sizeBytes: 0, inodes: 1 });
        return {
          apply: () => {},
          name,
          id,
          mountpoint,
          detached: false,
          closed: new Promise(() => {}),
          stop: () => Promise.resolve(),
          unmount,
          usage,
        };
      },
    },
    whyOutside: () => undefined,
    checkWrites: () => {},
    health: () => ({ state: 'UNAVAILABLE', reasons: ['no majority answers'] }),
    mountedElsewhere: () => Promise.resolve([]),
    usedElsewhere: () => Promise.resolve([]),
    removalTimeMs: () => Promise.resolve(Date.now()),
    onCatalogueChange: () => {},
  };
  return new Volumes(context as unknown as VolumesContext);
}

test('whoever unmounts or removes a volume hears that its last writes are not written out', async (t) => {
  const directory = mkdtempSync(path.join(tmpdir(), 'infinit-volumes-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const discards: boolean[] = [];
  await using volumes = volumesOn(directory, ({ discard }) => {
    discards.push(discard);
    return discard ? Promise.resolve() : Promise.reject(new NotWrittenOut('data', new InfinitError('disk-full', 'no room')));
  });
  await volumes.create('data', {});
  await volumes.mount('data', 'someone');
  await assert.rejects(volumes.unmount('data', 'someone'), { code: 'disk-full' });
  await assert.rejects(volumes.remove('data'), { code: 'disk-full' });
  await volumes.remove('data', { force: true });
  assert.deepEqual(discards, [false, false, true]);
});

test('a volume is shown with the copies that the cluster keeps now, whatever it was made with', async (t) => {
  const directory = mkdtempSync(path.join(tmpdir(), 'infinit-volumes-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  let replicas = '3';
  const before = { adoptable: [], held: [], gate: Promise.resolve(), replicas: () => replicas };
  await using volumes = volumesOn(directory, () => Promise.resolve(), before);
  await volumes.create('data', {});
  replicas = '1';
  assert.deepEqual(
    (await volumes.list()).map(({ name, options }) => [name, options['replicas']]),
    [['data', '1']],
  );
});

test('a removal that took too long says what hinders the host', async (t) => {
  const directory = mkdtempSync(path.join(tmpdir(), 'infinit-volumes-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const causes = ['deadline-exceeded', 'disk-full'] as const;
  const failures = causes.map((code) => new NotWrittenOut('data', new InfinitError(code, 'said why')));
  await using volumes = volumesOn(directory, ({ discard }) => (discard ? Promise.resolve() : Promise.reject(failures.shift()!)));
  await volumes.create('data', {});
  await volumes.mount('data', 'someone');
  const words = 'the last writes to volume "data" are not written out: said why';
  await assert.rejects(volumes.unmount('data', 'someone'), {
    code: 'deadline-exceeded',
    message: `${words}; the host is UNAVAILABLE: no majority answers`,
  });
  await assert.rejects(volumes.remove('data'), { code: 'disk-full', message: words });
  await volumes.remove('data', { force: true });
});

test('a host whose daemon is back says that it uses what it has yet to mount again', async (t) => {
  const directory = mkdtempSync(path.join(tmpdir(), 'infinit-volumes-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const gate = Promise.withResolvers<void>();
  await using volumes = volumesOn(directory, () => Promise.resolve(), { adoptable: ['outlived'], held: ['held', 'gone'], gate: gate.promise });
  const ids = new Map<string, string>();
  for (const name of ['outlived', 'held', 'new', 'unused']) ids.set(name, (await volumes.create(name, {})).id);
  const handlers = new Map<number, (peer: string, body: Uint8Array) => Promise<Uint8Array>>();
  const transport = { handle: (kind: number, handler: never) => void handlers.set(kind, handler), onPeerUp: () => {} };
  using _cluster = new Cluster({ overlay: { transport }, volumes } as unknown as ClusterContext);
  const used = async (): Promise<readonly string[]> => {
    const out: string[] = [];
    for (const [name, id] of ids) {
      const answer = await handlers.get(nodeKinds.volumeHolders)!('other', Buffer.from(id, 'hex'));
      if ((JSON.parse(Buffer.from(answer).toString()) as unknown[]).length > 0) out.push(name);
    }
    return out;
  };
  assert.deepEqual(await used(), ['outlived', 'held']);
  const recovered = volumes.recover();
  const mounted = volumes.mount('new', 'someone');
  await new Promise(setImmediate);
  assert.deepEqual(await used(), ['outlived', 'held', 'new']);
  // It waits until that is mounted, whose user may have gone.
  const removed = assert.rejects(volumes.remove('held'), { code: 'in-use' });
  gate.resolve();
  await Promise.all([recovered, mounted, removed]);
  assert.deepEqual(await used(), ['outlived', 'held', 'new']);
});

test('a mount that outlived its daemon is tried again until it is served, and whoever wants it waits', async (t) => {
  const directory = mkdtempSync(path.join(tmpdir(), 'infinit-volumes-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const [gate, failures] = [Promise.withResolvers<void>(), [new InfinitError('disk-full', 'no room'), new InfinitError('overloaded', 'too much')]];
  await using volumes = volumesOn(directory, () => Promise.resolve(), { adoptable: ['data'], held: [], gate: gate.promise, failures });
  await volumes.create('data', {});
  const recovered = volumes.recover();
  const mounted = volumes.mount('data', 'someone');
  const usage = volumes.usage('data');
  assert.match(volumes.waiting().join(), /"data".* is not served again yet, and its programs wait: it is being opened/);
  gate.resolve();
  await new Promise(setImmediate);
  assert.match(volumes.waiting().join(), /no room/);
  await assert.rejects(volumes.remove('data'), { code: 'in-use' });
  await recovered;
  assert.deepEqual([failures.length, volumes.mountpoint('data')], [0, await mounted]);
  assert.equal((await usage).usedBytes, 7);
});

test('a mount whose end is refused is tried again at ever longer intervals', async (t) => {
  const directory = mkdtempSync(path.join(tmpdir(), 'infinit-volumes-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  t.mock.timers.enable({ apis: ['setInterval'] });
  let attempts = 0;
  await using volumes = volumesOn(directory, () => {
    attempts++;
    return Promise.reject(new NotWrittenOut('data', new InfinitError('unavailable', 'no majority')));
  });
  await volumes.create('data', {});
  await volumes.mount('data', 'someone');
  await assert.rejects(volumes.unmount('data', 'someone'));
  const looks = async (count: number): Promise<number> => {
    const before = attempts;
    for (let look = 0; look < count; look++) {
      t.mock.timers.tick(2000);
      // Whoever asks for the volume's turn gets it when the look is over.
      await volumes.update('data', { size: '1G' }).catch(() => {});
      await new Promise(setImmediate);
    }
    return attempts - before;
  };
  assert.ok((await looks(16)) <= 5);
  assert.ok((await looks(34)) >= 2, 'and never given up');
  await volumes.mount('data', 'someone');
  await assert.rejects(volumes.unmount('data', 'someone'));
  assert.equal(await looks(1), 1);
});

test('a repeated creation of an encrypted volume leaves no key behind', async (t) => {
  const directory = mkdtempSync(path.join(tmpdir(), 'infinit-volumes-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  await using volumes = volumesOn(directory, () => Promise.resolve());
  const { id } = await volumes.create('data', { encrypted: 'true' });
  await volumes.create('data', { encrypted: 'true' });
  await assert.rejects(volumes.create('data', { encrypted: 'true', size: '1G' }), { code: 'already-exists' });
  assert.deepEqual(readdirSync(path.join(directory, 'keys')), [`${id}.key`]);
});

test('who holds a volume is said by the names that people know', () => {
  const holders = [`docker:${'0123456789abcdef'.repeat(4)}`, 'cli:/mnt/data'];
  assert.deepEqual(holdersInWords(holders, ['web.1 of service web', 'db']), [
    'container web.1 of service web',
    'container db',
    'the mount at /mnt/data',
  ]);
  assert.deepEqual(holdersInWords(holders, []), ['Docker (mount 0123456789ab)', 'the mount at /mnt/data']);
  assert.deepEqual(holdersInWords(['cli:/mnt/data'], ['a stopped one']), ['the mount at /mnt/data']);
});

test('a volume that does not exist comes with the one that may have been meant', () => {
  assert.match(noVolume('dta', [{ name: 'other' }, { name: 'data' }]).message, /"dta": did you mean "data"\?$/);
  assert.match(noVolume('x', [{ name: 'data' }]).message, /infinit volume create x/);
});

test('who removes what is in the trash, or was never there, is not told to create it', async (t) => {
  assert.match(noVolumeToRemove('dta', [{ name: 'data' }], []).message, /"dta": did you mean "data"\?$/);
  assert.match(noVolumeToRemove('data', [], [{ name: 'data', state: 'deleting' }]).message, /"data": it was removed, and its data is being deleted$/);
  const directory = mkdtempSync(path.join(tmpdir(), 'infinit-volumes-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  await using volumes = volumesOn(directory, () => Promise.resolve());
  await volumes.create('data', {});
  await volumes.remove('data');
  await assert.rejects(volumes.remove('data'), {
    code: 'not-found',
    message: /in the trash already; `infinit volume trash restore data` .* empty data`/,
  });
  await assert.rejects(volumes.remove('nope'), { code: 'not-found', message: 'there is no volume "nope": see `infinit volume ls`' });
});
