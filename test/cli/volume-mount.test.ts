import assert from 'node:assert/strict';
import { test } from 'node:test';

import { mountedAt } from '../../src/cli/commands/volume-mount.ts';

test('a directory is found among the mounts whatever its name is, by what was mounted there last', () => {
  // As the kernel writes them: blank, tab, line end and backslash in octal, all else as it is.
  const mounts = [
    String.raw`data /mnt/my\040data fuse.infinit rw 0 0`,
    String.raw`tab /mnt/a\011b fuse.infinit rw 0 0`,
    String.raw`line /mnt/a\012b fuse.infinit rw 0 0`,
    String.raw`back /mnt/a\134b fuse.infinit rw 0 0`,
    'return /mnt/a\rb fuse.infinit rw 0 0',
    'feed /mnt/a\fb fuse.infinit rw 0 0',
    'hard /mnt/a\u00A0b fuse.infinit rw 0 0',
    'wide /mnt/a\u3000b fuse.infinit rw 0 0',
    'below /mnt/twice fuse.infinit rw 0 0',
    'tmpfs /mnt/twice tmpfs rw 0 0',
    'tmpfs /mnt/again tmpfs rw 0 0',
    'above /mnt/again fuse.infinit rw 0 0',
    'other /mnt/other ext4 rw 0 0',
  ].join('\n');
  const found = (place: string): string | undefined => mountedAt(place, mounts);
  assert.deepEqual(
    ['/mnt/my data', '/mnt/a\tb', '/mnt/a\nb', String.raw`/mnt/a\b`, '/mnt/a\rb', '/mnt/a\fb', '/mnt/a\u00A0b', '/mnt/a\u3000b'].map(found),
    ['data', 'tab', 'line', 'back', 'return', 'feed', 'hard', 'wide'],
  );
  assert.deepEqual([found('/mnt/twice'), found('/mnt/again'), found('/mnt/other'), found('/mnt')], [undefined, 'above', undefined, undefined]);
});
