import assert from 'node:assert/strict';
import { test } from 'node:test';

import { codeOf, InfinitError, silentLogger } from '../../src/base/index.ts';
import { MemoryDisk } from '../../src/disk/index.ts';
import { Catalogue } from '../../src/node/volumes/catalogue.ts';
import type { CatalogueEntry } from '../../src/node/volumes/catalogue-entry.ts';
import { MountTable } from '../../src/node/mounts/mount-table.ts';
import { Volumes } from '../../src/node/volumes/volumes.ts';
import type { VolumesContext } from '../../src/node/volumes/volumes-context.ts';
import { type BlockStore, Store } from '../../src/store/index.ts';
import { seeded } from '../suites/seeded.ts';

/** What people may run into: anything else is a bug. */
const expected: ReadonlySet<string> = new Set(['in-use', 'not-found', 'already-exists', 'unavailable', 'conflict']);

/** A cluster: one store, and what each name meant over time. */
class World implements AsyncDisposable {
  readonly draw: (below: number) => number;
  readonly disk = new MemoryDisk();
  readonly hosts: Host[] = [];
  /** Volumes whose data is gone. */
  readonly deleted = new Set<string>();
  /** Some host cannot hear the others for a while. */
  isCut = false;
  #store: Store | undefined;

  constructor(seed: number) {
    const chance = seeded(seed);
    this.draw = (below) => Math.floor(chance() * below);
  }

  async open(): Promise<void> {
    const store = await Store.open({ self: 'a', incarnation: 1, disk: this.disk, logger: silentLogger });
    this.#store = store;
    const late: BlockStore = {
      get: (address, options) => store.get(address, options),
      fetch: async (address, options) => {
        await this.pause();
        return store.fetch(address, options);
      },
      commit: async (stages, options) => {
        await this.pause();
        const result = await store.commit(stages, options);
        await this.pause();
        return result;
      },
    };
    for (const name of ['a', 'b']) this.hosts.push(await Host.open(name, this, late));
  }

  /** Things take a moment, and not always the same one. */
  async pause(): Promise<void> {
    for (let turns = this.draw(4); turns > 0; turns--) await new Promise(setImmediate);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const host of this.hosts) await host[Symbol.asyncDispose]();
    await this.#store?.[Symbol.asyncDispose]();
    await this.disk[Symbol.asyncDispose]();
  }
}

interface Mount {
  readonly id: string;
  readonly name: string;
}

/** A host whose volumes are real, and whose mounts are a list. */
class Host implements AsyncDisposable {
  readonly name: string;
  readonly catalogue: Catalogue;
  readonly mounts = new Set<Mount>();
  readonly #world: World;
  readonly #disk: MemoryDisk;
  volumes!: Volumes;
  recovered!: Promise<void>;
  #daemons = 0;

  private constructor(name: string, world: World, disk: MemoryDisk, catalogue: Catalogue) {
    this.name = name;
    this.#world = world;
    this.#disk = disk;
    this.catalogue = catalogue;
  }

  static async open(name: string, world: World, store: BlockStore): Promise<Host> {
    const disk = new MemoryDisk();
    const host = new Host(name, world, disk, await Catalogue.open(store, disk, 'infinit', silentLogger));
    await host.start();
    return host;
  }

