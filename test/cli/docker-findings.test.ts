import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';

import { hiddenVolumes } from '../../src/cli/docker-findings.ts';

test('a local volume of Docker that hides one of the cluster is named; others, and an engine that does not answer, are not', async () => {
  const directory = await mkdtemp(path.join(tmpdir(), 'infinit-engine-'));
  const socketPath = path.join(directory, 'docker.sock');
  let answer = '';
  const engine = createServer((_request, response) => response.end(answer)).listen(socketPath);
  try {
    const volumes = [
      { Name: 'data', Driver: 'local' },
      { Name: 'mine', Driver: 'local' },
      { Name: 'db', Driver: 'infinit' },
    ];
    answer = JSON.stringify({ Volumes: volumes });
    const [found, ...more] = await hiddenVolumes(socketPath, ['data', 'db']);
    assert.equal(more.length, 0);
    assert.match(`${found!.level}: ${found!.finding}`, /^warning: .*hide those of the cluster: data$/);
    assert.deepEqual(await hiddenVolumes(socketPath, ['db']), []);
    for (const odd of ['{"Volumes":null}', 'no JSON']) {
      answer = odd;
      assert.deepEqual(await hiddenVolumes(socketPath, ['data']), []);
    }
    assert.deepEqual(await hiddenVolumes(path.join(directory, 'nobody.sock'), ['data']), []);
  } finally {
    engine.close();
    await rm(directory, { recursive: true });
  }
});
