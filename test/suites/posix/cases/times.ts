import assert from 'node:assert/strict';
import * as sys from '../syscalls.ts';
import { alice, bob, type Cases, fileTypes, gives, moves, staff, tick } from '../scene.ts';

const [early, late] = [1_000_000_001_234_567_891n, 2_000_000_009_876_543_219n];

export const times: Cases = {
  'times are set to the nanosecond on every type of file': (scene) => {
    for (const type of fileTypes) {
      const path = scene.make(type);
      moves(path, ['modified', 'changed'], () => gives(sys.utimens(path, early, late, false), 0));
      const { accessed, modified } = sys.stat(path);
      assert.deepEqual([accessed, modified], [early, late], type);
    }
  },
  'times before 1970 and after 2038 are kept': (scene) => {
    const file = scene.file('file');
    for (const time of [-1n, -1_000_000_000n * 86_400n * 365n, 4_294_967_296_500_000_000n, 0n]) {
      gives(sys.utimens(file, time, time), 0);
      assert.equal(sys.stat(file).modified, time);
    }
  },
  'UTIME_OMIT leaves a time alone, UTIME_NOW sets it to now': (scene) => {
    const file = scene.file('file');
    sys.must(sys.utimens(file, early, early));
    gives(sys.utimens(file, 'omit', late), 0);
    assert.deepEqual([sys.stat(file).accessed, sys.stat(file).modified], [early, late]);
    gives(sys.utimens(file, late, 'omit'), 0);
    assert.deepEqual([sys.stat(file).accessed, sys.stat(file).modified], [late, late]);
    gives(sys.utimens(file, 'now', 'omit'), 0);
    const now = BigInt(Date.now()) * 1_000_000n;
    const { accessed, modified } = sys.stat(file);
    assert.ok(accessed > now - 2_000_000_000n && accessed < now + 2_000_000_000n);
    assert.equal(modified, late);
    moves(file, [], () => gives(sys.utimens(file, 'omit', 'omit'), 0));
  },
  'times follow a symbolic link unless told not to': (scene) => {
    const file = scene.file('file');
    const link = scene.at('link');
    sys.must(sys.symlink('file', link));
    sys.must(sys.utimens(file, early, early));
    gives(sys.utimens(link, late, late, false), 0);
    assert.deepEqual([sys.stat(link).modified, sys.stat(file).modified], [late, early]);
    gives(sys.utimens(link, 5n, 5n), 0);
    assert.deepEqual([sys.stat(link).modified, sys.stat(file).modified], [late, 5n]);
  },
  'the owner sets any time, who may write only "now", others none': (scene) => {
    const file = scene.file('file', '', 0o664);
    sys.must(sys.chown(file, alice, staff));
    sys.as(alice, alice, () => {
      gives(sys.utimens(file, early, early), 0);
      gives(sys.utimens(file, 'now', 'now'), 0);
    });
    sys.as(bob, staff, () => {
      gives(sys.utimens(file, 'now', 'now'), 0);
      gives(sys.utimens(file, early, early), 'EPERM');
      gives(sys.utimens(file, 'now', early), 'EPERM');
      gives(sys.utimens(file, 'omit', 'now'), 'EPERM');
    });
    sys.as(bob, bob, () => {
      gives(sys.utimens(file, 'now', 'now'), 'EACCES');
      gives(sys.utimens(file, early, early), 'EPERM');
    });
  },
  'writing moves modification and change time, and keeps moving them': (scene) => {
    const file = scene.file('file', 'text');
    scene.opened(file, sys.O.RDWR, (fd) => {
      for (let i = 0; i < 3; i++) moves(file, ['modified', 'changed'], () => sys.must(sys.pwrite(fd, 'x', i)));
    });
  },
  'a time set after a write stands, though the data are written out later': (scene) => {
    const file = scene.file('file', 'text');
    scene.opened(file, sys.O.RDWR, (fd) => {
      sys.must(sys.write(fd, 'more text'));
      gives(sys.utimens(file, early, early), 0);
      gives(sys.fsync(fd), 0);
    });
    tick();
    assert.equal(sys.stat(file).modified, early);
    assert.equal(sys.stat(file).accessed, early);
  },
  'a time written by the page cache is the same after it was flushed': (scene) => {
    const file = scene.file('file', 'text');
    scene.opened(file, sys.O.RDWR, (fd) => {
      sys.must(sys.write(fd, 'more text'));
      const { modified } = sys.stat(fd);
      gives(sys.fsync(fd), 0);
      assert.equal(sys.stat(fd).modified, modified);
    });
  },
  'reading, opening and looking change no modification or change time': (scene) => {
    const file = scene.file('file', 'text');
    moves(file, [], () => {
      scene.text(file);
      sys.access(file, 4);
      sys.getxattr(file, 'user.none');
    });
    moves(scene.directory, [], () => {
      scene.list();
      sys.tryStat(scene.at('none'));
    });
    const link = scene.make('symlink');
    moves(link, [], () => sys.readlink(link));
  },
  'writing nothing changes nothing': (scene) => {
    const file = scene.file('file', 'text');
    scene.opened(file, sys.O.RDWR, (fd) => moves(file, [], () => gives(sys.write(fd, ''), 0)));
  },
};