  /** Starts a daemon; mounts that there are outlived the one before. */
  async start(): Promise<void> {
    const kept = new Map([...this.mounts].map((mount) => [mount.name, mount]));
    const others = async (id: string): Promise<readonly string[]> => {
      await this.#world.pause();
      if (this.#world.isCut) return [];
      const asked = this.#world.hosts.filter((host) => host !== this);
      const answers = await Promise.all(asked.map((host) => host.volumes.mayBeInUse(id)));
      await this.#world.pause();
      return asked.flatMap(({ name }, index) => (answers[index] === true ? [name] : []));
    };
    const context = {
      hostName: this.name,
      mountDir: '/nowhere',
      keyDir: '/nowhere/keys',
      fallbacks: () => ({}),
      logger: silentLogger,
      catalogue: this.catalogue,
      table: await MountTable.open(this.#disk),
      server: {
        adoptable: () => new Map([...kept.values()].map(({ name, id }) => [name, id])),
        keeps: (name: string) => kept.has(name),
        giveUp: (name: string) => {
          this.mounts.delete(kept.get(name)!);
          return Promise.resolve(void kept.delete(name));
        },
        leave: () => {},
        serve: (entry: CatalogueEntry) => this.#serve(entry, kept),
      },
      whyOutside: () => undefined,
      checkWrites: () => {},
      health: () => ({ state: 'HEALTHY', reasons: [] }),
      mountedElsewhere: others,
      usedElsewhere: others,
      removalTimeMs: () => Promise.resolve(Date.now()),
      mounts: () => Promise.resolve(new Map()),
      onCatalogueChange: () => {},
    };
    this.volumes = new Volumes(context as unknown as VolumesContext);
    this.recovered = this.volumes.recover();
  }

  async #serve({ name, id }: CatalogueEntry, kept: Map<string, Mount>): Promise<unknown> {
    const outlived = kept.get(name);
    if (outlived !== undefined) assert.equal(outlived.id, id, 'a mount is served as another volume');
    kept.delete(name);
    const mount = outlived ?? { id, name };
    // As the server of volumes does, where a mount that outlived its daemon is not served yet.
    const waits = [...kept.values()].find((other) => other.id === id);
    if (outlived === undefined && waits !== undefined) throw new InfinitError('in-use', `it is mounted already, as "${waits.name}"`);
    const others = [...this.mounts].filter((other) => other !== outlived);
    assert.ok(
      others.every((other) => other.id !== id),
      'a volume is mounted twice on a host',
    );
    assert.ok(
      others.every((other) => other.name !== name),
      'two volumes are mounted at one place',
    );
    this.mounts.add(mount);
    await this.#world.pause();
    const closed = Promise.withResolvers<string>();
    const daemon = this.#daemons;
    const end = async (why: string): Promise<void> => {
      await this.#world.pause();
      // What a daemon that was stopped has yet to do is not done.
      if (why !== 'stopped' && daemon === this.#daemons) this.mounts.delete(mount);
      closed.resolve(why);
      await closed.promise;
    };
    const mountpoint = `/nowhere/${name}`;
    return {
      name,
      id,
      mountpoint,
      detached: false,
      closed: closed.promise,
      apply: () => {},
      stop: () => end('stopped'),
      unmount: () => end('unmounted'),
    };
  }

  async restart(): Promise<void> {
    await this.volumes[Symbol.asyncDispose]();
    this.#daemons++;
    await this.start();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.volumes[Symbol.asyncDispose]();
    await this.#disk[Symbol.asyncDispose]();
  }
}

/** One thing that somebody does on some host. */
async function act(world: World): Promise<void> {
  const { draw } = world;
  const host = world.hosts[draw(2)]!;
  const name = ['xx', 'yy'][draw(2)]!;
  const holder = `docker:${draw(2)}`;
  switch (draw(9)) {
    case 0:
    case 1:
      return void (await host.volumes.create(name, {}));
    case 2:
    case 3: {
      const ids = new Set<string | undefined>();
      const watch = async (until: Promise<unknown>): Promise<void> => {
        let over = false;
        void until.finally(() => (over = true)).catch(() => {});
        while (!over) {
          for (const other of world.hosts) ids.add((await other.catalogue.current(name))?.id);
          await new Promise(setImmediate);
        }
      };
      const mounted = host.volumes.mount(name, holder);
      const [id] = await Promise.all([mounted.then(() => host.volumes.served(name)?.id), watch(mounted)]);
      assert.ok(id === undefined || ids.has(id), `host ${host.name} mounted as "${name}" what has not been called so meanwhile`);
      return;
    }
    case 4:
      return host.volumes.unmount(name, holder);
    case 5:
      return host.volumes.remove(name);
    case 6: {
      const [trashed] = await host.catalogue.trash();
      return trashed === undefined ? undefined : void (await host.catalogue.restore(trashed, name));
    }
    case 7: {
      const [trashed] = await host.catalogue.trash();
      if (trashed === undefined || !(await host.catalogue.markPurging(trashed))) return;
      world.deleted.add(trashed.id);
      await world.pause();
      return host.catalogue.forget(trashed.id);
    }
    default:
      return host.catalogue.refresh();
  }
}

async function run(seed: number, cuts: boolean): Promise<void> {
  await using world = new World(seed);
  await world.open();
  for (let round = 0; round < 12; round++) {
    world.isCut = cuts && world.draw(3) === 0;
    const failures = await Promise.allSettled(Array.from({ length: 1 + world.draw(4) }, () => act(world)));
    for (const failure of failures) if (failure.status === 'rejected' && !expected.has(codeOf(failure.reason))) throw failure.reason;
    if (world.draw(4) === 0) await world.hosts[world.draw(2)]!.restart();
  }
  world.isCut = false;
  for (const host of world.hosts) {
    await host.recovered;
    await host.catalogue.refresh();
    for (const mount of host.mounts) {
      const live = await host.catalogue.current(mount.name);
      const { holders } = (await host.volumes.inspect(mount.name)) ?? { holders: [] };
      // Only who was cut off may have mounted what others removed.
      if (!cuts && holders.length > 0)
        assert.equal(live?.id, mount.id, `host ${host.name} has mounted as "${mount.name}" what has another name by now`);
      if (live === undefined) continue;
      // Whatever happened, the next container gets the volume that has the name.
      await host.volumes.mount(mount.name, 'docker:last');
      assert.equal(host.volumes.served(mount.name)?.id, live.id);
    }
  }
  const live = (await world.hosts[0]!.catalogue.list()).map(({ id }) => id);
  assert.equal(new Set(live).size, live.length, 'a volume has two names');
  assert.ok(!live.some((id) => world.deleted.has(id)), 'a volume was deleted that has a name');
}

/** For a longer search than is made each time. */
const seeds = Number(process.env['SEEDS'] ?? 60);

for (const cuts of [false, true])
  test(
    `whatever hosts do at once, a mount is of the volume that has its name${cuts ? ', also after hosts were cut off' : ''}`,
    { timeout: 300_000 },
    async () => {
      for (let seed = 1; seed <= seeds; seed++) {
        try {
          await run(seed, cuts);
        } catch (error) {
          throw new Error(`seed ${seed}`, { cause: error });
        }
      }
    },
  );
