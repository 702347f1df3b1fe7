import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test, type TestContext } from 'node:test';

import { InfinitError, silentLogger } from '../../src/base/index.ts';
import { MemoryDisk } from '../../src/disk/index.ts';
import { Catalogue } from '../../src/node/volumes/catalogue.ts';
import type { CatalogueEntry } from '../../src/node/volumes/catalogue-entry.ts';
import { MountTable } from '../../src/node/mounts/mount-table.ts';
import { NotWrittenOut } from '../../src/node/volumes/served-volume.ts';
import { Volumes } from '../../src/node/volumes/volumes.ts';
import type { VolumesContext } from '../../src/node/volumes/volumes-context.ts';
import { Store } from '../../src/store/index.ts';

/** Two hosts: one whose volumes are looked at, with a server that mounts nothing, and the catalogue of another. */
class Scene implements AsyncDisposable {
  readonly directory: string;
  readonly disk: MemoryDisk;
  readonly store: Store;
  readonly other: Catalogue;
  readonly catalogue: Catalogue;
  /** What was served, and is. */
  readonly served: { readonly id: string; readonly name: string }[] = [];
  readonly givenUp: string[] = [];
  /** What was ever served. */
  readonly history: CatalogueEntry[] = [];
  /** Happens while a volume is being mounted. */
  onServe: () => Promise<void> = () => Promise.resolve();
  /** Hosts that say they have a volume mounted, though nobody seemed to use it at first. */
  mountedElsewhere: readonly string[] = [];
  /** The time by the clocks of both hosts. */
  readonly sharedMs = Date.now() - 86_400_000;
  /** What the end of a mount comes to. */
  unmount: (id: string, how: { readonly discard?: boolean }) => Promise<void> = () => Promise.resolve();

  private constructor(directory: string, disk: MemoryDisk, store: Store, catalogue: Catalogue, other: Catalogue) {
    [this.directory, this.disk, this.store, this.catalogue, this.other] = [directory, disk, store, catalogue, other];
  }

  static async open(t: TestContext): Promise<Scene> {
    const directory = mkdtempSync(path.join(tmpdir(), 'infinit-replaced-'));
    t.after(() => rmSync(directory, { recursive: true, force: true }));
    const disk = new MemoryDisk();
    const store = await Store.open({ self: 'a', incarnation: 1, disk, logger: silentLogger });
    const catalogues = [new MemoryDisk(), new MemoryDisk()].map((own) => Catalogue.open(store, own, 'infinit', silentLogger));
    return new Scene(directory, disk, store, (await catalogues[0])!, (await catalogues[1])!);
  }

  /** A daemon of the first host. `adoptable`: mounts that outlived the one before, by name. */
  async daemon(adoptable: Readonly<Record<string, string>> = {}): Promise<Volumes> {
    const kept = new Map(Object.entries(adoptable));
    const server = {
      adoptable: () => new Map(kept),
      keeps: (name: string) => kept.has(name),
      giveUp: (name: string) => Promise.resolve(kept.delete(name) && this.givenUp.push(name)),
      leave: () => {},
      serve: async (entry: CatalogueEntry, mountpoint: string) => {
        const { name, id } = entry;
        this.history.push(entry);
        await this.onServe();
        const closed = Promise.withResolvers<string>();
        const one = { name, id, mountpoint, detached: false, closed: closed.promise, apply: () => {}, stop: () => Promise.resolve() };
        this.served.push({ id, name });
        const unmount = async (how: { readonly discard?: boolean }): Promise<void> => {
          await this.unmount(id, how);
          this.served.splice(
            this.served.findIndex((other) => other.id === id),
            1,
          );
          closed.resolve('unmounted');
          await closed.promise;
        };
        kept.delete(name);
        return { ...one, unmount };
      },
    };
    const context = {
      hostName: 'host',
      mountDir: this.directory,
      keyDir: path.join(this.directory, 'keys'),
      fallbacks: () => ({}),
      logger: silentLogger,
      store: this.store,
      catalogue: this.catalogue,
      table: await MountTable.open(this.disk),
      server,
      whyOutside: () => undefined,
      checkWrites: () => {},
      health: () => ({ state: 'HEALTHY', reasons: [] }),
      mountedElsewhere: () => Promise.resolve(this.mountedElsewhere),
      usedElsewhere: () => Promise.resolve([]),
      removalTimeMs: () => Promise.resolve(this.sharedMs),
      mounts: () => Promise.resolve(new Map()),
      onCatalogueChange: () => {},
    };
    return new Volumes(context as unknown as VolumesContext);
  }

