import { existsSync } from 'node:fs';
import { flushCompileCache, getCompileCacheDir } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { codeOf, collectWhenIdle, createLogger, type ErrorCode, InfinitError, type Logger, messageOf } from '../base/index.ts';
import { type DaemonConfig, mistypedVariables } from '../api/index.ts';
import { buildAddon } from '../fuse/native/index.ts';
import { PluginSocket } from '../../plugin/socket/index.ts';
import { compileAhead } from './compile-ahead.ts';
import { sayFailure } from './context.ts';
import { daemonNodeFlags } from './node-flags.ts';

/** Set for the process that does the work; without it `infinit daemon` is the holder, which starts that one. */
const childVariable = 'INFINIT_DAEMON_CHILD';

/**
 * What malloc keeps, in bytes. What a collection of garbage frees is soon asked for again, and by default went back to the kernel, which hands it out anew page by page: a twentieth of
 * what a commit took. A thread that comes to rest gives it back (base/idle-collection.ts).
 */
const mallocRoom = { MALLOC_TRIM_THRESHOLD_: String(8 << 20), MALLOC_TOP_PAD_: String(1 << 20), MALLOC_MMAP_THRESHOLD_: String(4 << 20) } as const;

/** Failures that another start meets again. */
const refusals: ReadonlySet<ErrorCode> = new Set(['wrong-version', 'locked', 'bad-argument', 'already-exists', 'denied', 'damaged']);
/** Failures that end by themselves, or by somebody who makes room. */
const passing: ReadonlySet<ErrorCode> = new Set(['disk-full', 'overloaded']);

/** Runs the daemon until it is told to stop. The exit code is left in `process.exitCode`. */
export async function runDaemon(config: DaemonConfig): Promise<void> {
  const logger = createLogger(config.logLevel);
  if (process.env[childVariable] === undefined) {
    for (const sentence of mistypedVariables(process.env)) logger.warn(sentence);
    insistOnProc();
    buildAddon();
    compileAhead(logger);
    return becomeHolder(config.logLevel);
  }
  delete process.env[childVariable];
  process.title = 'infinit daemon';
  try {
    await serve(config, logger);
  } catch (thrown) {
    const error = asMissingRight(thrown);
    sayFailure(error);
    const { laterExitCode, refusalExitCode } = await import('../fuse/index.ts');
    process.exitCode = refusals.has(codeOf(error)) ? refusalExitCode : passing.has(codeOf(error)) ? laterExitCode : 1;
  }
  // Whatever a library still keeps open must not keep a stopped daemon alive.
  process.exit();
}

/** Without it neither what is mounted can be seen, nor would this process find its own program. @throws InfinitError `unsupported`. */
function insistOnProc(): void {
  if (existsSync('/proc/self/mountinfo')) return;
  throw new InfinitError('unsupported', '/proc is not mounted: `mount -t proc proc /proc`');
}

/** Where the daemon keeps its state by default only root may write, and only root may mount: whoever forgot `sudo` is told so. */
function asMissingRight(error: unknown): unknown {
  if (process.getuid?.() === 0) return error;
  let cause = error;
  while (cause instanceof InfinitError) ({ cause } = cause);
  const code = cause instanceof Error ? (cause as NodeJS.ErrnoException).code : undefined;
  if (code !== 'EACCES' && code !== 'EPERM') return error;
  return new InfinitError('denied', `run this as root: ${messageOf(error)}`, { cause: error });
}

/**
 * This process goes on as the holder, the same one to whoever started it, without all that the command line needed. Two arenas of malloc: one
 * a thread, as is the default, keeps some ten MiB that nobody uses.
 */
function becomeHolder(logLevel: string): void {
  flushCompileCache();
  const program = fileURLToPath(new URL('../fuse/holder-main.ts', import.meta.url));
  const daemon = [...process.execArgv, ...daemonNodeFlags, ...process.argv.slice(1)];
  const argv = [process.execPath, ...process.execArgv, program, logLevel, ...daemon];
  const cache = getCompileCacheDir();
  // Known from the start, so that not even the first module has to be stripped of types, here and in the daemon.
  const compiled = cache === undefined ? {} : { NODE_COMPILE_CACHE: path.dirname(cache) };
  process.execve!(process.execPath, argv, {
    ...process.env,
    ...compiled,
    MALLOC_ARENA_MAX: process.env['MALLOC_ARENA_MAX'] ?? '2',
    ...mallocRoom,
    [childVariable]: '1',
  });
}

async function serve(config: DaemonConfig, logger: Logger): Promise<void> {
  await using stack = new AsyncDisposableStack();
  // Before the greater part of the program is loaded, which on a busy machine takes longer than the engine waits for a socket.
  const socket = config.pluginSocket === undefined ? undefined : stack.use(await PluginSocket.open(config.pluginSocket, logger));
  const [{ HolderClient, releaseFreedMemory }, { Node }] = await Promise.all([import('../fuse/index.ts'), import('../node/index.ts')]);
  const holder = await HolderClient.connect(logger);
  const stopped = signalled();
  const node = stack.use(await Node.open(config, holder, logger));
  if (socket !== undefined) {
    const { announce, findPeersInSwarm, startPlugin } = await import('../../plugin/index.ts');
    const fallbacks = () => node.volumeFallbacks;
    const { volumes, membership } = node;
    const whoIsMissing = (): string | undefined => node.whoIsMissing();
    startPlugin({ socket, volumes, membership, whoIsMissing, logger, fallbacks });
    // Its calls end before what they work with.
    stack.defer(() => socket[Symbol.asyncDispose]());
    if (config.dockerSocket !== undefined) {
      const engine = stack.use(announce({ socketPath: config.dockerSocket, logger }));
      node.volumes.containersOf = (volume) => engine.containersOf(volume);
      if (config.discover.includes('swarm') && config.listen !== undefined) {
        stack.use(
          findPeersInSwarm({
            members: (signal) => engine.swarmMembers(signal),
            isLonely: () => node.isLonely,
            suggest: (hosts) => node.suggestPeers(hosts),
            logger,
          }),
        );
      }
    }
  }
  // A daemon that is killed leaves no compile cache behind, so it is written now that everything is loaded.
  collectWhenIdle({ release: releaseFreedMemory });
  flushCompileCache();
  logger.info('ready', { name: config.name, state: config.stateDir, control: config.controlSocket, plugin: config.pluginSocket ?? 'none' });
  const signal = await stopped;
  logger.info('stopping', { signal });
}

/** The first of the signals that ask for an orderly stop. A failure that nobody caught ends the process: its state can no longer be trusted. */
function signalled(): Promise<string> {
  process.on('uncaughtException', (error) => {
    process.stderr.write(`infinit: bug: ${messageOf(error)}\n${error.stack ?? ''}\n`);
    process.exit(70);
  });
  return new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.once(signal, () => resolve(signal));
  });
}
