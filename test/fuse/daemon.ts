/**
 * A daemon in small, run under a holder: serves one mount and keeps its state in a file, so that a successor can go on.
 * Arguments: the mount point, the state file. What it does wrong is said by files beside the state: see below.
 */
import { closeSync, existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { deserialize, serialize } from 'node:v8';
import { createLogger } from '../../src/base/index.ts';
import type { FileSystem } from '../../src/filesystem/index.ts';
import { clearStaleMounts, HolderClient, mountFuse, serveFileSystem } from '../../src/fuse/index.ts';
import { MemoryFileSystem } from './memory-file-system.ts';

const [mountPoint, state] = [process.argv[2]!, process.argv[3]!];
if (existsSync(`${state}.refuse`)) process.exit(2);

const logger = createLogger('info', (_level, line) => process.stderr.write(`daemon ${process.pid}: ${line}\n`));
const holder = await HolderClient.connect(logger);
if (existsSync(`${state}.crash`)) process.exit(1);
if (existsSync(`${state}.later`)) process.exit(75);

const fileSystem = new MemoryFileSystem();
if (existsSync(state)) fileSystem.restore(deserialize(readFileSync(state)) as ReturnType<MemoryFileSystem['save']>);

const adopted = holder.inherited()[0];
if (adopted === undefined) await clearStaleMounts(mountPoint, new Set());
const mount = adopted ?? (await mountFuse({ source: 'kept', mountPoint }));

/** Calls after which the state is written out before they are answered. */
const changing = new Set(['create', 'write', 'setattr', 'mkdir', 'unlink', 'rename']);
const kept = new Proxy<FileSystem>(fileSystem, {
  get: (target, property) => {
    const method = Reflect.get(target, property) as unknown;
    if (typeof method !== 'function') return method;
    return (...args: unknown[]): unknown => {
      // The first daemon never answers for this name: its successor must.
      if (property === 'lookup' && args[1] === 'hang' && adopted === undefined) return new Promise(() => {});
      // Nor for pages of mapped files.
      if (property === 'writeMapped' && adopted === undefined) return new Promise(() => {});
      const result = Reflect.apply(method, target, args) as unknown;
      if (changing.has(String(property))) {
        writeFileSync(`${state}.new`, serialize(fileSystem.save()));
        renameSync(`${state}.new`, state);
      }
      return result;
    };
  },
});
const session = serveFileSystem({
  fd: mount.fd,
  fileSystem: kept,
  logger,
  options: { leased: true },
  ...(adopted === undefined ? {} : { adopted: adopted.init }),
});
if (adopted !== undefined) fileSystem.kernel?.settle(true);
process.once('SIGTERM', () => session.stop());
const init = await session.ready;
holder.register({ volume: 'kept', fd: mount.fd, mountPoint, connection: mount.connection, init });
writeFileSync(`${state}.pid`, String(process.pid));

if ((await session.closed) !== 'stopped') holder.release(mount.fd);
closeSync(mount.fd);
// As after an upgrade: no orderly daemon leaves before its answers are sent.
process.exit(0);
