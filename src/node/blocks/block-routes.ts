import { type Express, raw, type Request, type Response } from 'express';

import { type BlockService, type BlockState, type CallLimits, maxImmutableValueBytes, resolveBlock, type WriteOutcome } from '../../api/index.ts';
import { InfinitError } from '../../base/index.ts';
import { kindOf } from '../../block/index.ts';
import type { BlockWatches } from './block-watches.ts';

type Serve = (handler: (request: Request, response: Response) => Promise<void>) => (request: Request, response: Response) => void;

/** Milliseconds that a call may ask to take. */
const maxDeadlineMs = 600_000;
const defaultDeadlineMs = 10_000;

/** The value store over plain HTTP: bodies are the values themselves, versions travel as ETags. docs/api.md shows each call. */
export function routeBlocks(app: Express, blocks: BlockService, watches: BlockWatches, serve: Serve): void {
  const body = raw({ type: () => true, limit: maxImmutableValueBytes });
  app.post(
    '/v1/blocks',
    body,
    serve(async (request, response) => {
      const { kind = 'immutable' } = request.query;
      if (kind === 'immutable') return void response.status(201).json({ address: await blocks.put(valueOf(request), limitsOf(request)) });
      if (kind !== 'mutable')
        throw new InfinitError('bad-argument', `kind: ${JSON.stringify(kind)} is neither immutable nor mutable; a named block is PUT to its @NAME`);
      const { address, outcome } = await blocks.make(valueOf(request), limitsOf(request));
      answer(response.status(201), address, outcome);
    }),
  );
  app.get(
    '/v1/blocks/:block/inspect',
    serve(async (request, response) => void response.json(await blocks.inspect(blockOf(request), limitsOf(request)))),
  );
  app.get(
    '/v1/blocks/:block',
    serve(async (request, response) => {
      const address = blockOf(request);
      const known = versionIn(request.query['after'], 'after', 0);
      const limits = limitsOf(request);
      const gone = new AbortController();
      response.once('close', () => gone.abort());
      const state =
        known === undefined
          ? await blocks.get(address, limits)
          : await watches.wait(address, known, limits.deadlineMs ?? defaultDeadlineMs, gone.signal);
      if (state === 'unchanged') return void response.status(304).end();
      if (state === undefined) throw new InfinitError('not-found', `there is no block ${address}`);
      sendState(response, state);
    }),
  );
  app.put(
    '/v1/blocks/:block',
    body,
    serve(async (request, response) => {
      const address = blockOf(request);
      const value = valueOf(request);
      // The precondition for "only where there is nothing", as HTTP has it.
      const outcome =
        request.headers['if-none-match'] === '*'
          ? await blocks.create(address, value, limitsOf(request))
          : await blocks.update(address, value, expectation(request), limitsOf(request));
      answer(response, address, outcome);
    }),
  );
  app.delete(
    '/v1/blocks/:block',
    serve(async (request, response) => {
      const address = blockOf(request);
      const limits = limitsOf(request);
      answer(
        response,
        address,
        await (kindOf(address) === 'immutable' ? blocks.drop(address, limits) : blocks.update(address, null, expectation(request), limits)),
      );
    }),
  );
}

function blockOf(request: Request): ReturnType<typeof resolveBlock> {
  return resolveBlock(String(request.params['block']));
}

/** What express leaves where a request has no body is no buffer. */
function valueOf(request: Request): Uint8Array {
  return Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
}

function limitsOf(request: Request): CallLimits {
  const text = request.query['deadlineMs'];
  if (text === undefined) return { deadlineMs: defaultDeadlineMs };
  const deadlineMs = Number(text);
  if (!Number.isInteger(deadlineMs) || deadlineMs < 1 || deadlineMs > maxDeadlineMs)
    throw new InfinitError('bad-argument', `deadlineMs: a whole number from 1 to ${maxDeadlineMs} is wanted`);
  return { deadlineMs };
}

/** The version in `If-Match: "7"`; undefined where there is none. */
function expectation(request: Request): number | undefined {
  const header = request.headers['if-match'];
  return header === '*' ? undefined : versionIn(header?.replaceAll('"', ''), 'If-Match', 1);
}

function versionIn(text: unknown, what: string, least: number): number | undefined {
  if (text === undefined) return undefined;
  const version = typeof text === 'string' && /^\d{1,14}$/.test(text) ? Number(text) : -1;
  if (version < least) throw new InfinitError('bad-argument', `${what}: ${JSON.stringify(text)} is no version such as 7`);
  return version;
}

function sendState(response: Response, state: BlockState): void {
  response.set('etag', `"${state.version}"`).type('application/octet-stream').send(Buffer.from(state.value));
}

/** A conflict carries the current block itself: status 412, its version as ETag, its value as body. */
function answer(response: Response, address: string, outcome: WriteOutcome): void {
  switch (outcome.status) {
    case 'committed':
      response.set('etag', `"${outcome.version}"`).json({ address, version: outcome.version });
      return;
    case 'conflict':
      if (outcome.current === undefined) throw new InfinitError('not-found', `there is no block ${address}`);
      return sendState(response.status(412), outcome.current);
    case 'failed':
      throw new InfinitError(outcome.code, outcome.message);
    case 'unknown':
      throw new InfinitError('unknown-outcome', `${outcome.message} (${outcome.code})`);
  }
}
