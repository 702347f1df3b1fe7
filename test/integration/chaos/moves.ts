import type { HostDaemon } from '../../docker/cluster-hosts.ts';

/** When blocks were moving from one view of the roster to the next, in milliseconds of the wall clock. */
interface Move {
  readonly host: string;
  readonly fault: string;
  readonly from: number;
  to: number;
}

const lookMs = 250;

/** Notes when more than one view of the roster is in force, as any host that answers says: a host that was counted out has its blocks no more, and until they moved each has a replica less. */
export function watchMoves(
  daemons: readonly HostDaemon[],
): Disposable & { during(time: { readonly from: number; readonly to: number }): readonly Move[] } {
  const moves: Move[] = [];
  let under: Move | undefined;
  let asking = false;
  const look = async (): Promise<void> => {
    if (asking) return;
    asking = true;
    // A frozen daemon does not answer, and one that is away does not either.
    const views = await Promise.any(daemons.map(async ({ client }) => (await client.status()).roster.views)).catch(() => undefined);
    asking = false;
    if (views === undefined) return;
    const now = Date.now();
    if (under !== undefined) under.to = now;
    if (views.length < 2) under = undefined;
    else if (under === undefined) moves.push((under = { host: 'the roster', fault: 'moves blocks', from: now, to: now }));
  };
  const timer = setInterval(() => void look(), lookMs);
  return {
    during: ({ from, to }) => moves.filter((move) => move.from < to && move.to > from),
    [Symbol.dispose]: () => clearInterval(timer),
  };
}
