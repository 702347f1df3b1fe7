import { FileSystemError } from '../../src/filesystem/index.ts';

/** A thing in the model. */
export interface Node {
  readonly type: 'file' | 'directory' | 'symlink' | 'whiteout';
  /** The volume's number for it, once known. */
  inode: number;
  links: number;
  content: Buffer;
  readonly entries: Map<string, Node>;
  parent: Node | undefined;
  mode: number;
  readonly xattrs: Map<string, string>;
  /** Index of the last operation on names that concerned it. */
  named: number;
  /** Counts changes of its content, and of those the ones that were acknowledged as durable. */
  changes: number;
  synced: number;
}

export function node(type: Node['type'], mode: number, parent: Node | undefined): Node {
  return {
    type,
    inode: 0,
    links: type === 'directory' ? 2 : 1,
    content: Buffer.alloc(0),
    entries: new Map(),
    parent,
    mode,
    xattrs: new Map(),
    named: 0,
    changes: 0,
    synced: 0,
  };
}

function fail(errno: ConstructorParameters<typeof FileSystemError>[0]): never {
  throw new FileSystemError(errno);
}

/** POSIX in its simplest form: nodes and maps, all durable never. What a volume does is held against it. */
export class Model {
  root: Node = node('directory', 0o755, undefined);
  /** State of all names after each operation. */
  readonly history: string[] = [];

  constructor() {
    this.root.inode = 1;
    this.note();
  }

  /** Remembers the names as they are now, and which nodes the operation concerned. */
  note(...concerned: (Node | undefined)[]): void {
    this.history.push(describe(this.root));
    for (const one of concerned) if (one !== undefined) one.named = this.history.length - 1;
  }

  /** Directories in a fixed order. */
  directories(): Node[] {
    return this.#all().filter(({ type }) => type === 'directory');
  }

  files(): Node[] {
    return this.#all().filter(({ type }) => type === 'file');
  }

  make(parent: Node, name: string, type: Node['type'], mode: number): Node {
    if (parent.entries.has(name)) fail('EEXIST');
    const made = node(type, mode, type === 'directory' ? parent : undefined);
    parent.entries.set(name, made);
    if (type === 'directory') parent.links++;
    return made;
  }

  unlink(parent: Node, name: string): Node {
    const gone = parent.entries.get(name) ?? fail('ENOENT');
    if (gone.type === 'directory') fail('EISDIR');
    parent.entries.delete(name);
    gone.links--;
    return gone;
  }

  rmdir(parent: Node, name: string): Node {
    const gone = parent.entries.get(name) ?? fail('ENOENT');
    if (gone.type !== 'directory') fail('ENOTDIR');
    if (gone.entries.size > 0) fail('ENOTEMPTY');
    parent.entries.delete(name);
    parent.links--;
    gone.links = 0;
    return gone;
  }

  link(file: Node, parent: Node, name: string): void {
    if (parent.entries.has(name)) fail('EEXIST');
    parent.entries.set(name, file);
    file.links++;
  }

  rename(from: Node, name: string, to: Node, newName: string, flags: number): void {
    const source = from.entries.get(name) ?? fail('ENOENT');
    const target = to.entries.get(newName);
    if (flags === 1 && target !== undefined) fail('EEXIST');
    if (source.type === 'directory' && from !== to && isBelow(to, source)) fail('EINVAL');
    if (flags === 2) {
      if (target === undefined) fail('ENOENT');
      if (target.type === 'directory' && from !== to && isBelow(from, target)) fail('EINVAL');
      this.#move(source, from, to, newName);
      this.#move(target, to, from, name);
      return;
    }
    if (source === target) return;
    if (target !== undefined) {
      if (source.type === 'directory' && target.type !== 'directory') fail('ENOTDIR');
      if (source.type !== 'directory' && target.type === 'directory') fail('EISDIR');
      if (target.entries.size > 0) fail('ENOTEMPTY');
      target.links = target.type === 'directory' ? 0 : target.links - 1;
      if (target.type === 'directory') to.links--;
    }
    from.entries.delete(name);
    if (flags === 4) from.entries.set(name, node('whiteout', 0, undefined));
    this.#move(source, from, to, newName);
  }

  #move(moving: Node, from: Node, to: Node, name: string): void {
    to.entries.set(name, moving);
    if (moving.type !== 'directory') return;
    from.links--;
    to.links++;
    moving.parent = to;
  }

  #all(): Node[] {
    const all = new Set<Node>();
    const walk = (one: Node): void => {
      all.add(one);
      for (const name of [...one.entries.keys()].sort()) walk(one.entries.get(name)!);
    };
    walk(this.root);
    return [...all];
  }
}

function isBelow(inner: Node, outer: Node): boolean {
  for (let at: Node | undefined = inner; at !== undefined; at = at.parent) if (at === outer) return true;
  return false;
}

/** All names with the numbers behind them, as text. */
export function describe(root: Node): string {
  const lines: string[] = [];
  const walk = (directory: Node, path: string): void => {
    for (const name of [...directory.entries.keys()].sort()) {
      const child = directory.entries.get(name)!;
      lines.push(`${path}/${name}=${child.inode}`);
      walk(child, `${path}/${name}`);
    }
  };
  walk(root, '');
  return lines.join('\n');
}
