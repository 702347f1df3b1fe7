import assert from 'node:assert/strict';
import * as sys from './syscalls.ts';

/** Users that need not exist anywhere. */
export const [alice, bob] = [65_533, 65_532];
/** Groups likewise. */
export const [staff, guests] = [65_531, 65_530];

export type Cases = Readonly<Record<string, (scene: Scene) => void | Promise<void>>>;

export const fileTypes = ['regular', 'directory', 'fifo', 'block', 'character', 'socket', 'symlink'] as const;
export type FileType = (typeof fileTypes)[number];

/** A directory of its own for one case, writable for everybody. */
export class Scene {
  readonly directory: string;
  #next = 0;

  constructor(directory: string) {
    this.directory = directory;
    sys.must(sys.mkdir(directory, 0o777));
    sys.must(sys.chmod(directory, 0o777));
  }

  at(...names: readonly string[]): string {
    return [this.directory, ...names].join('/');
  }

  /** A path that nothing is at yet. */
  fresh(): string {
    return this.at(`fresh-${this.#next++}`);
  }

  file(name: string, text = '', mode = 0o644): string {
    const path = this.at(name);
    const fd = sys.must(sys.open(path, sys.O.CREAT | sys.O.WRONLY | sys.O.EXCL, 0o600));
    if (text !== '') sys.must(sys.write(fd, text));
    sys.must(sys.close(fd));
    sys.must(sys.chmod(path, mode));
    return path;
  }

  folder(name: string, mode = 0o755): string {
    const path = this.at(name);
    sys.must(sys.mkdir(path, 0o700));
    sys.must(sys.chmod(path, mode));
    return path;
  }

  /** Something of the given type. */
  make(type: FileType, path: string = this.fresh()): string {
    const name = path.slice(this.directory.length + 1);
    if (type === 'regular') return this.file(name);
    if (type === 'directory') return this.folder(name);
    if (type === 'symlink') sys.must(sys.symlink('nowhere', path));
    else if (type === 'fifo') sys.must(sys.mkfifo(path, 0o644));
    else if (type === 'socket') sys.must(sys.mknod(path, sys.S.IFSOCK | 0o644));
    else sys.must(sys.mknod(path, (type === 'block' ? sys.S.IFBLK : sys.S.IFCHR) | 0o644, 1, 2));
    return path;
  }

  /** Takes away what `make` made. */
  remove(type: FileType, path: string): sys.Result {
    return type === 'directory' ? sys.rmdir(path) : sys.unlink(path);
  }

  opened<T>(path: string, flags: number, body: (fd: number) => T): T {
    const fd = sys.must(sys.open(path, flags));
    try {
      return body(fd);
    } finally {
      sys.must(sys.close(fd));
    }
  }

  text(path: string): string {
    return this.opened(path, sys.O.RDONLY, (fd) => sys.pread(fd, sys.stat(fd).size, 0).text);
  }

  /** All names, in the directory's order, without "." and "..". */
  list(path: string = this.directory): string[] {
    return this.opened(path, sys.O.RDONLY | sys.O.DIRECTORY, (fd) => {
      const names: string[] = [];
      for (let entries = sys.getdents(fd); entries.length > 0; entries = sys.getdents(fd)) names.push(...entries.map(({ name }) => name));
      return names.filter((name) => name !== '.' && name !== '..');
    });
  }
}

const clock = new Int32Array(new SharedArrayBuffer(4));

/** Lets the coarsest clock of a file system tick (ext4's moves every 4 ms). */
export function tick(): void {
  Atomics.wait(clock, 0, 0, 12);
}

/** Checks that `body` moves exactly these times of `path` forward. */
export function moves(path: string, times: readonly ('accessed' | 'modified' | 'changed')[], body: () => void): void {
  const before = sys.stat(path);
  tick();
  body();
  const now = sys.stat(path);
  for (const time of ['modified', 'changed'] as const) {
    if (times.includes(time)) assert.ok(now[time] > before[time], `${time} of ${path} moves`);
    else assert.equal(now[time], before[time], `${time} of ${path} stays`);
  }
}

/** Checks the outcome of a call. */
export function gives(result: sys.Result, expected: sys.Result, what = ''): void {
  assert.equal(result, expected, what);
}
