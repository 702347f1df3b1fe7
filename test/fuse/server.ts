/**
 * The serving side of the tests: a process of its own, since nobody may touch a mount that he serves himself.
 * The test sends commands over the IPC channel, one at a time, and gets one answer to each.
 */
import { closeSync } from 'node:fs';
import { createLogger, systemClock } from '../../src/base/index.ts';
import { Sealer } from '../../src/block/index.ts';
import { type FileSystem, Volume } from '../../src/filesystem/index.ts';
import { type FuseOptions, kernelFileClock, mountFuse, serveFileSystem, setReadAhead } from '../../src/fuse/index.ts';
import { MemoryBlockStore } from '../suites/memory-block-store.ts';
import { MemoryFileSystem } from './memory-file-system.ts';
import type { MemoryInode } from './memory-inode.ts';

export interface ServerSettings {
  readonly mountPoint: string;
  /** 'volume': the real file system over blocks in memory, where commands that change the file system do nothing. */
  readonly serves?: 'memory' | 'volume';
  readonly options?: Partial<FuseOptions>;
}

export type Command =
  /** Makes an operation wait until `release`. */
  | { readonly do: 'hold'; readonly operation: keyof FileSystem }
  | { readonly do: 'release' }
  | { readonly do: 'statistics' }
  /** Attributes as the file system has them, whatever the kernel shows. */
  | { readonly do: 'attributes'; readonly inode: number }
  /** How many calls are held. */
  | { readonly do: 'held' }
  /** Drops a name or an inode from the kernel's cache and waits for that. */
  | { readonly do: 'invalidate'; readonly path: string; readonly what: 'inode' | 'data' | 'entry' }
  /** Changes the file system behind the kernel's back; `secretly`: but for the time of change it looks as before. */
  | { readonly do: 'write'; readonly path: string; readonly text: string; readonly secretly?: boolean }
  /** For so long, unless it ends before, nobody else changes the file system. */
  | { readonly do: 'alone'; readonly forMs: number }
  /** From now on files are guarded. */
  | { readonly do: 'guard' }
  /** Another host is about to change the file. */
  | { readonly do: 'drop'; readonly path: string }
  /** The end of that, once it is done. */
  | { readonly do: 'shared'; readonly lost: boolean }
  | { readonly do: 'remove'; readonly path: string }
  | { readonly do: 'truncate'; readonly path: string; readonly size: number }
  | { readonly do: 'grow'; readonly path: string; readonly text: string };

/** Wraps a file system so that one operation at a time can be held up. */
class Gate {
  operation: keyof FileSystem | undefined;
  held = 0;
  #open = Promise.withResolvers<void>();

  release(): void {
    this.operation = undefined;
    this.#open.resolve();
    this.#open = Promise.withResolvers<void>();
  }

  wrap(fileSystem: MemoryFileSystem): FileSystem {
    return new Proxy(fileSystem, {
      get: (target, property) => {
        const method = Reflect.get(target, property) as unknown;
        if (typeof method !== 'function') return method;
        if (property !== this.operation) return method.bind(target) as unknown;
        return async (...args: unknown[]) => {
          const kept = args.map((value) => (value instanceof Uint8Array ? value.slice() : value));
          this.held++;
          await this.#open.promise;
          this.held--;
          return Reflect.apply(method, target, kept) as unknown;
        };
      },
    });
  }
}

function find(fileSystem: MemoryFileSystem, path: string): { parent: MemoryInode; name: string; inode: MemoryInode | undefined } {
  const names = path.split('/').filter((name) => name !== '');
  let parent = fileSystem.root;
  for (const name of names.slice(0, -1)) parent = parent.entries.get(name)!.inode;
  const name = names.at(-1)!;
  return { parent, name, inode: parent.entries.get(name)?.inode };
}

async function main({ mountPoint, options, serves = 'memory' }: ServerSettings): Promise<void> {
  const fileSystem = new MemoryFileSystem();
  const gate = new Gate();
  const logger = createLogger('info', (_level, line) => process.stderr.write(`${line}\n`));
  const volumeId = '00112233445566778899aabbccddeeff';
  const kernelNow = options?.leased === true ? undefined : kernelFileClock();
  const served =
    serves === 'memory'
      ? gate.wrap(fileSystem)
      : await Volume.open({
          store: new MemoryBlockStore(),
          sealer: new Sealer(),
          volumeId,
          session: 1,
          clock: systemClock,
          logger,
          kernelOpens: options?.leased !== true,
          ...(kernelNow === undefined ? {} : { kernelNow }),
        });
  const mount = await mountFuse({ source: 'memory', mountPoint });
  const session = serveFileSystem({
    fd: mount.fd,
    fileSystem: served,
    logger,
    ...(options === undefined ? {} : { options }),
  });
  const init = await session.ready;
  await setReadAhead(mount.connection, 1_048_576);

  const run = async (command: Command): Promise<unknown> => {
    switch (command.do) {
      case 'hold':
        gate.operation = command.operation;
        return;
      case 'release':
        return gate.release();
      case 'held':
        return gate.held;
      case 'attributes':
        return served.getattr(command.inode);
      case 'statistics':
        return { ...session.statistics, cpu: process.cpuUsage(), inodes: fileSystem.inodes.size, handles: fileSystem.handles.size };
      case 'invalidate': {
        const { parent, name, inode } = find(fileSystem, command.path);
        if (command.what === 'entry') return session.notify.invalidateEntry(parent.inode, name);
        return session.notify.invalidateInode(inode!.inode, command.what === 'data' ? 0 : -1, 0);
      }
      case 'write': {
        const { inode } = find(fileSystem, command.path);
        const { modified } = inode!;
        inode!.write(0, Buffer.from(command.text));
        inode!.touch('modified', 'changed');
        if (command.secretly === true) inode!.modified = modified;
        return;
      }
      case 'truncate': {
        const { inode } = find(fileSystem, command.path);
        inode!.truncate(command.size);
        inode!.touch('modified', 'changed');
        return;
      }
      case 'alone': {
        const until = performance.now() + command.forMs;
        return fileSystem.kernel!.beginSole(() => until - performance.now());
      }
      case 'guard':
        fileSystem.isGuarded = () => true;
        return;
      case 'drop':
        return fileSystem.kernel!.drop(find(fileSystem, command.path).inode!.inode);
      case 'shared': {
        const { expired, dropped } = fileSystem.kernel!.endSole(command.lost);
        await Promise.all([expired, dropped]);
        return;
      }
      case 'grow': {
        const { inode } = find(fileSystem, command.path);
        inode!.write(inode!.size, Buffer.from(command.text));
        return session.notify.grow(inode!.inode, inode!.size, command.text.charCodeAt(command.text.length - 1));
      }
      case 'remove': {
        const { parent, name } = find(fileSystem, command.path);
        return parent.entries.delete(name);
      }
    }
  };
  process.on('message', (command: Command) => {
    void run(command).then((answer) => process.send!({ answer }));
  });
  process.send!({ ready: true, init, connection: mount.connection });
  const reason = await session.closed;
  closeSync(mount.fd);
  await served.close();
  process.send!({ closed: reason });
  process.disconnect();
}

if (process.send !== undefined && process.argv[2] !== undefined) await main(JSON.parse(process.argv[2]) as ServerSettings);
