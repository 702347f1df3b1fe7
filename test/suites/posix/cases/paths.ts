import * as sys from '../syscalls.ts';
import { alice, type Cases, gives } from '../scene.ts';

/** Calls that take one path; `makes`: the path must not exist before. */
const calls: readonly (readonly [name: string, call: (path: string) => sys.Result, makes?: 'makes'])[] = [
  ['open', (path) => sys.open(path, sys.O.RDONLY)],
  ['create', (path) => sys.open(path, sys.O.CREAT | sys.O.WRONLY, 0o644), 'makes'],
  ['mkdir', (path) => sys.mkdir(path, 0o755), 'makes'],
  ['mkfifo', (path) => sys.mkfifo(path, 0o644), 'makes'],
  ['mknod', (path) => sys.mknod(path, sys.S.IFSOCK | 0o644), 'makes'],
  ['symlink', (path) => sys.symlink('target', path), 'makes'],
  ['chmod', (path) => sys.chmod(path, 0o644)],
  ['chown', (path) => sys.chown(path, -1, -1)],
  ['lchown', (path) => sys.lchown(path, -1, -1)],
  ['truncate', (path) => sys.truncate(path, 10)],
  ['utimens', (path) => sys.utimens(path, 'now', 'now')],
  ['unlink', (path) => sys.unlink(path)],
  ['rmdir', (path) => sys.rmdir(path)],
  ['readlink', (path) => sys.readlink(path)],
  ['stat', (path) => resultOf(sys.tryStat(path))],
  ['access', (path) => sys.access(path, 0)],
  ['setxattr', (path) => sys.setxattr(path, 'user.x', 'x')],
  ['removexattr', (path) => sys.removexattr(path, 'user.x')],
];

function resultOf(value: object | string): sys.Result {
  return typeof value === 'string' ? value : 0;
}

/** The same for both paths of link and rename, next to a file that is there. */
function twoPaths(scene: Parameters<Cases[string]>[0], path: string, expected: string): void {
  const there = scene.file(`there-${Math.random()}`);
  gives(sys.link(path, scene.fresh()), expected, 'link from');
  gives(sys.link(there, path), expected, 'link to');
  gives(sys.rename(path, scene.fresh()), expected, 'rename from');
  gives(sys.rename(there, path), expected, 'rename to');
}

export const paths: Cases = {
  'a path through something that is no directory is ENOTDIR': (scene) => {
    for (const type of ['regular', 'fifo', 'block', 'character', 'socket'] as const) {
      const path = `${scene.make(type)}/x`;
      for (const [name, call] of calls) gives(call(path), 'ENOTDIR', `${name} through ${type}`);
      twoPaths(scene, path, 'ENOTDIR');
    }
  },
  'a path through what does not exist is ENOENT': (scene) => {
    for (const path of [scene.at('none', 'x'), `${scene.make('symlink')}/x`]) {
      for (const [name, call] of calls) gives(call(path), 'ENOENT', name);
      twoPaths(scene, path, 'ENOENT');
    }
  },
  'a name that does not exist is ENOENT': (scene) => {
    for (const [name, call, makes] of calls) if (makes === undefined) gives(call(scene.at('none')), 'ENOENT', name);
    gives(sys.link(scene.at('none'), scene.at('to')), 'ENOENT');
    gives(sys.rename(scene.at('none'), scene.at('to')), 'ENOENT');
  },
  'a component of 255 bytes is fine, one of 256 is ENAMETOOLONG': (scene) => {
    const [longest, longer] = [scene.at('n'.repeat(255)), scene.at('n'.repeat(256))];
    for (const [name, call, makes] of calls) {
      gives(call(longer), 'ENAMETOOLONG', name);
      gives(call(`${longer}/x`), 'ENAMETOOLONG', name);
      if (makes !== undefined) {
        const result = call(longest);
        if (result !== 0) sys.must(sys.close(sys.must(result)));
        sys.must(name === 'mkdir' ? sys.rmdir(longest) : sys.unlink(longest));
      }
    }
    twoPaths(scene, longer, 'ENAMETOOLONG');
  },
  'a path of 4096 bytes is ENAMETOOLONG': (scene) => {
    const path = `${scene.directory}/${'./'.repeat(2048)}x`;
    for (const [name, call] of calls) gives(call(path), 'ENAMETOOLONG', name);
    twoPaths(scene, path, 'ENAMETOOLONG');
  },
  'a loop of symbolic links is ELOOP': (scene) => {
    sys.must(sys.symlink('b', scene.at('a')));
    sys.must(sys.symlink('a', scene.at('b')));
    for (const [name, call] of calls) gives(call(scene.at('a', 'x')), 'ELOOP', name);
    twoPaths(scene, scene.at('a', 'x'), 'ELOOP');
    gives(sys.open(scene.at('a'), sys.O.RDONLY), 'ELOOP');
    gives(sys.chmod(scene.at('a'), 0o644), 'ELOOP');
  },
  'an empty path is ENOENT': () => {
    for (const [name, call] of calls) gives(call(''), 'ENOENT', name);
  },
  'a directory that one may not search is EACCES': (scene) => {
    const closed = scene.folder('closed', 0o700);
    for (const name of ['file', 'other']) scene.file(`closed/${name}`);
    sys.as(alice, alice, () => {
      for (const [name, call] of calls) gives(call(`${closed}/file`), 'EACCES', name);
      gives(sys.link(`${closed}/file`, scene.fresh()), 'EACCES');
      gives(sys.rename(`${closed}/file`, scene.fresh()), 'EACCES');
    });
  },
  'a directory that one may search but not write takes no names and gives none away': (scene) => {
    const closed = scene.folder('closed', 0o755);
    scene.file('closed/file', '', 0o666);
    scene.folder('closed/folder', 0o777);
    const mine = scene.file('mine', '', 0o666);
    sys.must(sys.chown(mine, alice, alice));
    sys.as(alice, alice, () => {
      for (const [name, call, makes] of calls) if (makes !== undefined) gives(call(`${closed}/new`), 'EACCES', name);
      gives(sys.unlink(`${closed}/file`), 'EACCES');
      gives(sys.rmdir(`${closed}/folder`), 'EACCES');
      gives(sys.link(mine, `${closed}/new`), 'EACCES');
      gives(sys.rename(mine, `${closed}/new`), 'EACCES');
      gives(sys.rename(`${closed}/file`, scene.fresh()), 'EACCES');
    });
  },
  'names that exist are EEXIST for calls that make them, whatever is there': (scene) => {
    for (const type of ['regular', 'directory', 'fifo', 'block', 'character', 'socket', 'symlink'] as const) {
      const there = scene.make(type);
      gives(sys.mkdir(there, 0o755), 'EEXIST', `mkdir on ${type}`);
      gives(sys.mkfifo(there, 0o644), 'EEXIST', `mkfifo on ${type}`);
      gives(sys.mknod(there, sys.S.IFREG | 0o644), 'EEXIST', `mknod on ${type}`);
      gives(sys.symlink('x', there), 'EEXIST', `symlink on ${type}`);
      gives(sys.link(scene.file(`source-${type}`), there), 'EEXIST', `link on ${type}`);
      gives(sys.open(there, sys.O.CREAT | sys.O.EXCL | sys.O.WRONLY, 0o644), 'EEXIST', `open on ${type}`);
    }
  },
};
