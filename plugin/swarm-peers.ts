import { setTimeout as sleep } from 'node:timers/promises';

import { type Logger, messageOf } from '../src/base/index.ts';
import type { SwarmMember } from './discovery.ts';

/** Milliseconds between two questions for as long as this host has found no member. */
const defaultIntervalMs = 3000;
/** Milliseconds for the engine to answer. */
const defaultDeadlineMs = 10_000;
/** A swarm's hosts that are tried: whoever answers names the others. */
const maxSuggested = 64;

/** What {@link findPeersInSwarm} needs. */
export interface SwarmPeersSettings {
  /** The swarm's hosts as the local engine knows them. */
  readonly members: (signal: AbortSignal) => Promise<readonly SwarmMember[]>;
  /** True while this host belongs to a cluster and is connected with nobody. */
  readonly isLonely: () => boolean;
  /** Takes hosts on which members may answer, at the port of this one. */
  readonly suggest: (hosts: readonly string[]) => void;
  readonly logger: Logger;
  readonly intervalMs?: number;
  readonly deadlineMs?: number;
}

/**
 * The hosts of a Docker Swarm are likely to be the hosts of the cluster: while this host knows nobody, the local engine is asked for them.
 * The token, not the swarm, decides who is let in. Disposal ends it, and waits for no engine: one that is frozen must not hold up a stop.
 */
export function findPeersInSwarm(settings: SwarmPeersSettings): Disposable {
  const { members, isLonely, suggest, logger, intervalMs = defaultIntervalMs, deadlineMs = defaultDeadlineMs } = settings;
  const stop = new AbortController();
  const run = async (): Promise<void> => {
    while (!stop.signal.aborted) {
      if (isLonely()) {
        try {
          const found = await members(AbortSignal.any([stop.signal, AbortSignal.timeout(deadlineMs)]));
          if (stop.signal.aborted) return;
          const others = found.filter(({ self, address }) => !self && address !== '');
          suggest(others.slice(0, maxSuggested).map(({ address }) => address));
        } catch (error) {
          // No engine, or one that starts: it is asked again.
          logger.debug('the engine does not say which hosts are in the swarm', { reason: messageOf(error) });
        }
      }
      await sleep(intervalMs, undefined, { signal: stop.signal }).catch(() => {});
    }
  };
  void run();
  return {
    [Symbol.dispose]() {
      stop.abort();
    },
  };
}
