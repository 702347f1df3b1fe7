/**
 * `node bench/disk.ts [directory] [rounds]`: one host's store beside plain LevelDB and a file per block, in one run on one disk.
 * The engines take turns within each round, so that what else the machine does hits all of them; each figure is the median of the rounds.
 */
import { randomFillSync } from 'node:crypto';
import { mkdir, mkdtemp, open, readFile, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { ClassicLevel } from 'classic-level';

import { type Address, mutableAddress } from '../src/block/index.ts';
import { LogDisk, nodeFiles } from '../src/disk/index.ts';

interface Engine {
  readonly name: string;
  put(address: Address, bytes: Uint8Array): Promise<void>;
  get(address: Address): Promise<Uint8Array | undefined>;
  close(): Promise<void>;
}

const makers: readonly ((directory: string) => Promise<Engine>)[] = [
  async (directory) => {
    const disk = await LogDisk.open(directory);
    return {
      name: 'LogDisk',
      put: (address, bytes) => disk.write([{ type: 'put', address, bytes }]),
      get: (address) => disk.read(address),
      close: () => disk[Symbol.asyncDispose](),
    };
  },
  async (directory) => {
    const level = new ClassicLevel<string, Uint8Array>(directory, { valueEncoding: 'view', compression: false });
    await level.open();
    return {
      name: 'classic-level',
      put: (address, bytes) => level.put(address, bytes, { sync: true }),
      get: (address) => level.get(address),
      close: () => level.close(),
    };
  },
  async (directory) => {
    for (let shard = 0; shard < 256; shard++) await mkdir(path.join(directory, shard.toString(16).padStart(2, '0')), { recursive: true });
    const nameOf = (address: Address): string => path.join(directory, address.slice(2, 4), address);
    return {
      name: 'file per block',
      put: async (address, bytes) => {
        const file = nameOf(address);
        await using handle = await open(`${file}.new`, 'w');
        await handle.writeFile(bytes);
        await handle.datasync();
        await rename(`${file}.new`, file);
        // Without this the name itself is not durable.
        await using parent = await open(path.dirname(file), 'r');
        await parent.sync();
      },
      get: (address) => readFile(nameOf(address)),
      close: async () => {},
    };
  },
  async (directory) => {
    const file = await nodeFiles.open(path.join(directory, 'raw'), 'write');
    let end = 0;
    const places = new Map<Address, { at: number; length: number }>();
    return {
      name: 'bare appends to one file',
      put: async (address, bytes) => {
        places.set(address, { at: end, length: bytes.length });
        end += bytes.length;
        await nodeFiles.write(file, [bytes], end - bytes.length);
      },
      get: async (address) => {
        const { at, length } = places.get(address)!;
        const bytes = new Uint8Array(length);
        await nodeFiles.read(file, bytes, at);
        return bytes;
      },
      close: () => nodeFiles.close(file),
    };
  },
];

interface Workload {
  readonly name: string;
  readonly unit: 'ops/s' | 'MB/s';
  readonly size: number;
  readonly writers: number;
  readonly read?: true;
}

const workloads: readonly Workload[] = [
  { name: '1 MiB blocks, durable, 1 writer', unit: 'MB/s', size: 1_048_576, writers: 1 },
  { name: '1 MiB blocks, durable, 8 writers', unit: 'MB/s', size: 1_048_576, writers: 8 },
  { name: '4 KiB durable writes, 1 writer', unit: 'ops/s', size: 4096, writers: 1 },
  { name: '4 KiB durable writes, 16 writers', unit: 'ops/s', size: 4096, writers: 16 },
  { name: '4 KiB durable writes, 64 writers', unit: 'ops/s', size: 4096, writers: 64 },
  { name: '300 B durable writes, 1 writer', unit: 'ops/s', size: 300, writers: 1 },
  { name: '1 MiB reads, 1 reader', unit: 'MB/s', size: 1_048_576, writers: 1, read: true },
  { name: '4 KiB reads, 1 reader', unit: 'ops/s', size: 4096, writers: 1, read: true },
  { name: '4 KiB reads, 16 readers', unit: 'ops/s', size: 4096, writers: 16, read: true },
];

const stretchMs = 300;

async function measure(engine: Engine, workload: Workload, known: Map<number, Address[]>): Promise<number> {
  const bytes = randomFillSync(new Uint8Array(workload.size));
  const addresses = known.get(workload.size) ?? [];
  known.set(workload.size, addresses);
  const start = performance.now();
  let count = 0;
  await Promise.all(
    Array.from({ length: workload.writers }, async () => {
      while (performance.now() - start < stretchMs) {
        const address = workload.read ? addresses[(count * 7919) % addresses.length]! : mutableAddress();
        count++;
        if (workload.read) await engine.get(address);
        else {
          await engine.put(address, bytes);
          addresses.push(address);
        }
      }
    }),
  );
  const seconds = (performance.now() - start) / 1000;
  return workload.unit === 'ops/s' ? count / seconds : (count * workload.size) / seconds / 1e6;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
}

const base = await mkdtemp(path.join(process.argv[2] ?? tmpdir(), 'infinit-bench-'));
const rounds = Number(process.argv[3] ?? 3);
try {
  const engines: Engine[] = [];
  for (const [at, make] of makers.entries()) {
    const directory = path.join(base, String(at));
    await mkdir(directory);
    engines.push(await make(directory));
  }
  const known = engines.map(() => new Map<number, Address[]>());
  const results = engines.map(() => workloads.map((): number[] => []));
  for (let round = 0; round < rounds; round++) {
    for (const [row, workload] of workloads.entries()) {
      for (const [column, engine] of engines.entries()) results[column]![row]!.push(await measure(engine, workload, known[column]!));
    }
  }
  console.log(`Median of ${rounds} rounds of ${stretchMs} ms; in brackets: LogDisk's figure over it.\n`);
  console.log(`| | ${engines.map(({ name }) => name).join(' | ')} |\n|---|${engines.map(() => '---:|').join('')}`);
  for (const [row, workload] of workloads.entries()) {
    const figures = engines.map((_, column) => median(results[column]![row]!));
    const cells = figures.map(
      (figure, column) => `${Math.round(figure).toLocaleString('en')}${column === 0 ? '' : ` (×${(figures[0]! / figure).toFixed(1)})`}`,
    );
    console.log(`| ${workload.name}, ${workload.unit} | ${cells.join(' | ')} |`);
  }
  for (const engine of engines) await engine.close();
} finally {
  await rm(base, { recursive: true, force: true });
}
