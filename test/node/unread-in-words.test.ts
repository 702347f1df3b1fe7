import assert from 'node:assert/strict';
import { test } from 'node:test';

import { unreadInWords } from '../../src/node/volumes/unread-in-words.ts';

test('of files that cannot be read it is said how many, why, what waits for them, and how to find and get them back', () => {
  const reason = 'too few replicas of block x answered';
  assert.equal(
    unreadInWords('data', '/mnt/data', { inodes: 1, held: 0, examples: [17], reason }),
    '1 file or directory of volume "data" cannot be read: too few replicas of block x answered. Asking for it fails, all else goes on, and it comes back with the hosts of its record: ' +
      'bring those back, or see "infinit salvage" where they are lost for good (find /mnt/data -inum 17 says which)',
  );
  const many = unreadInWords('data', '/mnt/data', { inodes: 5, held: 2, examples: [17, 18], reason });
  assert.match(many, /^5 files or directories .* answered; of 2 a killed daemon left in memory what is on no disk yet\. Asking for them fails/);
  assert.match(many, /\(find \/mnt\/data -inum 17 -o -inum 18 says which\)$/);
});
