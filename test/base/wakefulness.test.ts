import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';

import { createLogger, Wakefulness } from '../../src/base/index.ts';

let directory: string;
let device: string;

beforeEach(() => {
  directory = mkdtempSync(path.join(tmpdir(), 'infinit-wakefulness-'));
  device = path.join(directory, 'device');
});
afterEach(() => rmSync(directory, { recursive: true }));

/** How often this process has the device open. */
function opened(): number {
  return readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`) === device;
    } catch {
      return false;
    }
  }).length;
}

async function rested(wakefulness: Wakefulness): Promise<void> {
  while (wakefulness.state === 'held') await setTimeout(5);
}

function flow(wakefulness: Wakefulness): void {
  for (let request = 0; request < 10; request++) wakefulness.touch();
}

test('requests that flow open the device with the wish in it, rest closes it, and further requests open it again', { timeout: 300_000 }, async () => {
  writeFileSync(device, '');
  using wakefulness = new Wakefulness({ device, latencyUs: 7 });
  assert.equal(opened(), 0);
  for (let round = 0; round < 2; round++) {
    flow(wakefulness);
    assert.equal(wakefulness.state, 'held');
    assert.equal(opened(), 1);
    assert.deepEqual(readFileSync(device), Buffer.from(Int32Array.of(7).buffer));
    await rested(wakefulness);
    assert.equal(opened(), 0);
    rmSync(device);
    writeFileSync(device, '');
  }
});

test('one request is no flow', () => {
  writeFileSync(device, '');
  using wakefulness = new Wakefulness({ device });
  wakefulness.touch();
  assert.equal(wakefulness.state, 'resting');
  assert.equal(opened(), 0);
});

test('the wish suits the machine: no sleep on a virtual one, the lightest on another', () => {
  writeFileSync(device, '');
  using wakefulness = new Wakefulness({ device });
  flow(wakefulness);
  assert.ok([0, 3].includes(readFileSync(device).readInt32LE()));
});

test('who is done with it leaves nothing open', () => {
  writeFileSync(device, '');
  const wakefulness = new Wakefulness({ device });
  flow(wakefulness);
  wakefulness[Symbol.dispose]();
  assert.equal(opened(), 0);
  flow(wakefulness);
  assert.equal(opened(), 0);
});

test('without the device nothing happens, and it is said once', () => {
  const lines: string[] = [];
  using wakefulness = new Wakefulness({ device, logger: createLogger('debug', (_level, line) => lines.push(line)) });
  flow(wakefulness);
  flow(wakefulness);
  assert.equal(wakefulness.state, 'unavailable');
  assert.equal(lines.length, 1);
});

test('switched off it stays off', () => {
  writeFileSync(device, '');
  using wakefulness = new Wakefulness({ device, enabled: false });
  flow(wakefulness);
  assert.equal(wakefulness.state, 'leave');
  assert.equal(opened(), 0);
});
