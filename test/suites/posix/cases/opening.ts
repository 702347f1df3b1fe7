import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import * as sys from '../syscalls.ts';
import { alice, bob, type Cases, gives, guests, moves, staff } from '../scene.ts';

function tryOpen(path: string, flags: number, mode = 0): string {
  const result = sys.open(path, flags, mode);
  if (typeof result === 'string') return result;
  sys.must(sys.close(result));
  return 'opened';
}

/** Why a program cannot be started. */
function refusal(program: string): unknown {
  const { error } = spawnSync(program);
  return error !== undefined && 'code' in error ? error.code : undefined;
}

export const opening: Cases = {
  'read and write permission are those of owner, group and others, in this order': (scene) => {
    const file = scene.file('file');
    sys.must(sys.chown(file, alice, staff));
    const users = [
      [alice, guests, 6],
      [bob, staff, 3],
      [bob, guests, 0],
    ] as const;
    for (let mode = 0; mode < 0o1000; mode += 0o011) {
      sys.must(sys.chmod(file, mode & 0o777));
      for (const [uid, gid, shift] of users) {
        const bits = (mode >> shift) & 7;
        for (const [flags, needed] of [
          [sys.O.RDONLY, 4],
          [sys.O.WRONLY, 2],
          [sys.O.RDWR, 6],
        ] as const) {
          const expected = (bits & needed) === needed ? 'opened' : 'EACCES';
          assert.equal(
            sys.as(uid, gid, () => tryOpen(file, flags)),
            expected,
            `${mode.toString(8)} for ${uid}:${gid} with ${flags}`,
          );
        }
      }
    }
    sys.must(sys.chmod(file, 0o060));
    assert.equal(
      sys.as(bob, bob, () => tryOpen(file, sys.O.RDWR), [guests, staff]),
      'opened',
      'by a supplementary group',
    );
    assert.equal(tryOpen(file, sys.O.RDWR), 'opened', 'root');
  },
  'directories are searched by x, listed by r': (scene) => {
    const folder = scene.folder('folder');
    scene.file('folder/file', '', 0o666);
    sys.must(sys.chown(folder, alice, staff));
    for (const [mode, search, list] of [
      [0o700, 'opened', 'opened'],
      [0o400, 'EACCES', 'opened'],
      [0o100, 'opened', 'EACCES'],
      [0o077, 'EACCES', 'EACCES'],
    ] as const) {
      sys.must(sys.chmod(folder, mode));
      sys.as(alice, staff, () => {
        assert.equal(tryOpen(`${folder}/file`, sys.O.RDWR), search, mode.toString(8));
        assert.equal(tryOpen(folder, sys.O.RDONLY | sys.O.DIRECTORY), list, mode.toString(8));
      });
    }
  },
  'O_CREAT makes a file with a mode that need not allow its own opening': (scene) => {
    sys.as(alice, staff, () => {
      const fd = sys.must(sys.open(scene.at('file'), sys.O.CREAT | sys.O.RDWR, 0));
      assert.equal(sys.write(fd, 'x'), 1);
      sys.must(sys.close(fd));
      assert.equal(tryOpen(scene.at('file'), sys.O.RDONLY), 'EACCES');
    });
    assert.equal(sys.stat(scene.at('file')).permissions, 0);
  },
  'O_CREAT on what exists leaves mode and owner alone': (scene) => {
    const file = scene.file('file', 'text', 0o640);
    assert.equal(tryOpen(file, sys.O.CREAT | sys.O.RDWR, 0o777), 'opened');
    assert.deepEqual([sys.stat(file).permissions, scene.text(file)], [0o640, 'text']);
    moves(file, [], () => assert.equal(tryOpen(file, sys.O.CREAT | sys.O.RDONLY, 0o777), 'opened'));
    assert.equal(tryOpen(scene.directory, sys.O.CREAT | sys.O.RDWR, 0o644), 'EISDIR');
  },
  'O_CREAT follows a dangling symbolic link, with O_EXCL it does not': (scene) => {
    const link = scene.make('symlink');
    assert.equal(tryOpen(link, sys.O.CREAT | sys.O.EXCL | sys.O.WRONLY, 0o644), 'EEXIST');
    assert.equal(tryOpen(link, sys.O.CREAT | sys.O.WRONLY, 0o644), 'opened');
    assert.equal(sys.stat(scene.at('nowhere')).type, sys.S.IFREG);
  },
  'O_TRUNC empties a file and moves its times, but only with the right to write': (scene) => {
    const file = scene.file('file', 'text', 0o644);
    assert.equal(
      sys.as(alice, staff, () => tryOpen(file, sys.O.RDONLY | sys.O.TRUNC)),
      'EACCES',
    );
    assert.equal(sys.stat(file).size, 4);
    moves(file, ['modified', 'changed'], () => assert.equal(tryOpen(file, sys.O.WRONLY | sys.O.TRUNC), 'opened'));
    assert.equal(sys.stat(file).size, 0);
  },
  'O_NOFOLLOW and O_DIRECTORY refuse what is otherwise': (scene) => {
    const file = scene.file('file');
    sys.must(sys.symlink('file', scene.at('link')));
    assert.equal(tryOpen(scene.at('link'), sys.O.RDONLY | sys.O.NOFOLLOW), 'ELOOP');
    assert.equal(tryOpen(file, sys.O.RDONLY | sys.O.DIRECTORY), 'ENOTDIR');
    assert.equal(tryOpen(scene.directory, sys.O.RDONLY | sys.O.DIRECTORY), 'opened');
    assert.equal(tryOpen(scene.directory, sys.O.WRONLY), 'EISDIR');
    assert.equal(tryOpen(scene.directory, sys.O.RDWR), 'EISDIR');
  },
  'a descriptor does only what it was opened for': (scene) => {
    const file = scene.file('file', 'text');
    scene.opened(file, sys.O.RDONLY, (fd) => {
      gives(sys.write(fd, 'x'), 'EBADF');
      gives(sys.ftruncate(fd, 1), 'EINVAL');
      gives(sys.fallocate(fd, 0, 0, 100), 'EBADF');
    });
    scene.opened(file, sys.O.WRONLY, (fd) => assert.equal(sys.pread(fd, 4, 0).error, 'EBADF'));
    scene.opened(scene.directory, sys.O.RDONLY, (fd) => assert.equal(sys.pread(fd, 4, 0).error, 'EISDIR'));
  },
  'a descriptor keeps its rights when the mode changes': (scene) => {
    const file = scene.file('file', 'text', 0o666);
    const fd = sys.must(sys.as(alice, staff, () => sys.open(file, sys.O.RDWR)));
    sys.must(sys.chmod(file, 0));
    sys.as(alice, staff, () => {
      assert.equal(sys.pread(fd, 4, 0).text, 'text');
      gives(sys.pwrite(fd, 'more', 0), 4);
    });
    sys.must(sys.close(fd));
    assert.equal(sys.stat(file).permissions, 0);
  },
  'a program that runs cannot be written, one that is written cannot run': (scene) => {
    const program = scene.at('program');
    sys.must(sys.close(sys.must(sys.open(program, sys.O.CREAT | sys.O.WRONLY, 0o755))));
    scene.opened(program, sys.O.WRONLY, (fd) => {
      sys.must(sys.write(fd, '#!/bin/sh\nexit 7\n'));
      assert.equal(refusal(program), 'ETXTBSY');
    });
    assert.equal(spawnSync(program).status, 7);
  },
  'an executable needs an x for somebody, for root too': (scene) => {
    const program = scene.file('program', '#!/bin/sh\nexit 3\n', 0o644);
    assert.equal(refusal(program), 'EACCES');
    sys.must(sys.chmod(program, 0o100));
    assert.equal(spawnSync(program).status, 3);
  },
  'O_APPEND writes go to the end, wherever the position is and whoever wrote last': (scene) => {
    const file = scene.file('file', 'start ');
    const one = sys.must(sys.open(file, sys.O.WRONLY | sys.O.APPEND));
    const two = sys.must(sys.open(file, sys.O.WRONLY | sys.O.APPEND));
    for (let i = 0; i < 20; i++) {
      sys.must(sys.lseek(one, 0, sys.SEEK.SET));
      sys.must(sys.write(i % 2 === 0 ? one : two, `${i} `));
    }
    sys.must(sys.close(one));
    sys.must(sys.close(two));
    assert.equal(scene.text(file), `start ${Array.from({ length: 20 }, (_, i) => `${i} `).join('')}`);
  },
  'O_TMPFILE makes a file without a name, which may get one': (scene) => {
    const fd = sys.must(sys.open(scene.directory, sys.O.TMPFILE | sys.O.RDWR, 0o640));
    assert.deepEqual([sys.stat(fd).links, scene.list()], [0, []]);
    sys.must(sys.write(fd, 'text'));
    gives(sys.linkFd(fd, scene.at('named')), 0);
    assert.deepEqual([sys.stat(fd).links, sys.stat(scene.at('named')).permissions], [1, 0o640]);
    sys.must(sys.close(fd));
    assert.equal(scene.text(scene.at('named')), 'text');
    const exclusive = sys.must(sys.open(scene.directory, sys.O.TMPFILE | sys.O.RDWR | sys.O.EXCL, 0o640));
    gives(sys.linkFd(exclusive, scene.at('never')), 'ENOENT');
    sys.must(sys.close(exclusive));
    gives(sys.open(scene.directory, sys.O.TMPFILE | sys.O.RDONLY, 0o640), 'EINVAL');
  },
};
