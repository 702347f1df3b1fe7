import express, { type NextFunction, type Request, type Response } from 'express';

import { codeOf, type ErrorCode, http, InfinitError, type Logger, messageOf } from '../../base/index.ts';
import {
  type BlockService,
  checkNewVolumeName,
  type ClusterStatus,
  forWantOfHosts,
  type HostStatus,
  type HostSummary,
  type Left,
  listenOnSocket,
  type RepairControl,
  type TokenInfo,
  noVolume,
  type TokenState,
  type TrashControl,
  type VolumeCheck,
  type VolumeControl,
  withPort,
} from '../../api/index.ts';
import type { BlockWatches } from '../blocks/block-watches.ts';
import { refuseMethod } from './method-not-allowed.ts';
import { routeBlocks } from '../blocks/block-routes.ts';
import { ProgramSessions } from '../blocks/program-sessions.ts';
import { routeRepair } from './repair-routes.ts';

/** What the control API serves. */
export interface ControlTarget {
  readonly volumes: VolumeControl;
  readonly trash: TrashControl;
  readonly cluster: ClusterControl;
  readonly blocks: BlockService;
  readonly repair: RepairControl;
  readonly watches: BlockWatches;
  status(): HostStatus | Promise<HostStatus>;
  metrics(): Promise<string>;
  /** Which hosts are, where that is why calls find too little. */
  whoIsMissing(): string | undefined;
  check(name: string, repair: boolean): Promise<VolumeCheck>;
}

/** What the control API does with the cluster. */
export interface ClusterControl {
  status(): Promise<ClusterStatus>;
  hosts(): readonly HostSummary[];
  init(): Promise<{ readonly clusterId: string; readonly keyFile: string }>;
  join(addresses: readonly string[], token: string, how?: { readonly force?: boolean }): Promise<void>;
  leave(how?: { readonly force?: boolean }): Promise<Left>;
  createToken(request: { readonly rights?: readonly string[]; readonly expiresInMs?: number; readonly uses?: number }): Promise<TokenInfo>;
  tokens(): Promise<readonly TokenState[]>;
  grant(which: string): Promise<void>;
  revokeToken(id: string, how: { readonly hosts: boolean; readonly unsafe: boolean }): Promise<readonly string[]>;
  removeHost(which: string, unsafe: boolean): Promise<void>;
  drainHost(which: string, on: boolean): Promise<void>;
}

/** Bodies above this are refused. */
const maxBodyBytes = 8 * 1024 * 1024;

/** Connections at a time. */
const maxConnections = 4096;

/** code → HTTP, exhaustive; docs/errors.md shows it to users. */
const httpStatus: Readonly<Record<ErrorCode, number>> = {
  bug: 500,
  'bad-argument': 400,
  'not-found': 404,
  'already-exists': 409,
  conflict: 409,
  'in-use': 409,
  unavailable: 503,
  'unknown-outcome': 504,
  'deadline-exceeded': 504,
  cancelled: 499,
  lost: 410,
  damaged: 500,
  'disk-full': 507,
  'disk-failed': 500,
  'read-only': 403,
  'wrong-version': 500,
  'wrong-key': 403,
  locked: 409,
  denied: 403,
  'too-large': 413,
  overloaded: 429,
  unsupported: 501,
  closed: 503,
};

type Handler = (request: Request, response: Response) => Promise<void>;

/** Answers a failure as `{code, message}`; a body parser's own errors are bad arguments. */
function answerFailure(error: unknown, response: Response, logger: Logger, whoIsMissing: () => string | undefined = () => undefined): void {
  const status = (error as { status?: number }).status;
  const code: ErrorCode = status === 413 ? 'too-large' : status === 400 ? 'bad-argument' : codeOf(error);
  const said = (error as { type?: string }).type === 'entity.parse.failed' ? `the body is no JSON: ${messageOf(error)}` : messageOf(error);
  if (code === 'bug') logger.error('a control call failed', { error, stack: (error as Error).stack });
  const missing = forWantOfHosts(error, whoIsMissing);
  if (missing !== undefined) logger.info('a control call was refused', { error });
  response.status(httpStatus[code]).json({ code, message: missing ?? said });
}

function stringOptions(value: unknown): Record<string, string> {
  if (value === undefined || value === null) return {};
  if (typeof value !== 'object' || Array.isArray(value)) throw new InfinitError('bad-argument', 'options: an object of strings is wanted');
  for (const [key, option] of Object.entries(value)) {
    if (typeof option !== 'string') throw new InfinitError('bad-argument', `options: "${key}" must be a string`);
  }
  return value as Record<string, string>;
}

function stringField(body: unknown, field: string): string {
  const value = (body as Record<string, unknown> | undefined)?.[field];
  if (typeof value !== 'string' || value === '') throw new InfinitError('bad-argument', `the body needs "${field}", a string`);
  return value;
}

