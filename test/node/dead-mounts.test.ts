import assert from 'node:assert/strict';
import { test } from 'node:test';

import { createLogger } from '../../src/base/index.ts';
import { sayDeadMounts } from '../../src/node/mounts/dead-mounts.ts';

const mount = (source: string, mountPoint: string, connection: number) => ({ source, mountPoint, connection });

test('a mount that an earlier daemon left dead is told of with the containers that hold on to it', async () => {
  const lines: string[] = [];
  const logger = createLogger('info', (_level, line) => lines.push(line));
  const [web, db] = ['a'.repeat(64), 'b'.repeat(64)];
  const look = () =>
    Promise.resolve([
      { id: web, pid: 1, mounts: [mount('data', '/d', 51), mount('logs', '/logs', 52)] },
      { id: db, pid: 2, mounts: [mount('data', '/var/lib/db', 51)] },
    ]);
  await sayDeadMounts([mount('data', '/volumes/data', 51), mount('idle', '/volumes/idle', 53)], logger, look);
  assert.match(lines[0]!, /must be restarted .* volume=data .*containers="aaaaaaaaaaaa bbbbbbbbbbbb"/);
  assert.match(lines[1]!, /no container uses.* volume=idle/);
  assert.equal(lines.length, 2);
});
