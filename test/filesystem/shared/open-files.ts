import type { SharedFileSystem } from '../../../src/filesystem/index.ts';

interface OpenFile {
  readonly inode: number;
  readonly directory: boolean;
}

/** What programs have open at a host, however many of them forget about it: as a kernel closes it when they end. */
export class OpenFiles {
  readonly #fileSystem: SharedFileSystem;
  readonly #open = new Map<number, OpenFile>();

  constructor(fileSystem: SharedFileSystem) {
    this.#fileSystem = fileSystem;
    const { open, opendir, create, tmpfile, release, releasedir } = fileSystem;
    const opens = (inode: number, handle: number, directory: boolean): number => {
      this.#open.set(handle, { inode, directory });
      return handle;
    };
    const found = (inode: number, handle: number | Promise<number>, directory: boolean): number | Promise<number> =>
      handle instanceof Promise ? handle.then((known) => opens(inode, known, directory)) : opens(inode, handle, directory);
    Object.assign(fileSystem, {
      open: (...args: Parameters<typeof open>) => found(args[0], open.apply(fileSystem, args), false),
      opendir: (...args: Parameters<typeof opendir>) => found(args[0], opendir.apply(fileSystem, args), true),
      create: async (...args: Parameters<typeof create>) => {
        const made = await create.apply(fileSystem, args);
        opens(made.attributes.inode, made.handle, false);
        return made;
      },
      tmpfile: async (...args: Parameters<typeof tmpfile>) => {
        const made = await tmpfile.apply(fileSystem, args);
        opens(made.attributes.inode, made.handle, false);
        return made;
      },
      release: (...args: Parameters<typeof release>) => {
        this.#open.delete(args[1]);
        return release.apply(fileSystem, args);
      },
      releasedir: (...args: Parameters<typeof releasedir>) => {
        this.#open.delete(args[1]);
        return releasedir.apply(fileSystem, args);
      },
    });
  }

  /** Whatever each close says: it is asked for once. */
  async closeAll(): Promise<void> {
    const files = [...this.#open];
    this.#open.clear();
    await Promise.all(
      files.map(async ([handle, { inode, directory }]) => {
        const fileSystem = this.#fileSystem;
        if (directory) return void (await Promise.allSettled([fileSystem.releasedir(inode, handle)]));
        await Promise.allSettled([(async () => fileSystem.flush(inode, handle, '1'))()]);
        await Promise.allSettled([fileSystem.release(inode, handle)]);
      }),
    );
  }
}
