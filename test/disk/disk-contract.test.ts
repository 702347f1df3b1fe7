import { LogDisk, MemoryDisk } from '../../src/disk/index.ts';
import { diskSuite } from '../suites/disk-suite.ts';
import { TemporaryDirectory } from './support.ts';

diskSuite({ name: 'MemoryDisk', open: async (options) => new MemoryDisk(options) });

diskSuite({
  name: 'LogDisk',
  open: async (options) => {
    const directory = await TemporaryDirectory.make();
    const disk = await LogDisk.open(directory.path, { ...options, tickMs: 100 });
    const close = disk[Symbol.asyncDispose].bind(disk);
    return Object.assign(disk, {
      [Symbol.asyncDispose]: async () => {
        await close();
        await directory[Symbol.asyncDispose]();
      },
    });
  },
});
