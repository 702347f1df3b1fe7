import assert from 'node:assert/strict';
import * as sys from '../syscalls.ts';
import { alice, type Cases, fileTypes, gives, moves, staff } from '../scene.ts';

const mebi = 1 << 20;

export const sizes: Cases = {
  'truncate cuts and extends with zeros, by name and by descriptor': (scene) => {
    const file = scene.file('file', 'abcdefgh');
    gives(sys.truncate(file, 3), 0);
    assert.equal(scene.text(file), 'abc');
    gives(sys.truncate(file, 6), 0);
    assert.equal(scene.text(file), 'abc\0\0\0');
    scene.opened(file, sys.O.RDWR, (fd) => {
      gives(sys.ftruncate(fd, 70_000), 0);
      sys.must(sys.pwrite(fd, 'end', 69_997));
      gives(sys.ftruncate(fd, 2), 0);
      gives(sys.ftruncate(fd, 70_000), 0);
      assert.equal(sys.pread(fd, 3, 69_997).text, '\0\0\0', 'what was cut off does not come back');
      assert.equal(sys.pread(fd, 4, 0).text, 'ab\0\0');
    });
  },
  'truncating moves both times, also to the size it has': (scene) => {
    const file = scene.file('file', 'text');
    moves(file, ['modified', 'changed'], () => gives(sys.truncate(file, 2), 0));
    moves(file, ['modified', 'changed'], () => gives(sys.truncate(file, 10), 0));
    scene.opened(file, sys.O.RDWR, (fd) => moves(file, ['modified', 'changed'], () => gives(sys.ftruncate(fd, 5), 0)));
  },
  'what cannot be truncated': (scene) => {
    gives(sys.truncate(scene.directory, 0), 'EISDIR');
    for (const type of fileTypes) if (['fifo', 'socket'].includes(type)) gives(sys.truncate(scene.make(type), 0), 'EINVAL', type);
    const file = scene.file('file', 'text', 0o644);
    gives(sys.truncate(file, -1), 'EINVAL');
    moves(file, [], () =>
      gives(
        sys.as(alice, staff, () => sys.truncate(file, 0)),
        'EACCES',
      ),
    );
    scene.opened(file, sys.O.RDWR, (fd) => gives(sys.ftruncate(fd, -1), 'EINVAL'));
  },
  'files are sparse up to terabytes': (scene) => {
    const file = scene.file('file');
    const huge = 8 * 2 ** 40;
    scene.opened(file, sys.O.RDWR, (fd) => {
      sys.must(sys.pwrite(fd, 'far away', huge));
      assert.equal(sys.stat(fd).size, huge + 8);
      assert.equal(sys.pread(fd, 20, huge - 4).text, '\0\0\0\0far away');
      assert.equal(sys.pread(fd, 4, 2 ** 40).text, '\0\0\0\0');
      gives(sys.fsync(fd), 0);
    });
    assert.ok(sys.stat(file).blocks < 4096, 'a hole takes no room');
    gives(sys.truncate(file, 2 ** 62), 'EFBIG');
  },
  'SEEK_DATA and SEEK_HOLE find what was written, flushed or not': (scene) => {
    for (const flush of [false, true]) {
      const path = scene.fresh();
      scene.file(path.slice(scene.directory.length + 1));
      scene.opened(path, sys.O.RDWR, (fd) => {
        sys.must(sys.pwrite(fd, Buffer.alloc(mebi, 'x'), 4 * mebi));
        gives(sys.ftruncate(fd, 16 * mebi), 0);
        if (flush) gives(sys.fsync(fd), 0);
        gives(sys.lseek(fd, 0, sys.SEEK.HOLE), 0);
        gives(sys.lseek(fd, 0, sys.SEEK.DATA), 4 * mebi);
        gives(sys.lseek(fd, 4 * mebi + 100, sys.SEEK.DATA), 4 * mebi + 100);
        gives(sys.lseek(fd, 4 * mebi, sys.SEEK.HOLE), 5 * mebi);
        gives(sys.lseek(fd, 6 * mebi, sys.SEEK.HOLE), 6 * mebi);
        gives(sys.lseek(fd, 6 * mebi, sys.SEEK.DATA), 'ENXIO');
        gives(sys.lseek(fd, 16 * mebi, sys.SEEK.DATA), 'ENXIO');
        gives(sys.lseek(fd, 16 * mebi, sys.SEEK.HOLE), 'ENXIO');
        gives(sys.lseek(fd, 0, sys.SEEK.END), 16 * mebi);
      });
    }
  },
  'fallocate gives room and size, or with KEEP_SIZE only room': (scene) => {
    const file = scene.file('file', 'text');
    scene.opened(file, sys.O.RDWR, (fd) => {
      gives(sys.fallocate(fd, 0, 0, 2 * mebi), 0);
      assert.equal(sys.stat(fd).size, 2 * mebi);
      gives(sys.fallocate(fd, sys.FALLOCATE.KEEP_SIZE, 2 * mebi, mebi), 0);
      assert.equal(sys.stat(fd).size, 2 * mebi);
      assert.equal(sys.pread(fd, 6, 0).text, 'text\0\0');
      gives(sys.fallocate(fd, 0, 0, 0), 'EINVAL');
      gives(sys.fallocate(fd, 0, -1, 10), 'EINVAL');
      gives(sys.fallocate(fd, 0, 0, 10), 0);
      assert.equal(sys.stat(fd).size, 2 * mebi);
      moves(file, ['modified', 'changed'], () => gives(sys.fallocate(fd, 0, 3 * mebi, 10), 0));
    });
  },
  'holes are punched and ranges zeroed to the byte': (scene) => {
    const file = scene.file('file');
    const { KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE } = sys.FALLOCATE;
    scene.opened(file, sys.O.RDWR, (fd) => {
      sys.must(sys.pwrite(fd, Buffer.alloc(4 * mebi, 'x'), 0));
      gives(sys.fallocate(fd, PUNCH_HOLE | KEEP_SIZE, 100, mebi), 0);
      gives(sys.fallocate(fd, ZERO_RANGE | KEEP_SIZE, 2 * mebi + 7, 11), 0);
      const text = Buffer.alloc(4 * mebi, 'x').fill(0, 100, 100 + mebi);
      text.fill(0, 2 * mebi + 7, 2 * mebi + 18);
      assert.ok(Buffer.from(sys.pread(fd, 5 * mebi, 0).text, 'latin1').equals(text));
      gives(sys.fallocate(fd, PUNCH_HOLE | KEEP_SIZE, 3 * mebi, 100 * mebi), 0);
      assert.equal(sys.stat(fd).size, 4 * mebi, 'beyond the end nothing grows');
      gives(sys.fallocate(fd, PUNCH_HOLE, 0, 10), 'EOPNOTSUPP');
      gives(sys.fallocate(fd, ZERO_RANGE, 4 * mebi, mebi), 0);
      assert.equal(sys.stat(fd).size, 5 * mebi);
      moves(file, ['modified', 'changed'], () => gives(sys.fallocate(fd, PUNCH_HOLE | KEEP_SIZE, 0, 4096), 0));
    });
  },
  'a punched file takes less room': (scene) => {
    const file = scene.file('file');
    scene.opened(file, sys.O.RDWR, (fd) => {
      sys.must(sys.pwrite(fd, Buffer.alloc(8 * mebi, 'x'), 0));
      gives(sys.fsync(fd), 0);
      gives(sys.fallocate(fd, sys.FALLOCATE.PUNCH_HOLE | sys.FALLOCATE.KEEP_SIZE, 0, 7 * mebi), 0);
      gives(sys.fsync(fd), 0);
    });
    assert.ok(sys.stat(file).blocks * 512 <= 2 * mebi, `${sys.stat(file).blocks} blocks`);
  },
};
