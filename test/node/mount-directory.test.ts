import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, realpathSync, rmSync, statSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';

import { createLogger } from '../../src/base/index.ts';
import { makeMountDirectory } from '../../src/node/mounts/mount-directory.ts';

test('where volumes are mounted root alone may enter; what others may enter already is left so, and said', () => {
  const above = mkdtempSync(path.join(tmpdir(), 'infinit-mount-directory-'));
  try {
    const lines: string[] = [];
    const logger = createLogger('info', (_level, line) => lines.push(line));
    const directory = path.join(above, 'volumes');
    makeMountDirectory(directory, logger);
    symlinkSync('.', path.join(above, 'way'));
    assert.equal(makeMountDirectory(path.join(above, 'way', 'volumes'), logger), realpathSync(directory));
    assert.deepEqual([statSync(directory).mode & 0o777, lines], [0o700, []]);
    chmodSync(directory, 0o755);
    makeMountDirectory(directory, logger);
    assert.equal(statSync(directory).mode & 0o777, 0o755);
    assert.match(lines.join('\n'), /chmod 700/);
  } finally {
    rmSync(above, { recursive: true, force: true });
  }
});
