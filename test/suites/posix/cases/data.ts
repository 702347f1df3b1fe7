import assert from 'node:assert/strict';
import * as sys from '../syscalls.ts';
import { type Cases, gives } from '../scene.ts';
import { seeded } from '../../seeded.ts';

export const data: Cases = {
  'any sequence of writes, cuts, holes and reads gives what a plain buffer would': (scene) => {
    const limit = 600_000;
    for (const seed of [1, 2, 3]) {
      const chance = seeded(seed);
      const next = (limit: number): number => Math.floor(chance() * limit);
      const path = scene.file(`file-${seed}`);
      let model = Buffer.alloc(0);
      const grow = (size: number): void => {
        if (size > model.length) model = Buffer.concat([model, Buffer.alloc(size - model.length)]);
      };
      let fd = sys.must(sys.open(path, sys.O.RDWR));
      for (let step = 0; step < 300; step++) {
        const [offset, length] = [next(limit), 1 + next(next(5) === 0 ? 100_000 : 5000)];
        switch (next(8)) {
          case 0:
          case 1:
          case 2: {
            const bytes = Buffer.alloc(length, 1 + (step % 255));
            gives(sys.pwrite(fd, bytes, offset), length);
            grow(offset + length);
            bytes.copy(model, offset);
            break;
          }
          case 3:
            gives(sys.ftruncate(fd, offset), 0);
            if (offset < model.length) model = Buffer.from(model.subarray(0, offset));
            grow(offset);
            break;
          case 4:
            gives(sys.fallocate(fd, sys.FALLOCATE.PUNCH_HOLE | sys.FALLOCATE.KEEP_SIZE, offset, length), 0);
            model.fill(0, Math.min(offset, model.length), Math.min(offset + length, model.length));
            break;
          case 5:
            if (next(4) === 0) gives(sys.fsync(fd), 0);
            sys.must(sys.close(fd));
            fd = sys.must(sys.open(path, sys.O.RDWR));
            break;
          default: {
            const { text } = sys.pread(fd, length, offset);
            assert.ok(Buffer.from(text, 'latin1').equals(model.subarray(offset, offset + length)), `seed ${seed}, step ${step}`);
          }
        }
        assert.equal(sys.stat(fd).size, model.length, `size at seed ${seed}, step ${step}`);
      }
      sys.must(sys.close(fd));
      assert.ok(Buffer.from(scene.text(path), 'latin1').equals(model), `seed ${seed}`);
    }
  },
  'reads at and beyond the end give what there is': (scene) => {
    const file = scene.file('file', 'text');
    scene.opened(file, sys.O.RDONLY, (fd) => {
      assert.equal(sys.pread(fd, 100, 2).text, 'xt');
      assert.equal(sys.pread(fd, 100, 4).text, '');
      assert.equal(sys.pread(fd, 100, 2 ** 40).text, '');
      assert.equal(sys.pread(fd, 100, -1).error, 'EINVAL');
    });
  },
  'one descriptor sees at once what another wrote': (scene) => {
    const file = scene.file('file');
    const [one, two] = [sys.must(sys.open(file, sys.O.RDWR)), sys.must(sys.open(file, sys.O.RDWR))];
    for (let i = 0; i < 100; i++) {
      sys.must(sys.pwrite(i % 2 === 0 ? one : two, `round ${i}!`, i * 4000));
      assert.equal(sys.pread(i % 2 === 0 ? two : one, 10, i * 4000).text, `round ${i}!`);
      assert.equal(sys.stat(file).size, sys.stat(two).size);
    }
    sys.must(sys.close(one));
    sys.must(sys.close(two));
  },
  'copy_file_range copies between files and within one, over dirty pages': (scene) => {
    const [from, to] = [scene.file('from', 'x'.repeat(300_000)), scene.file('to', 'y'.repeat(50))];
    const [source, target] = [sys.must(sys.open(from, sys.O.RDWR)), sys.must(sys.open(to, sys.O.RDWR))];
    sys.must(sys.pwrite(source, 'dirty', 100));
    let copied = 0;
    while (copied < 250_000) copied += sys.must(sys.copyFileRange(source, 90 + copied, target, 10 + copied, 250_000 - copied));
    assert.equal(sys.stat(to).size, 250_010);
    assert.equal(sys.pread(target, 30, 0).text, `${'y'.repeat(10)}${'x'.repeat(10)}dirty${'x'.repeat(5)}`);
    gives(sys.copyFileRange(source, 300_000, target, 0, 10), 0, 'at the end there is nothing');
    gives(sys.copyFileRange(source, 0, source, 10, 100), 'EINVAL', 'overlapping');
    sys.must(sys.close(source));
    sys.must(sys.close(target));
  },
  'sync of files, directories and the file system succeeds': (scene) => {
    const file = scene.file('file', 'text');
    scene.opened(file, sys.O.RDWR, (fd) => {
      gives(sys.fsync(fd), 0);
      gives(sys.fdatasync(fd), 0);
      gives(sys.syncfs(fd), 0);
    });
    scene.opened(scene.directory, sys.O.RDONLY | sys.O.DIRECTORY, (fd) => gives(sys.fsync(fd), 0));
  },
  'a thousand files of every small size come back as they were': (scene) => {
    for (let size = 0; size < 1000; size++) scene.file(`file-${size}`, String.fromCharCode(33 + (size % 90)).repeat(size * 17));
    for (let size = 0; size < 1000; size++) {
      assert.equal(scene.text(scene.at(`file-${size}`)), String.fromCharCode(33 + (size % 90)).repeat(size * 17));
    }
  },
};
