import assert from 'node:assert/strict';
import { test } from 'node:test';

import { fencedInWords } from '../../src/node/volumes/fenced-in-words.ts';

test('what keeps a host from changing a volume is said with the processes, the files and what to do', () => {
  const said = fencedInWords('data', '/v/data', { files: 2, examples: [12, 13], processes: [process.pid, 2 ** 30] });
  assert.match(said, new RegExp(`what process ${process.pid} \\([^)]+\\), ${2 ** 30} of this host had locked on volume "data" \\(2 files\\)`));
  assert.match(said, /whatever changes the volume from here fails \(EIO\).*\(find \/v\/data -inum 12 -o -inum 13 says which files they are\)$/);
  assert.match(fencedInWords('data', '/v/data', { files: 1, examples: [12], processes: [] }), /what a program of this host had locked.*\(1 file\)/);
});
