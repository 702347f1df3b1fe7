import express, { type NextFunction, type Request, type Response } from 'express';

import { forWantOfHosts } from '../src/api/index.ts';
import { codeOf, type Logger, messageOf } from '../src/base/index.ts';
import type { Driver } from './driver.ts';

/** What dockerd sends is below a kilobyte; options may be longer. */
const maxBodyBytes = 1024 * 1024;

const mediaType = 'application/vnd.docker.plugins.v1.2+json';

/** A call's body after parsing: always an object, its fields not to be trusted. */
type Body = Readonly<Record<string, unknown>>;

/** What a call answers; `hangUp` closes the connection without an answer, which the engine takes for "unknown". */
type Answer = object | typeof hangUp;
const hangUp = Symbol('hang up');

type Call = (body: Body, gone: AbortSignal) => Promise<Answer> | Answer;

/** The engine's own errors are plain text in `Err`; with status 200 it shows them as they are, without naming the call first. */
function failure(message: string): { Err: string } {
  return { Err: message };
}

function volumeDriver(driver: Driver, logger: Logger): Readonly<Record<string, Call>> {
  return {
    '/Plugin.Activate': () => ({ Implements: ['VolumeDriver'] }),
    '/VolumeDriver.Capabilities': () => ({ Capabilities: { Scope: 'global' } }),
    '/VolumeDriver.List': async () => ({ Volumes: await driver.list(), Err: '' }),
    '/VolumeDriver.Create': async ({ Name, Opts }) => {
      await driver.create(Name, Opts);
      return failure('');
    },
    '/VolumeDriver.Get': async ({ Name }) => {
      // Any Err means "does not exist" to the engine, which then purges what it knows and may make a local volume of that name.
      try {
        const volume = await driver.get(Name);
        return volume === undefined ? failure(`there is no volume ${JSON.stringify(named(Name))}`) : { Volume: volume, Err: '' };
      } catch (error) {
        logger.warn('it is not known whether a volume exists', { volume: named(Name), error });
        return hangUp;
      }
    },
    '/VolumeDriver.Path': ({ Name }) => ({ Mountpoint: driver.path(Name), Err: '' }),
    '/VolumeDriver.Mount': async ({ Name, ID }, gone) => ({ Mountpoint: await driver.mount(Name, ID, gone), Err: '' }),
    '/VolumeDriver.Unmount': async ({ Name, ID }) => {
      await driver.unmount(Name, ID);
      return failure('');
    },
    '/VolumeDriver.Remove': async ({ Name }, gone) => {
      await driver.remove(Name, gone);
      return failure('');
    },
  };
}

/** Calls that mean the same with an empty body. */
const bodyless = new Set(['/Plugin.Activate', '/VolumeDriver.Capabilities', '/VolumeDriver.List']);

/** The VolumeDriver protocol, v1 and v2. No input ends the process or stays without an answer, but where silence is the answer. */
export function createPluginApp(driver: Driver, logger: Logger, whoIsMissing?: () => string | undefined): express.Express {
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  // dockerd sends no Content-Type, so every body is read.
  app.use(express.raw({ type: () => true, limit: maxBodyBytes }));
  for (const [path, call] of Object.entries(volumeDriver(driver, logger))) {
    app.post(path, (request, response) => {
      serve(path, call, request, response, logger, whoIsMissing).catch((error: unknown) => {
        logger.error('a plugin call broke', { call: path, error, stack: error instanceof Error ? error.stack : undefined });
        response.destroy();
      });
    });
  }
  app.use((request: Request, response: Response) => {
    send(response, failure(`the volume plugin has no call ${request.method} ${request.path}`), 404);
  });
  // Express knows an error handler by its four parameters. Only the body reader gets here: too long, cut off, wrongly encoded.
  app.use((error: unknown, _request: Request, response: Response, _next: NextFunction) => {
    const status = (error as { status?: number }).status ?? 500;
    send(response, failure(status === 413 ? `the body has more than ${maxBodyBytes} bytes` : messageOf(error)), status);
  });
  return app;
}

async function serve(
  path: string,
  call: Call,
  request: Request,
  response: Response,
  logger: Logger,
  whoIsMissing: () => string | undefined = () => undefined,
): Promise<void> {
  const raw: unknown = request.body;
  const empty = !Buffer.isBuffer(raw) || raw.length === 0;
  if (empty && !bodyless.has(path)) {
    // The engine's retry after a broken connection has lost its body. Answering a Get with an error would purge the volume.
    if (path === '/VolumeDriver.Get') response.destroy();
    else send(response, failure(`${path.slice(1)} came without a body: it is not known for which volume; please try again`));
    return;
  }
  const body = empty || bodyless.has(path) ? {} : parseBody(raw);
  if (body === undefined) {
    send(response, failure(`the body of ${path.slice(1)} is not a JSON object`), 400);
    return;
  }
  const gone = new AbortController();
  response.once('close', () => {
    if (!response.writableFinished) gone.abort(new Error('the caller hung up'));
  });
  const started = performance.now();
  const volume = named(body['Name']);
  let answer: Answer;
  try {
    answer = await call(body, gone.signal);
  } catch (error) {
    if (codeOf(error) === 'bug') logger.error('a plugin call failed', { call: path, volume, error, stack: (error as Error).stack });
    else logger.info('a plugin call was refused', { call: path, volume, error });
    answer = failure(forWantOfHosts(error, whoIsMissing) ?? messageOf(error));
  }
  logger.debug('plugin call', { call: path, volume, ms: Math.round(performance.now() - started) });
  if (answer === hangUp) response.destroy();
  else send(response, answer);
}

/** A name as it is said again: what is none may be anything, nested so deep that to say it ends in an error. */
function named(name: unknown): unknown {
  return typeof name === 'object' && name !== null ? 'an object' : name;
}

function parseBody(raw: Buffer): Body | undefined {
  try {
    const value: unknown = JSON.parse(raw.toString('utf8'));
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Body) : undefined;
  } catch {
    return undefined;
  }
}

/**
 * One connection a call: were it kept, dockerd could send the next call into a connection that is just being closed,
 * and would repeat it without its body.
 */
function send(response: Response, answer: object, status = 200): void {
  if (response.destroyed) return;
  response.status(status).set('Connection', 'close').type(mediaType).send(JSON.stringify(answer));
}