function isTrue(body: unknown, field: string): boolean {
  const value = (body as Record<string, unknown> | undefined)?.[field] ?? false;
  if (typeof value !== 'boolean') throw new InfinitError('bad-argument', `"${field}" must be true or false`);
  return value;
}

/** Of `?force=true`: what is neither of the two is no "no", where somebody meant the other. */
function isAsked({ query }: Request, name: string): boolean {
  const value = query[name] ?? 'false';
  if (value !== 'true' && value !== 'false') throw new InfinitError('bad-argument', `${name}: ${JSON.stringify(value)} is neither true nor false`);
  return value === 'true';
}

/** All that is read from a body is a field of an object. */
function wantObject({ body }: Request, _response: Response, next: NextFunction): void {
  const isObject = body === undefined || (typeof body === 'object' && body !== null && !Array.isArray(body));
  next(isObject ? undefined : new InfinitError('bad-argument', 'the body is no JSON object'));
}

function parameter(request: Request, name: string): string {
  return String(request.params[name]);
}

function optionalNumber(body: unknown, field: string): number | undefined {
  const value = (body as Record<string, unknown> | undefined)?.[field];
  if (value === undefined) return undefined;
  if (typeof value !== 'number' || !Number.isFinite(value) || value <= 0)
    throw new InfinitError('bad-argument', `"${field}" must be a number above 0`);
  return value;
}

function stringList(body: unknown, field: string): string[] | undefined {
  const value = (body as Record<string, unknown> | undefined)?.[field];
  if (value === undefined) return undefined;
  if (!Array.isArray(value) || value.some((item) => typeof item !== 'string'))
    throw new InfinitError('bad-argument', `"${field}" must be a list of strings`);
  return value as string[];
}

function routeCluster(
  app: express.Express,
  cluster: ClusterControl,
  serve: (handler: Handler) => (request: Request, response: Response) => void,
): void {
  app.get(
    '/v1/cluster',
    serve(async (_request, response) => void response.json(await cluster.status())),
  );
  app.post(
    '/v1/cluster',
    serve(async (_request, response) => void response.status(201).json(await cluster.init())),
  );
  app.post(
    '/v1/cluster/join',
    serve(async ({ body }, response) => {
      await cluster.join((stringList(body, 'addresses') ?? []).map(withPort), stringField(body, 'token'), { force: isTrue(body, 'force') });
      response.json({});
    }),
  );
  app.post(
    '/v1/cluster/leave',
    serve(async ({ body }, response) => void response.json(await cluster.leave({ force: isTrue(body, 'force') }))),
  );
  app.post(
    '/v1/cluster/tokens',
    serve(async ({ body }, response) => {
      const [wanted, expiresInMs, uses] = [stringList(body, 'rights'), optionalNumber(body, 'expiresInMs'), optionalNumber(body, 'uses')];
      const request = {
        ...(wanted === undefined ? {} : { rights: wanted }),
        ...(expiresInMs === undefined ? {} : { expiresInMs }),
        ...(uses === undefined ? {} : { uses }),
      };
      response.status(201).json(await cluster.createToken(request));
    }),
  );
  app.get(
    '/v1/cluster/tokens',
    serve(async (_request, response) => void response.json(await cluster.tokens())),
  );
  app.post(
    '/v1/nodes/:name/grant',
    serve(async (request, response) => {
      await cluster.grant(parameter(request, 'name'));
      response.json({});
    }),
  );
  app.delete(
    '/v1/cluster/tokens/:id',
    serve(async (request, response) => {
      const how = { hosts: isAsked(request, 'hosts'), unsafe: isAsked(request, 'unsafe') };
      response.json({ revokedHosts: await cluster.revokeToken(parameter(request, 'id'), how) });
    }),
  );
  app.get(
    '/v1/nodes',
    serve(async (_request, response) => void response.json(cluster.hosts())),
  );
  app.delete(
    '/v1/nodes/:name',
    serve(async (request, response) => {
      await cluster.removeHost(parameter(request, 'name'), isAsked(request, 'unsafe'));
      response.json({});
    }),
  );
  for (const on of [true, false]) {
    const serveDrain = serve(async (request, response) => {
      await cluster.drainHost(parameter(request, 'name'), on);
      response.json({});
    });
    if (on) app.put('/v1/nodes/:name/drain', serveDrain);
    else app.delete('/v1/nodes/:name/drain', serveDrain);
  }
}

