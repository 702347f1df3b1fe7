import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { test, type TestContext } from 'node:test';

import { announce } from '../../plugin/index.ts';
import { createLogger } from '../../src/base/index.ts';

/** An engine as far as the announcement goes. */
class FakeEngine implements AsyncDisposable {
  readonly asked: string[] = [];
  answers: Record<string, unknown> = { '/volumes': { Volumes: [] } };
  /** It takes questions, as the kernel does for a stopped process, and answers none. */
  frozen = false;
  #server: Server | undefined;
  readonly #socketPath: string;

  constructor(socketPath: string) {
    this.#socketPath = socketPath;
  }

  async start(): Promise<void> {
    this.#server = createServer((request, response) => {
      const { pathname } = new URL(request.url!, 'http://engine');
      this.asked.push(pathname);
      if (this.frozen) return;
      response.writeHead(200, { 'Content-Type': 'application/json' });
      if (pathname === '/events') response.flushHeaders();
      else response.end(JSON.stringify(this.answers[pathname] ?? {}));
    });
    await new Promise<void>((resolve) => this.#server!.listen(this.#socketPath, resolve));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server?.closeAllConnections();
    await new Promise((resolve) => (this.#server === undefined ? resolve(0) : this.#server.close(resolve)));
  }
}

function socketIn(t: TestContext): string {
  const dir = mkdtempSync(path.join(tmpdir(), 'infinit-engine-'));
  t.after(() => rmSync(dir, { recursive: true }));
  return path.join(dir, 'docker.sock');
}

async function untilTrue(condition: () => boolean): Promise<void> {
  for (let i = 0; i < 300 && !condition(); i++) await sleep(10);
  assert.ok(condition());
}

const count = (engine: FakeEngine): number => engine.asked.filter((asked) => asked === '/volumes').length;

test('an absent engine is said once, and found when it comes, and again after each of its restarts', async (t) => {
  const socketPath = socketIn(t);
  const lines: string[] = [];
  await using announcement = announce({ socketPath, logger: createLogger('info', (_level, line) => lines.push(line)), retryMs: 20 });
  await untilTrue(() => lines.length > 0);
  await sleep(100);
  assert.equal(lines.filter((line) => line.includes('no Docker Engine')).length, 1);
  assert.match(lines[0]!, /is Docker installed and started/);
  assert.equal(announcement.present, false);

  const engine = new FakeEngine(socketPath);
  await engine.start();
  await untilTrue(() => announcement.present);
  assert.equal(count(engine), 1);
  await sleep(100);
  assert.equal(count(engine), 1, 'once for each start');

  await engine[Symbol.asyncDispose]();
  await untilTrue(() => !announcement.present);
  await using again = new FakeEngine(socketPath);
  await again.start();
  await untilTrue(() => announcement.present);
  assert.equal(count(again), 1);
});

test("a manager knows the swarm's hosts, a worker its managers, and others nobody", async (t) => {
  const socketPath = socketIn(t);
  await using engine = new FakeEngine(socketPath);
  await engine.start();
  await using announcement = announce({ socketPath, logger: createLogger('error', () => {}) });
  engine.answers['/info'] = { Swarm: { LocalNodeState: 'inactive' } };
  assert.deepEqual(await announcement.swarmMembers(AbortSignal.timeout(5000)), []);

  engine.answers['/info'] = {
    Name: 'w',
    Swarm: { LocalNodeState: 'active', NodeID: 'n2', NodeAddr: '10.0.0.2', RemoteManagers: [{ NodeID: 'n1', Addr: '10.0.0.1:2377' }] },
  };
  assert.deepEqual(
    (await announcement.swarmMembers(AbortSignal.timeout(5000))).map(({ id, address, self }) => [id, address, self]),
    [
      ['n2', '10.0.0.2', true],
      ['n1', '10.0.0.1', false],
    ],
  );

  engine.answers['/info'] = { Swarm: { LocalNodeState: 'active', ControlAvailable: true, NodeID: 'n1', NodeAddr: '10.0.0.1' } };
  engine.answers['/nodes'] = [
    { ID: 'n1', Description: { Hostname: 'h1' }, Status: { State: 'ready', Addr: '0.0.0.0' }, ManagerStatus: { Addr: '10.0.0.1:2377' } },
    { ID: 'n2', Description: { Hostname: 'h2' }, Status: { State: 'down', Addr: '10.0.0.2' } },
    { ID: 'n3', Description: { Hostname: 'h3' }, Status: { State: 'ready', Addr: '::1' }, ManagerStatus: { Addr: '[fd00::3]:2377' } },
  ];
  assert.deepEqual(await announcement.swarmMembers(AbortSignal.timeout(5000)), [
    { id: 'n1', hostname: 'h1', address: '10.0.0.1', ready: true, self: true },
    { id: 'n2', hostname: 'h2', address: '10.0.0.2', ready: false, self: false },
    { id: 'n3', hostname: 'h3', address: 'fd00::3', ready: true, self: false },
  ]);
});

test('an engine that is frozen is not waited for longer than the caller does', { timeout: 10_000 }, async (t) => {
  const socketPath = socketIn(t);
  await using engine = new FakeEngine(socketPath);
  engine.frozen = true;
  await engine.start();
  await using announcement = announce({ socketPath, logger: createLogger('error', () => {}) });
  const asking = new AbortController();
  const question = announcement.swarmMembers(asking.signal);
  await untilTrue(() => engine.asked.includes('/info'));
  asking.abort();
  await assert.rejects(question);
});
