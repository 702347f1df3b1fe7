import type { Express, Request, Response } from 'express';

import type { RepairControl, SalvageCall } from '../../api/index.ts';
import { InfinitError } from '../../base/index.ts';

type Serve = (handler: (request: Request, response: Response) => Promise<void>) => (request: Request, response: Response) => void;

/** Hosts that one call may name. */
const maxLost = 1000;

/** What people may have repair do. */
export function routeRepair(app: Express, repair: RepairControl, serve: Serve): void {
  app.post(
    '/v1/repair/salvage',
    serve(async (request, response) => void response.json(await repair.salvage(salvageCall(request.body)))),
  );
  app.post(
    '/v1/repair/scrub',
    serve(async (request, response) => {
      const { bytesPerSecond } = (request.body ?? {}) as { bytesPerSecond?: unknown };
      if (bytesPerSecond !== undefined && !(typeof bytesPerSecond === 'number' && bytesPerSecond > 0 && Number.isFinite(bytesPerSecond)))
        throw new InfinitError('bad-argument', '"bytesPerSecond" must be a number above 0');
      repair.scrub(bytesPerSecond);
      response.status(202).json({});
    }),
  );
}

function salvageCall(body: unknown): SalvageCall {
  const { force = false, lost = [], giveUp = false, by = '' } = (body ?? {}) as { [Name in keyof SalvageCall]?: unknown };
  if (typeof giveUp !== 'boolean') throw new InfinitError('bad-argument', '"giveUp" must be true or false');
  if (typeof force !== 'boolean') throw new InfinitError('bad-argument', '"force" must be true or false');
  if (!Array.isArray(lost) || lost.length > maxLost || lost.some((host) => typeof host !== 'string'))
    throw new InfinitError('bad-argument', `"lost" must be a list of at most ${maxLost} hosts`);
  if (typeof by !== 'string' || (force && by === '')) throw new InfinitError('bad-argument', '"by" must say who forces it');
  return { force, lost: lost as string[], giveUp, by: by.slice(0, 128) };
}
