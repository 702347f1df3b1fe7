/**
 * Requests between two hosts, each in a process of its own, over loopback: `node bench/overlay.ts [native|stock]`.
 * Prints one line a measure: latency of a small request alone, small requests a second with 64 under way, bulk throughput,
 * and the latency of small requests beside a full bulk channel.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';

import { systemRandom } from '../src/base/index.ts';
import { KeyPair, Libp2pTransport, openGate, type PeerId } from '../src/overlay/index.ts';

const small = 64;
const large = 65;
const seconds = 2;

async function open(tls: 'native' | 'stock'): Promise<Libp2pTransport> {
  const process = { incarnation: 1, nonce: Buffer.from(systemRandom.bytes(8)).toString('hex') };
  const transport = new Libp2pTransport({ key: new KeyPair(systemRandom.bytes(32)), process, listen: '127.0.0.1:0', gate: openGate, tls });
  await transport.start();
  return transport;
}

async function serve(tls: 'native' | 'stock'): Promise<void> {
  const transport = await open(tls);
  const block = Buffer.alloc(1024 * 1024, 1);
  transport.handle(small, (_peer, body) => body);
  // A body asks for a block, none keeps one.
  transport.handle(large, (_peer, body) => (body.length === 1 ? block : undefined));
  process.stdout.write(`${transport.self} ${transport.addresses()[0]!}\n`);
}

/** Calls `call` with `width` under way for a while; the times of all in ms, sorted, how long it took and what CPU time it cost this process. */
async function load(width: number, call: () => Promise<unknown>): Promise<{ readonly times: number[]; readonly ms: number; readonly cpuMs: number }> {
  const times: number[] = [];
  const cpu = process.cpuUsage();
  const started = performance.now();
  const end = started + seconds * 1000;
  await Promise.all(
    Array.from({ length: width }, async () => {
      while (performance.now() < end) {
        const before = performance.now();
        await call();
        times.push(performance.now() - before);
      }
    }),
  );
  const used = process.cpuUsage(cpu);
  return { times: times.sort((a, b) => a - b), ms: performance.now() - started, cpuMs: (used.user + used.system) / 1000 };
}

function percentile(times: readonly number[], share: number): string {
  return `${Math.round(times[Math.floor((times.length - 1) * share)]! * 1000)} µs`;
}

async function measure(transport: Libp2pTransport, peer: PeerId): Promise<void> {
  const body = Buffer.alloc(200);
  const block = Buffer.alloc(1024 * 1024, 2);
  const ask = (): Promise<unknown> => transport.request(peer, small, body);
  const put = (): Promise<unknown> => transport.request(peer, large, block, { channel: 'bulk', deadlineMs: 20_000 });
  const get = (): Promise<unknown> =>
    transport.request(peer, large, Buffer.alloc(1), { channel: 'bulk', deadlineMs: 20_000, replyBytes: block.length });
  await load(64, ask);
  const alone = await load(1, ask);
  console.log(`small request alone: p50 ${percentile(alone.times, 0.5)}, p99 ${percentile(alone.times, 0.99)}`);
  const many = await load(64, ask);
  console.log(
    `small requests, 64 under way: ${Math.round((many.times.length / many.ms) * 1000)} a second, ${((many.cpuMs * 1000) / many.times.length).toFixed(1)} µs of CPU at this end for each`,
  );
  for (const [name, call] of [
    ['sent', put],
    ['fetched', get],
  ] as const) {
    const { times, ms, cpuMs } = await load(8, call);
    console.log(
      `1 MiB blocks ${name}: ${Math.round(((times.length * 1.048576) / ms) * 1000)} MB/s, ${(cpuMs / times.length).toFixed(2)} ms of CPU at this end for each`,
    );
  }
  let busy = true;
  const background = load(8, put).then(() => (busy = false));
  const beside = await load(1, async () => {
    if (busy) await ask();
  });
  await background;
  console.log(`small request beside full bulk: p50 ${percentile(beside.times, 0.5)}, p99 ${percentile(beside.times, 0.99)}`);
}

const [mode = 'native', role] = process.argv.slice(2);
const tls = mode === 'stock' ? 'stock' : 'native';
if (role === 'serve') await serve(tls);
else {
  const child = spawn(process.execPath, [import.meta.filename, tls, 'serve'], { stdio: ['ignore', 'pipe', 'inherit'] });
  try {
    const [line] = (await once(child.stdout, 'data')) as [Buffer];
    const [peer, address] = line.toString().trim().split(' ') as [string, string];
    const transport = await open(tls);
    const up = new Promise((resolve) => transport.onPeerUp(resolve));
    transport.setTargets([{ peer, addresses: [address] }]);
    await up;
    console.log(`TLS: ${tls}`);
    await measure(transport, peer);
    await transport[Symbol.asyncDispose]();
  } finally {
    child.kill('SIGKILL');
  }
}
