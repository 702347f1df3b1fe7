/**
 * One host of the benchmark in a process of its own: the daemon's own disk, overlay and store, without volumes and sockets.
 * The parent tells it over IPC what to do; its clients call the store in this very process.
 */
import { randomFillSync } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { Session } from 'node:inspector/promises';
import path from 'node:path';

import { silentLogger, systemClock } from '../../src/base/index.ts';
import { type Address, immutableAddress } from '../../src/block/index.ts';
import { LogDisk } from '../../src/disk/index.ts';
import { Membership } from '../../src/membership/index.ts';
import { OverlayNeighbourhood } from '../../src/node/members/neighbourhood.ts';
import { freshAddress, ViewPlacement } from '../../src/node/members/view-placement.ts';
import { Overlay } from '../../src/overlay/index.ts';
import { Repair } from '../../src/repair/index.ts';
import { Store } from '../../src/store/index.ts';
import { drive, type Load, type Tally, type Work } from './workload.ts';

export type Order =
  | { readonly type: 'init' }
  | { readonly type: 'token'; readonly uses: number }
  | { readonly type: 'join'; readonly addresses: readonly string[]; readonly token: string }
  | { readonly type: 'members' }
  | { readonly type: 'prepare'; readonly keys: number; readonly bytes: number; readonly immutable: boolean }
  | { readonly type: 'run'; readonly load: Load; readonly addresses: readonly Address[] }
  | { readonly type: 'memory' };

const [directory = '', name = ''] = process.argv.slice(2);
const profiles = process.env['PROFILE'];
const disk = await LogDisk.open(path.join(directory, 'store'));
const overlay = await Overlay.open({ stateDirectory: path.join(directory, 'cluster'), listen: '127.0.0.1:0', name, zone: 'z', capacity: 1 });
const membership = await Membership.open({
  disk,
  neighbourhood: new OverlayNeighbourhood(overlay),
  own: { zone: 'z', capacity: 1 },
  replicas: 3,
  evictionDelayMs: 600_000,
  clock: systemClock,
  logger: silentLogger,
});
const placement = new ViewPlacement({ self: overlay.self, views: membership, check: () => {} });
const cluster = { transport: overlay.transport, placement };
const store = await Store.open({ self: overlay.self, incarnation: 1, disk, logger: silentLogger, cluster });
membership.start(store);
Repair.start({ store, transport: overlay.transport, views: membership, logger: silentLogger });

async function inParallel<T>(count: number, width: number, make: (index: number) => Promise<T>): Promise<T[]> {
  const results: T[] = [];
  let next = 0;
  await Promise.all(
    Array.from({ length: width }, async () => {
      while (next < count) {
        const index = next++;
        results[index] = await make(index);
      }
    }),
  );
  return results;
}

function block(bytes: number): { address: Address; sealed: Uint8Array } {
  const sealed = randomFillSync(new Uint8Array(bytes));
  return { address: immutableAddress(sealed), sealed };
}

async function put(address: Address, payload: Uint8Array, limits: { readonly deadlineMs?: number } = {}): Promise<void> {
  const result = await store.commit([{ update: [{ address, expect: 'any', payload }] }], limits);
  if (!result.done) throw new Error(JSON.stringify(result.outcomes[0]));
}

/** Many large blocks at once may take a while, and everything where the machine has other work. */
const prepareMs = 60_000;

async function prepare(keys: number, bytes: number, immutable: boolean): Promise<readonly Address[]> {
  return inParallel(keys, 16, async () => {
    if (immutable) {
      const made = block(bytes);
      await store.commit([{ put: [made] }], { deadlineMs: prepareMs });
      return made.address;
    }
    const address = freshAddress(overlay.self, membership, { hasRoom: true });
    await put(address, randomFillSync(new Uint8Array(bytes)), { deadlineMs: prepareMs });
    return address;
  });
}

