/**
 * `node bench/hundred-hosts.ts [HOSTS]`: so many hosts in one process, with the daemon's own overlay, membership, store and repair, over a network and
 * disks in memory. Joins them, writes blocks, lets one of them die and waits until all blocks have their copies again. One: of several that die at once no
 * host can tell whether some block lost its majority, so none of them is counted out (docs/consensus.md, “Genesis”).
 */
import { randomFillSync } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import { silentLogger, systemClock } from '../src/base/index.ts';
import { type Address, immutableAddress, mutableAddress } from '../src/block/index.ts';
import { MemoryDisk } from '../src/disk/index.ts';
import { Membership } from '../src/membership/index.ts';
import { OverlayNeighbourhood } from '../src/node/members/neighbourhood.ts';
import { ViewPlacement } from '../src/node/members/view-placement.ts';
import type { Overlay } from '../src/overlay/index.ts';
import { Repair } from '../src/repair/index.ts';
import { Store } from '../src/store/index.ts';
import { Cluster } from '../test/overlay/fixture.ts';

const count = Number(process.argv[2] ?? 100);
const registers = 1000;
const blocks = 1000;
const blockBytes = 16 * 1024;
const evictionDelayMs = 4000;
const patienceMs = 180_000;
const replicas = 3;

interface Host {
  readonly overlay: Overlay;
  readonly membership: Membership;
  readonly store: Store;
  readonly repair: Repair;
}

async function open(overlay: Overlay): Promise<Host> {
  const { self, incarnation, transport } = overlay;
  const disk = new MemoryDisk();
  const membership = await Membership.open({
    disk,
    neighbourhood: new OverlayNeighbourhood(overlay),
    own: { zone: 'default', capacity: 1_000_000 },
    replicas,
    evictionDelayMs,
    clock: systemClock,
    logger: silentLogger,
  });
  const placement = new ViewPlacement({ self, views: membership, check: () => {} });
  const store = await Store.open({ self, incarnation, disk, logger: silentLogger, cluster: { transport, placement } });
  membership.start(store);
  const repair = Repair.start({ store, transport, views: membership, settings: { bytesPerSecond: 64 * 1024 * 1024 }, logger: silentLogger });
  return { overlay, membership, store, repair };
}

async function until(what: string, condition: () => boolean): Promise<void> {
  const end = performance.now() + patienceMs;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`not within ${patienceMs} ms: ${what}`);
    await sleep(50);
  }
}

/** Runs one step and says what it took, of the whole process and on the network for each host. */
async function step<T>(name: string, hosts: readonly Host[], work: () => Promise<T>): Promise<T> {
  const sent = (): number => hosts.reduce((sum, { overlay }) => sum + overlay.transport.traffic().sentBytes, 0);
  const messages = (): number => hosts.reduce((sum, { overlay }) => sum + overlay.transport.traffic().sentMessages, 0);
  const [bytesBefore, messagesBefore, cpuBefore, started] = [sent(), messages(), process.cpuUsage(), performance.now()];
  const result = await work();
  const seconds = (performance.now() - started) / 1000;
  const cpu = process.cpuUsage(cpuBefore);
  const perHost = Math.max(1, hosts.length);
  console.log(
    `| ${name} | ${seconds.toFixed(1)} | ${((cpu.user + cpu.system) / 1e6 / perHost).toFixed(2)} | ` +
      `${Math.round((sent() - bytesBefore) / perHost / 1024)} | ${Math.round((messages() - messagesBefore) / perHost)} |`,
  );
  return result;
}

function areAll(hosts: readonly Host[], size: number): boolean {
  return hosts.every(({ membership }) => membership.inForce().length === 1 && membership.inForce()[0]!.roster.size === size);
}

/** Blocks that fewer hosts have than should. */
async function underReplicated(): Promise<number> {
  let under = 0;
  const addresses = [...written.keys()];
  for (let at = 0; at < addresses.length; at += 100) {
    const found = await Promise.all(addresses.slice(at, at + 100).map((address) => hosts[0]!.store.inspect(address)));
    for (const copies of found)
      if (copies.filter((copy) => (copy.kind === 'register' ? copy.accepted !== null : copy.kind === 'bytes' && copy.present)).length < replicas)
        under++;
  }
  return under;
}

const written = new Map<Address, number>();
await using cluster = await Cluster.inMemory();
const hosts: Host[] = [];
console.log(`${count} hosts in one process; what each step took, for each host\n`);
console.log('| step | seconds | CPU seconds | KiB sent | messages sent |\n|---|---:|---:|---:|---:|');

await step('found, and join one after the other', hosts, async () => {
  const first = await cluster.open('h0');
  const founder = await open(first);
  await founder.membership.intendToFound();
  await first.initCluster();
  await founder.membership.found();
  hosts.push(founder);
  for (let index = 1; index < count; index++) {
    const host = await open(await cluster.join(`h${index}`, first));
    await host.membership.enter();
    hosts.push(host);
  }
  await until('all hosts store blocks', () => areAll(hosts, count));
  await until('all are connected', () => hosts.every(({ overlay }) => overlay.transport.connected().length === count - 1));
});

await step(`write ${registers} registers and ${blocks} blocks of 16 KiB`, hosts, async () => {
  for (let at = 0; at < registers; at += 50) {
    await Promise.all(
      Array.from({ length: 50 }, async (_, index) => {
        const { store } = hosts[(at + index) % hosts.length]!;
        const address = mutableAddress();
        const sealed = randomFillSync(new Uint8Array(blockBytes));
        const block = { address: immutableAddress(sealed), sealed };
        const result = await store.commit([{ put: [block] }, { update: [{ address, expect: 'absent', payload: new Uint8Array(256) }] }], {
          deadlineMs: 20_000,
        });
        if (!result.done) throw new Error(JSON.stringify(result));
        written.set(address, 256).set(block.address, blockBytes);
      }),
    );
  }
});

await step('idle for 10 s', hosts, () => sleep(10_000));

const [dead] = hosts.splice(Math.floor(count / 2), 1);
await step('one host dies; the others count it out and make the copies anew', hosts, async () => {
  const { overlay, membership, repair } = dead!;
  cluster.network!.crash(overlay.self);
  await repair[Symbol.asyncDispose]();
  await membership[Symbol.asyncDispose]();
  await cluster.stop(overlay);
  await until('the dead one is counted out', () => areAll(hosts, count - 1));
  await until('repair is done', () => hosts.every(({ repair }) => repair.status().phase === 'idle'));
});

let unreadable = 0;
await step('read everything from other hosts', hosts, async () => {
  for (const [index, [address, bytes]] of [...written].entries()) {
    const { store } = hosts[(index * 7) % hosts.length]!;
    const found = bytes === 256 ? (await store.fetch(address, { deadlineMs: 20_000 }))?.payload : await store.get(address, { deadlineMs: 20_000 });
    if (found?.length !== bytes) unreadable++;
  }
});
console.log(`\nUnreadable: ${unreadable} of ${written.size}. Under ${replicas} copies now: ${await underReplicated()}.`);
console.log(`Memory of the process: ${Math.round(process.memoryUsage.rss() / 1024 / 1024)} MiB.`);
for (const { repair, membership } of hosts) {
  await repair[Symbol.asyncDispose]();
  await membership[Symbol.asyncDispose]();
}
