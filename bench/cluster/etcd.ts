/** A three-member etcd on this machine, and a client for it: gRPC over one HTTP/2 connection a member, its two messages laid out by hand. */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { connect, type ClientHttp2Session } from 'node:http2';
import path from 'node:path';

import { freePort } from '../../test/suites/free-port.ts';

const startDeadlineMs = 20_000;

/** A protobuf field of bytes. */
function field(number: number, bytes: Uint8Array): Buffer {
  const head = [(number << 3) | 2];
  let rest = bytes.length;
  for (; rest >= 0x80; rest >>>= 7) head.push((rest & 0x7f) | 0x80);
  head.push(rest);
  return Buffer.concat([Buffer.from(head), bytes]);
}

/** A gRPC message: not compressed, length, body. */
function framed(body: Uint8Array): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(body.length, 1);
  return Buffer.concat([head, body]);
}

/** Linux counts in hundredths of a second. */
const ticksASecond = 100;

function cpuSecondsOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
  return (Number(fields[11]) + Number(fields[12])) / ticksASecond;
}

/** One connection with one member. */
export class EtcdClient {
  readonly #session: ClientHttp2Session;

  constructor(url: string) {
    this.#session = connect(url);
    this.#session.setMaxListeners(0);
  }

  async put(key: Uint8Array, value: Uint8Array): Promise<void> {
    await this.#call('/etcdserverpb.KV/Put', Buffer.concat([field(1, key), field(2, value)]));
  }

  /** Linearizable, as etcd's reads are by default. The whole answer: the caller checks that the value is in it. */
  get(key: Uint8Array): Promise<Buffer> {
    return this.#call('/etcdserverpb.KV/Range', field(1, key));
  }

  close(): void {
    this.#session.destroy();
  }

  #call(method: string, body: Uint8Array): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      const stream = this.#session.request({ ':method': 'POST', ':path': method, 'content-type': 'application/grpc', te: 'trailers' });
      const chunks: Buffer[] = [];
      stream.on('data', (chunk: Buffer) => chunks.push(chunk));
      stream.on('trailers', (trailers: Record<string, string>) => {
        if (trailers['grpc-status'] === '0') resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks));
        else reject(new Error(`etcd: ${trailers['grpc-message']}`));
      });
      stream.on('error', reject);
      stream.end(framed(body));
    });
  }
}

/** The members, with their data below `directory`. */
export class Etcd implements AsyncDisposable {
  readonly urls: readonly string[];
  readonly #members: readonly ChildProcess[];

  private constructor(urls: readonly string[], members: readonly ChildProcess[]) {
    this.urls = urls;
    this.#members = members;
  }

  static async start(directory: string, count: number): Promise<Etcd> {
    const ports: number[] = [];
    for (let index = 0; index < count * 2; index++) ports.push(await freePort());
    const client = (index: number): string => `http://127.0.0.1:${ports[index]}`;
    const peer = (index: number): string => `http://127.0.0.1:${ports[count + index]}`;
    const indices = Array.from({ length: count }, (_, index) => index);
    const cluster = indices.map((index) => `m${index}=${peer(index)}`).join(',');
    const members = indices.map((index) =>
      spawn(
        'etcd',
        Object.entries({
          name: `m${index}`,
          'data-dir': path.join(directory, `m${index}`),
          'log-level': 'error',
          'listen-client-urls': client(index),
          'advertise-client-urls': client(index),
          'listen-peer-urls': peer(index),
          'initial-advertise-peer-urls': peer(index),
          'initial-cluster': cluster,
          'initial-cluster-state': 'new',
        }).flatMap(([name, value]) => [`--${name}`, value]),
        { stdio: 'ignore' },
      ),
    );
    const etcd = new Etcd(indices.map(client), members);
    try {
      await etcd.#ready();
      return etcd;
    } catch (error) {
      await etcd[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Processor time of all members so far. */
  cpuSeconds(): number {
    return this.#members.reduce((sum, { pid }) => sum + cpuSecondsOf(pid!), 0);
  }

  async #ready(): Promise<void> {
    const deadline = performance.now() + startDeadlineMs;
    for (const url of this.urls) {
      for (;;) {
        const health = await fetch(`${url}/health`).then(
          (response) => response.text(),
          () => '',
        );
        if (health.includes('true')) break;
        if (performance.now() > deadline) throw new Error(`etcd at ${url} does not come up`);
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(
      this.#members.map((member) => {
        const gone = new Promise((resolve) => member.once('exit', resolve));
        member.kill('SIGKILL');
        return gone;
      }),
    );
  }
}