  /** On the other host: the name means another volume from now on, which is returned. */
  async replace(name: string): Promise<CatalogueEntry> {
    const before = (await this.other.current(name))!;
    await this.other.remove(before);
    return this.other.add({ ...before, id: 'f'.repeat(32) });
  }

  /** Something is mounted at the volume's place, and at a second one, until that is disposed of. */
  use(name: string): Disposable & { readonly second: string } {
    const [place, second] = [path.join(this.directory, name), path.join(this.directory, `${name}-used`)];
    for (const directory of [place, second]) mkdirSync(directory);
    execFileSync('mount', ['-t', 'tmpfs', 'none', place]);
    execFileSync('mount', ['--bind', place, second]);
    let mounted = true;
    return {
      second,
      [Symbol.dispose]: () => {
        if (mounted) execFileSync('umount', ['-l', second, place]);
        mounted = false;
      },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.store[Symbol.asyncDispose]();
    await this.disk[Symbol.asyncDispose]();
  }
}

test('a removal is dated by the clocks of all hosts', async (t) => {
  await using scene = await Scene.open(t);
  await using volumes = await scene.daemon();
  await volumes.create('data', {});
  await volumes.remove('data');
  assert.deepEqual(
    (await scene.other.trash()).map(({ trashedAt }) => Date.parse(trashedAt!)),
    [scene.sharedMs],
  );
});

test('a volume that another host removed and made anew is what a new container gets, and not the mount of the removed one', async (t) => {
  await using scene = await Scene.open(t);
  await using volumes = await scene.daemon();
  const { id } = await volumes.create('data', {});
  await volumes.mount('data', 'docker:before');
  assert.deepEqual(scene.served, [{ id, name: 'data' }]);
  const renewed = await scene.replace('data');
  await volumes.mount('data', 'docker:after');
  assert.deepEqual(scene.served, [{ id: renewed.id, name: 'data' }]);
  assert.deepEqual((await volumes.inspect('data'))?.holders, ['docker:after']);
});

test('a removed volume that is in use here is not taken for the one that has its name by now, and who wants that hears what to do', async (t) => {
  await using scene = await Scene.open(t);
  await using volumes = await scene.daemon();
  const { id } = await volumes.create('data', {});
  await volumes.mount('data', 'docker:before');
  using used = scene.use('data');
  const renewed = await scene.replace('data');
  await assert.rejects(volumes.mount('data', 'docker:after'), {
    code: 'in-use',
    message:
      'volume "data" was removed and made anew on another host, and the mount on host from before cannot end: ' +
      `it is in use by the mount at ${used.second}: stop that first; \`infinit volume trash restore ${id} --as NAME\` brings the removed one back`,
  });
  assert.deepEqual(scene.served, [{ id, name: 'data' }]);
  const shown = (await volumes.inspect('data'))!;
  assert.deepEqual([shown.id, shown.mountpoint, shown.holders, shown.hosts], [renewed.id, undefined, [], []]);
  assert.equal(volumes.mountpoint('data'), undefined);
  // The new one is not in use, and what becomes of it is nothing to the mount of the removed one.
  await volumes.update('data', { access: 'onewriter' });
  await volumes.remove('data');
  assert.deepEqual(scene.served, [{ id, name: 'data' }]);
  await assert.rejects(volumes.mount('data', 'docker:after'), { code: 'not-found' });
  // Under whatever name it comes back, it is mounted here.
  const restored = await scene.other.restore((await scene.other.trashed(id))!, 'old');
  await scene.catalogue.refresh();
  assert.deepEqual((await volumes.inspect('old'))?.holders, ['docker:before']);
  assert.equal(volumes.mountpoint('old'), path.join(scene.directory, 'data'));
  await assert.rejects(volumes.remove('old'), { code: 'in-use' });
  await assert.rejects(volumes.mount('old', 'docker:next'), {
    code: 'in-use',
    message: `volume "data" is "old" since others removed it and brought it back, and the mount on host from before cannot end: it is in use by the mount at ${used.second}: stop that first`,
  });
  used[Symbol.dispose]();
  await volumes.mount('old', 'docker:next');
  assert.deepEqual([scene.served, (await volumes.inspect('old'))?.holders], [[{ id: restored.id, name: 'old' }], ['docker:next']]);
});

test('the last writes to a removed volume are only given up where its data is deleted as well', async (t) => {
  await using scene = await Scene.open(t);
  await using volumes = await scene.daemon();
  await volumes.create('data', {});
  await volumes.mount('data', 'docker:before');
  await scene.replace('data');
  const discards: unknown[] = [];
  scene.unmount = (_id, { discard }) => {
    discards.push(discard);
    return discard === true ? Promise.resolve() : Promise.reject(new NotWrittenOut('data', new InfinitError('disk-full', 'no room')));
  };
  await assert.rejects(volumes.mount('data', 'docker:after'), {
    code: 'in-use',
    message: /last writes .* not written out: no room; .*trash restore/,
  });
  const [trashed] = await scene.other.trash();
  assert.ok(await scene.other.markPurging(trashed!));
  await volumes.mount('data', 'docker:after');
  assert.deepEqual(discards, [false, true]);
});

test('a mount that outlived its daemon is served as the volume that it is of, whatever its name means by now', async (t) => {
  await using scene = await Scene.open(t);
  await using before = await scene.daemon();
  const { id } = await before.create('data', {});
  await before.mount('data', 'docker:before');
  const renewed = await scene.replace('data');
  await scene.catalogue.refresh();
  scene.served.length = 0;
  await using volumes = await scene.daemon({ data: id });
  assert.ok((await volumes.mayBeInUse(id)) && !(await volumes.mayBeInUse(renewed.id)));
  await volumes.recover();
  assert.deepEqual(scene.served, [{ id, name: 'data' }]);
  await volumes.mount('data', 'docker:after');
  assert.deepEqual(scene.served, [{ id: renewed.id, name: 'data' }]);
});

test('a mount that outlived its daemon, of a volume that was deleted for good, ends', async (t) => {
  await using scene = await Scene.open(t);
  await using before = await scene.daemon();
  const { id } = await before.create('data', {});
  await before.mount('data', 'docker:before');
  const removed = (await scene.other.current('data'))!;
  await scene.other.remove(removed);
  assert.ok(await scene.other.markPurging(removed));
  await scene.catalogue.refresh();
  scene.served.length = 0;
  await using volumes = await scene.daemon({ data: id });
  await volumes.recover();
  assert.deepEqual([scene.served, scene.givenUp, volumes.waiting()], [[], ['data'], []]);
});

test('who held a removed volume when the daemon ended does not hold the one that has its name by now', async (t) => {
  await using scene = await Scene.open(t);
  await using before = await scene.daemon();
  await before.create('data', {});
  await before.mount('data', 'cli:/mnt/data');
  const renewed = await scene.replace('data');
  await scene.catalogue.refresh();
  scene.served.length = 0;
  // Its mount ended with it.
  await using volumes = await scene.daemon();
  await volumes.recover();
  assert.deepEqual(scene.served, []);
  await volumes.mount('data', 'docker:after');
  assert.deepEqual([scene.served, (await volumes.inspect('data'))?.holders], [[{ id: renewed.id, name: 'data' }], ['docker:after']]);
  // In whatever order they answer, and whichever of them is asked.
  scene.mountedElsewhere = ['z', 'b'];
  assert.deepEqual((await volumes.inspect('data'))?.hosts, ['b', 'host', 'z']);
});

test('a volume that another host was mounting in the moment of its removal, or of a change that needs it unmounted, is left as it was', async (t) => {
  await using scene = await Scene.open(t);
  await using volumes = await scene.daemon();
  const { id } = await volumes.create('data', {});
  // It began after it was asked first.
  scene.mountedElsewhere = ['b'];
  await assert.rejects(volumes.remove('data'), { code: 'in-use', message: 'volume "data" is mounted on b' });
  assert.deepEqual([(await scene.other.current('data'))?.id, await scene.other.trash()], [id, []]);
  await assert.rejects(volumes.update('data', { access: 'onewriter', size: '1G' }), {
    code: 'in-use',
    message: /while volume "data" is mounted: it is on b/,
  });
  assert.equal((await scene.other.current('data'))?.options['access'], 'all');
  await volumes.update('data', { size: '1G' });
  scene.mountedElsewhere = [];
  await volumes.update('data', { access: 'onewriter' });
  await volumes.remove('data');
});

test('a volume whose options others changed while it was being mounted is mounted with those', async (t) => {
  await using scene = await Scene.open(t);
  await using volumes = await scene.daemon();
  await volumes.create('data', {});
  scene.onServe = async () => {
    scene.onServe = () => Promise.resolve();
    const entry = (await scene.other.current('data'))!;
    await scene.other.setOptions(entry, { ...entry.options, access: 'onewriter' });
  };
  await volumes.mount('data', 'docker:one');
  assert.deepEqual(
    scene.history.map(({ options }) => options['access']),
    ['all', 'onewriter'],
  );
  assert.equal(scene.served.length, 1);
});
