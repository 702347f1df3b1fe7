/**
 * `node bench/tree.ts [most]`: directories of 10^3 … 10^6 entries (or up to `most`) in the B-link tree over a block store in memory:
 * time and blocks written per operation. The store costs next to nothing, so the time is the tree's own. Keys are hashed names, as
 * a directory's are, so neighbours in a batch are strangers in the tree. Writes bench/results/tree.md when it runs to 10^6.
 */
import { hash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';

import { mutableAddress } from '../src/block/index.ts';
import { BLinkTree, type Change, type Key, NodeCache, type NodeSealer } from '../src/tree/index.ts';
import { MemoryBlockStore } from '../test/suites/memory-block-store.ts';

const batch = 1000;
const samples = 2000;
const sealer: NodeSealer = { seal: (_address, body) => body, open: (_address, payload) => payload };
const value = new Uint8Array(28).fill(1);
const columns = [
  'entries',
  'levels',
  'nodes',
  'create µs',
  'blocks',
  'one more µs',
  'blocks',
  'look-up µs',
  'cold look-up µs',
  'blocks read',
  'list µs',
  'delete µs',
  'blocks',
  'left',
];

function keyOf(number: number): Key {
  return hash('sha256', `name ${number}`, 'buffer').toString('latin1', 0, 7);
}

/** Microseconds of processor per operation of something that does `count` of them: what else runs on the machine hardly matters. */
async function timed(count: number, work: () => Promise<void> | void): Promise<number> {
  const start = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(start);
  return (user + system) / count;
}

async function inBatches(tree: BLinkTree, keys: readonly Key[], change: Change): Promise<void> {
  for (let i = 0; i < keys.length; i += batch) await tree.apply(new Map(keys.slice(i, i + batch).map((key) => [key, change])));
  await tree.settled();
}

async function measure(entries: number): Promise<string[]> {
  const store = new MemoryBlockStore({ verify: false });
  const root = mutableAddress();
  const open = (nodes: number): BLinkTree => new BLinkTree(root, { store, sealer, leased: true, cache: new NodeCache(nodes) });
  const tree = open(100_000);
  const keys = Array.from({ length: entries }, (_, i) => keyOf(i));
  const writesOf = async (count: number, work: () => Promise<void>): Promise<{ time: number; writes: number }> => {
    const before = store.writes;
    const time = await timed(count, work);
    return { time, writes: (store.writes - before) / count };
  };
  const create = await writesOf(entries, () => inBatches(tree, keys, value));
  const nodes = store.mutableAddresses().size;
  const more = Array.from({ length: samples }, (_, i) => keyOf(entries + i));
  const single = await writesOf(samples, async () => {
    for (const key of more) await tree.apply(new Map([[key, value]]));
  });
  await inBatches(tree, more, null);
  const picked = Array.from({ length: samples * 10 }, (_, i) => keys[(i * 7919) % entries]!);
  const lookUp = await timed(picked.length, () => {
    for (const key of picked) if (tree.getCached(key) === undefined) throw new Error('not cached');
  });
  // Nothing but inner nodes fits this cache.
  const cold = open(128);
  const fetches = store.counts.fetches;
  const coldPicked = picked.slice(0, samples);
  const coldLookUp = await timed(samples, async () => {
    for (const key of coldPicked) await cold.get(key);
  });
  const reads = (store.counts.fetches - fetches) / samples;
  let listed = 0;
  const list = await timed(entries, async () => {
    for (let after: Key | undefined; ;) {
      const page = await tree.scan(after, 500);
      listed += page.entries.length;
      after = page.entries.at(-1)?.key;
      if (page.done) return;
    }
  });
  if (listed !== entries) throw new Error(`${listed} of ${entries} listed`);
  const levels = 1 + Math.max(...[...store.mutableAddresses()].map((address) => store.peek(address)!.payload[1]!));
  const remove = await writesOf(entries, () => inBatches(tree, keys, null));
  const figures = [create.time, create.writes, single.time, single.writes, lookUp, coldLookUp, reads, list, remove.time, remove.writes];
  return [String(entries), String(levels), String(nodes), ...figures.map((figure) => figure.toFixed(2)), String(store.mutableAddresses().size)];
}

const most = Number(process.argv[2] ?? 1e6);
const rows: string[][] = [];
// The first run warms the compiler up and is not shown.
await measure(10_000);
for (let entries = 1000; entries <= most; entries *= 10) {
  const row = await measure(entries);
  rows.push(row);
  console.log(columns.map((name, i) => `${name} ${row[i]}`).join(', '));
}
const table = [columns, columns.map(() => '--:'), ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n');
console.log(`\n${table}`);
if (most >= 1e6) {
  const page = `# The B-link tree from 10^3 to 10^6 entries

\`node bench/tree.ts\` on ${cpus()[0]?.model ?? 'an unknown processor'}, Node ${process.versions.node}, block store in memory, nodes of 8 KiB. Per operation; µs are
processor time, "blocks" are mutable-block writes by which it is durable. Create and delete come in batches of ${batch} (as a directory is
flushed), "one more" one by one. A look-up is synchronous from a warm cache; a cold one has a cache that holds 128 nodes. "left": blocks
after everything was deleted.

${table}
`;
  writeFileSync(new URL('results/tree.md', import.meta.url), page);
}