function routeTrash(
  app: express.Express,
  { trash, volumes }: ControlTarget,
  serve: (handler: Handler) => (request: Request, response: Response) => void,
): void {
  app.get(
    '/v1/trash',
    serve(async (_request, response) => void response.json(await trash.list())),
  );
  app.post(
    '/v1/trash/:which/restore',
    serve(async (request, response) => {
      const which = parameter(request, 'which');
      const name = (request.body as { name?: unknown } | undefined)?.name === undefined ? undefined : stringField(request.body, 'name');
      if (name !== undefined) checkNewVolumeName(name);
      const { name: restored } = await trash.restore(which, name);
      response.json(await volumes.inspect(restored));
    }),
  );
  app.delete(
    '/v1/trash',
    serve(async (_request, response) => void response.json(await trash.empty())),
  );
  app.delete(
    '/v1/trash/:which',
    serve(async (request, response) => void response.json(await trash.empty(parameter(request, 'which')))),
  );
}

/** The HTTP/JSON API of docs/api.md. */
function createControlApp(target: ControlTarget, logger: Logger): express.Express {
  const app = express();
  const { volumes } = target;
  const serve =
    (handler: Handler) =>
    (request: Request, response: Response): void => {
      handler(request, response).catch((error: unknown) => answerFailure(error, response, logger, () => target.whoIsMissing()));
    };
  app.disable('x-powered-by');
  // Else the whole trash would be what a call for an empty name is about.
  app.enable('strict routing');
  // Before anything that reads bodies as JSON: a value is bytes.
  routeBlocks(app, target.blocks, target.watches, serve);
  app.use(express.json({ type: () => true, limit: maxBodyBytes, strict: false }), wantObject);

  app.get(
    '/v1/status',
    serve(async (_request, response) => void response.json(await target.status())),
  );
  app.get(
    '/v1/volumes',
    serve(async (_request, response) => void response.json(await volumes.listEverywhere())),
  );
  app.post(
    '/v1/volumes',
    serve(
      async ({ body }, response) =>
        void response.status(201).json(await volumes.create(stringField(body, 'name'), stringOptions((body as { options?: unknown }).options))),
    ),
  );
  app.get(
    '/v1/volumes/:name',
    serve(async (request, response) => {
      const volume = await volumes.inspect(parameter(request, 'name'));
      if (volume === undefined) throw noVolume(parameter(request, 'name'), await volumes.list());
      response.json(volume);
    }),
  );
  app.patch(
    '/v1/volumes/:name',
    serve(
      async (request, response) =>
        void response.json(
          await volumes.update(parameter(request, 'name'), stringOptions((request.body as { options?: unknown } | undefined)?.options)),
        ),
    ),
  );
  app.delete(
    '/v1/volumes/:name',
    serve(async (request, response) => {
      await volumes.remove(parameter(request, 'name'), { force: isAsked(request, 'force') });
      response.json({});
    }),
  );
  app.post(
    '/v1/volumes/:name/mount',
    serve(
      async (request, response) =>
        void response.json({ mountpoint: await volumes.mount(parameter(request, 'name'), stringField(request.body, 'holder')) }),
    ),
  );
  app.post(
    '/v1/volumes/:name/unmount',
    serve(async (request, response) => {
      await volumes.unmount(parameter(request, 'name'), stringField(request.body, 'holder'));
      response.json({});
    }),
  );
  app.post(
    '/v1/volumes/:name/check',
    serve(async (request, response) => void response.json(await target.check(parameter(request, 'name'), isTrue(request.body, 'repair')))),
  );
  app.get(
    '/v1/volumes/:name/usage',
    serve(async (request, response) => void response.json(await volumes.usage(parameter(request, 'name')))),
  );
  routeTrash(app, target, serve);
  routeRepair(app, target.repair, serve);
  routeCluster(app, target.cluster, serve);
  app.get(
    '/metrics',
    serve(async (_request, response) => void response.type('text/plain').send(await target.metrics())),
  );
  app.use(refuseMethod(app));
  app.use((request: Request, response: Response) => {
    answerFailure(new InfinitError('not-found', `the control API has no ${request.method} ${request.path}`), response, logger);
  });
  // Express knows an error handler by its four parameters.
  app.use((error: unknown, _request: Request, response: Response, _next: NextFunction) => answerFailure(error, response, logger));
  return app;
}

/** Serves the control API on a unix socket that only root may use. @throws InfinitError `locked` where another daemon answers there. */
export async function startControlApi(socketPath: string, target: ControlTarget, logger: Logger): Promise<AsyncDisposable> {
  const server = http().createServer({ requireHostHeader: false }, createControlApp(target, logger));
  server.maxConnections = maxConnections;
  const sessions = new ProgramSessions(target.blocks, target.watches, logger);
  sessions.attach(server);
  await listenOnSocket(server, socketPath, '--control-socket', logger);
  return {
    async [Symbol.asyncDispose]() {
      sessions[Symbol.dispose]();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
