import { lstatSync, rmSync } from 'node:fs';
import type { Server } from 'node:http';
import { connect, createServer, type Server as Listener } from 'node:net';
import path from 'node:path';

import { InfinitError, type Logger, plainly } from '../base/index.ts';
import { makeDirectory } from './made-directory.ts';

/** Between two looks whether a socket is still there, in ms. */
const lookMs = 5000;

/**
 * Serves on a unix socket that only root may use, and binds it again where somebody removes it (who tidies up /run up, or installs Docker anew). It also removes what a dead daemon left there. `flag` names the setting in messages. What befalls the
 * server later, as a lack of descriptors, is logged: it would end the process otherwise.
 * @throws InfinitError `locked` where a living daemon answers there; `bad-argument` where something else lies there; `unavailable`.
 */
export async function listenOnSocket(server: Server, socketPath: string, flag: string, logger: Logger): Promise<void> {
  makeDirectory(path.dirname(socketPath), 0o755);
  await clearStaleSocket(socketPath, flag);
  const listening = Promise.withResolvers<void>();
  const refused = (cause: Error): void => {
    listening.reject(new InfinitError('unavailable', `the socket ${socketPath} cannot be served: ${plainly(cause)}`, { cause }));
  };
  server.once('error', refused);
  bind(server, socketPath, listening.resolve);
  await listening.promise;
  server.off('error', refused);
  server.on('error', (error) => logger.error('a socket cannot take a connection', { socket: socketPath, error }));
  keepBound(server, socketPath, logger);
}

/** The socket is bound before listen() returns, so that there is no moment at which others may connect. */
function bind(server: Listener, socketPath: string, onListening?: () => void): void {
  const before = process.umask(0o177);
  try {
    server.listen(socketPath, onListening);
  } finally {
    process.umask(before);
  }
}

/** What listens on a path that is gone cannot be moved to one that is there: connections come by another listener from then on. */
function keepBound(server: Server, socketPath: string, logger: Logger): void {
  let again: Listener | undefined;
  let said = '';
  const sayOnce = (error: unknown): void => {
    if (plainly(error) !== said) logger.error('a socket was removed and cannot be made again', { socket: socketPath, error });
    said = plainly(error);
  };
  const look = (): void => {
    try {
      // One that is about to end has taken it away itself.
      if (!server.listening || lstatSync(socketPath, { throwIfNoEntry: false }) !== undefined) return;
      makeDirectory(path.dirname(socketPath), 0o755);
      again?.close();
      again = createServer({ allowHalfOpen: true }, (connection) => {
        if (server.listening) server.emit('connection', connection);
        else connection.destroy();
      });
      again.maxConnections = server.maxConnections;
      again.on('error', sayOnce);
      bind(again, socketPath, () => {
        said = '';
        logger.warn('a socket was removed and is there again', { socket: socketPath });
      });
    } catch (error) {
      sayOnce(error);
    }
  };
  const looking = setInterval(look, lookMs).unref();
  server.once('close', () => {
    clearInterval(looking);
    again?.close();
  });
}

async function clearStaleSocket(socketPath: string, flag: string): Promise<void> {
  const found = lstatSync(socketPath, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket())
    throw new InfinitError('bad-argument', `${socketPath} is there already and is not a socket: remove it, or give ${flag} another path`);
  if (await isServed(socketPath)) throw new InfinitError('locked', `another daemon answers on ${socketPath}: stop it, or give ${flag} another path`);
  rmSync(socketPath, { force: true });
}

/** Whether a living process listens on a socket. Only a refused connection says that none does; a full backlog, say, is a sign of life. */
export function isServed(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(socketPath);
    const settle = (alive: boolean): void => {
      probe.destroy();
      resolve(alive);
    };
    probe.once('connect', () => settle(true));
    probe.once('error', (error: NodeJS.ErrnoException) => settle(error.code !== 'ECONNREFUSED' && error.code !== 'ENOENT'));
  });
}
