import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { test } from 'node:test';

test('a host alone does not load the HTTP client of Node, which would cost it 14 MiB', { timeout: 300_000 }, () => {
  const node = path.resolve(import.meta.dirname, '../../src/node/index.ts');
  const program = `await import(${JSON.stringify(node)}); console.log(process.moduleLoadList.filter((name) => /http|undici/.test(name)).join('\\n'));`;
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', program], { encoding: 'utf8' });
  const loaded = stdout.trim().split('\n');
  assert.ok(loaded.includes('NativeModule _http_server'), `its own HTTP server is there: ${stdout}${stderr}`);
  assert.deepEqual(
    loaded.filter((name) => name.includes('undici')),
    [],
  );
});