function run(load: Load, given: readonly Address[]): Promise<Tally> {
  const { workload, clients, bytes } = load;
  // Every client has its own share of the keys: a value store's clients seldom write the same key at once.
  const share = Math.max(1, Math.floor(given.length / clients));
  const keyOf = (client: number, turn: number): Address => given[(client * share + (turn % share)) % given.length]!;
  const value = randomFillSync(new Uint8Array(bytes));
  switch (workload) {
    case 'put':
      return drive(load, (client, turn) => put(keyOf(client, turn), value));
    case 'get':
      return drive(load, async (client, turn) => {
        if ((await store.fetch(keyOf(client, turn)))?.payload.length !== bytes) throw new Error('not what was written');
      });
    case 'put-immutable':
      return drive(load, async () => {
        // The bytes must be new each time: a counter in them is enough.
        const sealed = new Uint8Array(value);
        randomFillSync(sealed, 0, 16);
        await store.commit([{ put: [{ address: immutableAddress(sealed), sealed }] }]);
      });
    case 'read-once':
      // No lease is asked for along with it: a version that cannot be is a conflict, and a conflict is told by a quorum.
      return drive(load, async (client, turn) => {
        const result = await store.commit([{ update: [{ address: keyOf(client, turn), expect: 2 ** 40, payload: value }] }]);
        if (result.done || result.outcomes[0]!.status !== 'conflict') throw new Error('not what was written');
      });
    case 'commit':
      return drive(load, async (client, turn) => {
        const result = await store.commit([{ put: [block(4096)] }, { update: [{ address: keyOf(client, turn), expect: 'any', payload: value }] }]);
        if (!result.done) throw new Error(JSON.stringify(result.outcomes[0]));
      });
    case 'get-immutable':
      return drive(load, (client, turn) => store.get(keyOf(client, turn)));
  }
}

/** What this process did so far. */
function workSoFar(): Work {
  const { voluntaryContextSwitches, involuntaryContextSwitches } = process.resourceUsage();
  return {
    messages: overlay.transport.traffic().sentMessages,
    requests: store.meter.requests,
    rounds: store.meter.rounds,
    turns: performance.nodeTiming.uvMetricsInfo.loopCount,
    groups: disk.meter.groupSeconds.count,
    switches: voluntaryContextSwitches + involuntaryContextSwitches,
    writes: Number(/^syscw: (\d+)/m.exec(readFileSync('/proc/self/io', 'latin1'))?.[1] ?? 0),
    idle: performance.nodeTiming.idleTime / 1000,
  };
}

async function metered(work: () => Promise<Tally>): Promise<Tally> {
  const before = workSoFar();
  const tally = await work();
  const after = workSoFar();
  return {
    ...tally,
    work: {
      messages: after.messages - before.messages,
      requests: after.requests - before.requests,
      rounds: after.rounds - before.rounds,
      turns: after.turns - before.turns,
      groups: after.groups - before.groups,
      switches: after.switches - before.switches,
      writes: after.writes - before.writes,
      idle: after.idle - before.idle,
    },
  };
}

/** A CPU profile of the stretch that is measured, and of nothing else. */
async function profiled<T>(file: string, work: () => Promise<T>): Promise<T> {
  const session = new Session();
  session.connect();
  await session.post('Profiler.enable');
  await session.post('Profiler.start');
  const result = await work();
  const { profile } = await session.post('Profiler.stop');
  writeFileSync(file, JSON.stringify(profile));
  session.disconnect();
  return result;
}

async function obey(order: Order): Promise<unknown> {
  switch (order.type) {
    case 'init':
      await membership.intendToFound();
      await overlay.initCluster();
      await membership.found();
      return overlay.members()[0]!.addresses;
    case 'token':
      return (await overlay.createToken({ uses: order.uses })).text;
    case 'join':
      await overlay.join(order.addresses, order.token);
      await overlay.whenJoined();
      return membership.enter();
    case 'members':
      return membership.status().views.length === 1 ? membership.inForce()[0]!.roster.size : 0;
    case 'prepare':
      return prepare(order.keys, order.bytes, order.immutable);
    case 'run':
      return profiles === undefined
        ? metered(() => run(order.load, order.addresses))
        : profiled(path.join(profiles, `${order.load.workload}-${name}.cpuprofile`), () => run(order.load, order.addresses));
    case 'memory':
      return process.memoryUsage();
  }
}

/** Where the parent is gone nobody is to be told, and the end comes by `disconnect`. */
function answer(message: { readonly value?: unknown; readonly error?: string }): void {
  process.send!(message, () => {});
}

process.on('message', (order: Order) => {
  obey(order).then(
    (value) => answer({ value }),
    (error: unknown) => answer({ error: String(error instanceof Error ? error.stack : error) }),
  );
});
process.on('disconnect', () => process.exit(0));
answer({ value: overlay.self });
