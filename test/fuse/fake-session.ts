import { silentLogger } from '../../src/base/index.ts';
import { type FuseSession, serveFileSystem, type ServeSettings } from '../../src/fuse/index.ts';
import { FakeKernel } from './fake-kernel.ts';
import { MemoryFileSystem } from './memory-file-system.ts';

/** A session with a kernel that a test speaks for. */
export function start(settings: Partial<ServeSettings> = {}): { kernel: FakeKernel; session: FuseSession; fileSystem: MemoryFileSystem } {
  const kernel = new FakeKernel();
  const fileSystem = new MemoryFileSystem();
  const session = serveFileSystem({ fd: -1, fileSystem, logger: silentLogger, transport: kernel, ...settings });
  if (settings.adopted === undefined) kernel.init();
  return { kernel, session, fileSystem };
}

export const name = (text: string): Buffer => Buffer.from(`${text}\0`, 'latin1');
export const created = (flags: number, text: string): Buffer => {
  const body = Buffer.alloc(16);
  body.writeUInt32LE(flags, 0);
  body.writeUInt32LE(0o644, 4);
  return Buffer.concat([body, name(text)]);
};
