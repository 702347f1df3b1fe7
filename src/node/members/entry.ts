import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

import type { Left, Membership } from '../../api/index.ts';
import { codeOf, InfinitError, KeyedQueue, type Logger, messageOf } from '../../base/index.ts';
import type { Membership as Roster } from '../../membership/index.ts';
import type { Overlay } from '../../overlay/index.ts';
import type { ExpectedNames } from '../volumes/expected-names.ts';
import type { Removals } from './removals.ts';

/** How long a host that joins by command waits to be let in and to be told the views of the roster, in ms. */
const joinDeadlineMs = 20_000;
/** Pause before a host that was refused, or could not enter, tries again, in ms: the refusal may be mended elsewhere (a clock, a used-up token). */
const retryMs = 1000;
/** Between two looks at whether this host is in, in ms. */
const pollMs = 50;

/** What a host says that is to store nothing and knows nobody who would store for it. */
export const aloneWithoutStore = 'it stores nothing (--capacity 0) and belongs to no cluster: have it join one, or give it a capacity';

export interface EntryContext {
  readonly overlay: Overlay;
  readonly membership: Roster;
  readonly removals: Pick<Removals, 'whyItMustStay'>;
  /** It uses what others store. */
  readonly storesNothing: boolean;
  /** Volumes that are mounted here, or about to be. */
  readonly mounted: () => readonly string[];
  /** While the job runs no volume begins to be made or mounted here: what is served alone is served otherwise than in a cluster. */
  readonly standstill: <T>(job: () => Promise<T>) => Promise<T>;
  /** A volume of this host's own, or one that is being made; undefined: it has none. */
  readonly ownVolume: () => Promise<string | undefined>;
  /** Removed volumes of its own that could still be brought back. */
  readonly ownTrash: () => Promise<readonly string[]>;
  /** It stores something. */
  readonly holdsBlocks: () => boolean;
  /** Removes the blocks of a host that joins: it has no volumes, only the traces of having been alone. */
  readonly forgetEverything: () => Promise<void>;
  /** The cluster that this host's blocks belong to, kept on its disk. */
  readonly knownCluster: () => Promise<string | undefined>;
  /** Where the key of a cluster that is founded here is. */
  readonly keyFile: string;
  readonly rememberCluster: (clusterId: string) => Promise<void>;
  /** This host has become a member. */
  readonly onEntered: () => Promise<void>;
  readonly logger: Logger;
}

/** How this host comes into its cluster: founding one, joining one, and whether it is in. */
export class Entry implements Membership, Disposable {
  readonly expected: ExpectedNames;
  readonly #context: EntryContext;
  readonly #stop = new AbortController();
  /** Founding, joining and leaving come one after another. */
  readonly #changes = new KeyedQueue();
  /** Ends the attempts to be let in. */
  #attempts = new AbortController();
  /** Belongs to a cluster by its passport, and has not been let in yet. */
  #entering = false;

  constructor(context: EntryContext, expected: ExpectedNames) {
    this.#context = context;
    this.expected = expected;
  }

  /** Why this host is no member of the cluster that it is to belong to; undefined: it is one, or alone by choice. */
  whyOutside(): string | undefined {
    const { overlay, membership } = this.#context;
    if (overlay.halted !== undefined) return overlay.halted;
    if (overlay.clusterId === undefined) return this.#context.storesNothing ? aloneWithoutStore : undefined;
    if (overlay.isPassportExpired) return "this host's own passport has expired";
    if (this.#entering && overlay.state === 'joining') return overlay.whyNotJoined();
    return membership.isKnown && !this.#entering ? undefined : 'it was let in, and waits to be told which hosts store blocks';
  }

  /** Waits until this host is a member, or alone by choice. @throws InfinitError `unavailable` where it never will be; `cancelled` by the signal, with what it waits for. */
  async whenInside(signal: AbortSignal): Promise<void> {
    for (let why = this.whyOutside(); why !== undefined; why = this.whyOutside()) {
      if (this.#context.overlay.halted !== undefined) throw new InfinitError('unavailable', why);
      if (signal.aborted) throw new InfinitError('cancelled', why);
      await sleep(pollMs, undefined, { signal }).catch(() => {});
    }
  }

  /** Returns the new cluster's id, and where its key is: the one thing that must be kept safe. */
  async init(): Promise<{ readonly clusterId: string; readonly keyFile: string }> {
    if (this.#context.storesNothing)
      throw new InfinitError('bad-argument', 'the first host of a cluster stores its first blocks, and this one is to store nothing (--capacity 0)');
    return this.#change(() => this.#found());
  }

  /** Changes which cluster this host belongs to. */
  #change<T>(job: () => Promise<T>): Promise<T> {
    return this.#changes.run('cluster', () => this.#context.standstill(job));
  }

  async #found(): Promise<{ readonly clusterId: string; readonly keyFile: string }> {
    const { overlay, membership, rememberCluster } = this.#context;
    // Before anybody is told to stop containers for it.
    if (overlay.clusterId !== undefined) throw new InfinitError('already-exists', `this host belongs to cluster ${overlay.clusterId} already`);
    this.#refuseWhileMounted('found a cluster', ' and start them');
    await membership.intendToFound();
    const { clusterId } = await overlay.initCluster().catch(async (error: unknown) => {
      await membership.abandonFounding();
      throw error;
    });
    await rememberCluster(clusterId);
    await membership.found();
    return { clusterId, keyFile: this.#context.keyFile };
  }

  /**
   * Joins at a command. Where nobody lets this host in in time, it goes on trying: it has its passport. {@link leave} takes it back.
   * @param force Also where the trash has volumes: they are gone then.
   * @throws InfinitError `in-use`, `already-exists` where it has volumes of its own, `denied`, `unavailable` after a while, `cancelled` where it is taken back.
   */
  async join(addresses: readonly string[], token: string, { force = false }: { readonly force?: boolean } = {}): Promise<void> {
    const { overlay } = this.#context;
    const patience = await this.#change(() => this.#beginToJoin(addresses, token, force));
    if (patience === undefined) return;
    const takenBack = this.#attempts.signal;
    try {
      await overlay.whenJoined(AbortSignal.any([patience, takenBack]));
      await this.whenInside(patience);
    } catch (error) {
      if (takenBack.aborted) throw new InfinitError('cancelled', 'the join was taken back', { cause: error });
      if (!this.#entering || overlay.halted !== undefined) throw error;
      const goesOn = 'this host goes on trying, and joins as soon as a member lets it in; `infinit cluster leave` takes it back';
      const code = codeOf(error);
      throw new InfinitError(code === 'cancelled' ? 'unavailable' : code, `${messageOf(error)}; ${goesOn}`, { cause: error });
    }
  }

  /** How long it is waited for the rest; undefined: this host is a member already, and keeps what it has. */
  async #beginToJoin(addresses: readonly string[], token: string, force: boolean): Promise<AbortSignal | undefined> {
    const { overlay, membership } = this.#context;
    if (await this.#isMember()) {
      await overlay.join(addresses, token);
      return undefined;
    }
    this.#refuseWhileMounted('join a cluster', ' and start them');
    await this.#refuseOwnVolumes();
    // Once it has a passport it was asked before, and cannot look any more.
    const trash = force || overlay.clusterId !== undefined ? [] : await this.#context.ownTrash();
    if (trash.length > 0)
      throw new InfinitError(
        'already-exists',
        `the trash of this host holds volumes (${trash.map((name) => `"${name}"`).join(', ')}) that would be gone for good: bring back what is wanted ` +
          '(`infinit volume trash restore`) and copy it away, or delete it (`infinit volume trash empty`); `--force` joins without them',
      );
    await membership.abandonFounding();
    const patience = AbortSignal.timeout(joinDeadlineMs);
    await overlay.join(addresses, token);
    this.#enterOnceLetIn();
    return patience;
  }

  /**
   * Leaves the cluster for good: it takes no part any more, also after a restart. A host that nobody has let in yet is alone again.
   * @param force Also where it stores blocks, of which the others then make copies anew; never where some block may have no majority without it.
   * @throws InfinitError `bad-argument` where it belongs to no cluster; `in-use` where something is mounted, or for its blocks; `unavailable`.
   */
  leave({ force = false }: { readonly force?: boolean } = {}): Promise<Left> {
    return this.#change(() => this.#leave(force));
  }

  async #leave(force: boolean): Promise<Left> {
    const { overlay, membership, removals, keyFile } = this.#context;
    if (overlay.clusterId === undefined) throw new InfinitError('bad-argument', 'this host belongs to no cluster');
    if (overlay.halted !== undefined) throw new InfinitError('unavailable', overlay.halted);
    if (overlay.state === 'joining' && this.#entering) {
      this.#attempts.abort();
      this.#entering = false;
      await overlay.takeBackJoin();
      membership.standAlone();
      return { alone: true };
    }
    this.#refuseWhileMounted('leave the cluster', '');
    const whyNot = (): string | undefined => {
      const why = membership.status().standing === 'member' ? removals.whyItMustStay(overlay.self) : undefined;
      return why === undefined ? undefined : `this host stores blocks, and ${why}: drain it first (\`infinit node drain\`)`;
    };
    if (membership.status().standing === 'member') {
      const why = whyNot();
      if (why !== undefined) throw new InfinitError('in-use', why);
      if (!force)
        throw new InfinitError(
          'in-use',
          'this host stores blocks: drain it first (`infinit node drain`) and wait; `--force` leaves without that, and the others make its copies anew',
        );
    }
    await overlay.leave(whyNot);
    return { alone: false, ...(existsSync(keyFile) ? { keyFile } : {}) };
  }

  /**
   * For a host that was told at its start to join: waits in the background until it is let in.
   * @throws InfinitError `already-exists` where it has volumes of its own.
   */
  async enter(): Promise<void> {
    const { overlay, membership, rememberCluster, logger } = this.#context;
    if (overlay.clusterId === undefined) {
      // It goes on: a join may come at any time.
      if (this.#context.storesNothing) logger.warn(`this host serves no volume: ${aloneWithoutStore}`);
      return;
    }
    if (await this.#isMember()) {
      // It was killed between noting its cluster and saying that it holds nothing of the time before.
      if (membership.status().standing === 'stranger') await membership.enter();
      return;
    }
    // A founder that crashed before it had noted its own cluster: what it stores is the cluster's.
    if (membership.status().standing === 'member') return rememberCluster(overlay.clusterId);
    await this.#refuseOwnVolumes();
    if (this.#context.holdsBlocks())
      logger.warn('what this host stored while it was alone does not come along into the cluster: volumes in its trash are gone once it is let in');
    this.#enterOnceLetIn();
  }

  async #isMember(): Promise<boolean> {
    const { overlay, knownCluster } = this.#context;
    return overlay.clusterId !== undefined && (await knownCluster()) === overlay.clusterId;
  }

  #enterOnceLetIn(): void {
    if (this.#entering) return;
    this.#entering = true;
    const { overlay, logger } = this.#context;
    this.#attempts = new AbortController();
    const signal = AbortSignal.any([this.#stop.signal, this.#attempts.signal]);
    let said = '';
    const attempt = async (): Promise<void> => {
      while (!signal.aborted) {
        try {
          await overlay.whenJoined(signal);
          await this.#entered();
          return;
        } catch (error) {
          if (signal.aborted) return;
          // A refusal is repeated at every attempt, and may be mended elsewhere: a clock, an invitation.
          if (messageOf(error) !== said) logger.error('this host was not let into its cluster: it tries again', { error });
          said = messageOf(error);
          await sleep(retryMs, undefined, { signal }).catch(() => {});
        }
      }
    };
    void attempt();
  }

  /** What a host that was alone kept means nothing in the cluster. */
  async #entered(): Promise<void> {
    const { overlay, membership, forgetEverything, rememberCluster, onEntered, logger } = this.#context;
    await forgetEverything();
    await rememberCluster(overlay.clusterId!);
    await membership.enter();
    await membership.whenKnown(this.#stop.signal);
    await onEntered();
    this.#entering = false;
    logger.info('joined the cluster', { cluster: overlay.clusterId });
  }

  async #refuseOwnVolumes(): Promise<void> {
    const own = await this.#context.ownVolume();
    if (own !== undefined)
      throw new InfinitError(
        'already-exists',
        `this host has volumes of its own ("${own}" …) and cannot join a cluster with them: remove them, or give the daemon another --state-dir`,
      );
  }

  /** @param afterwards what is done with the containers then, if they can still be used. */
  #refuseWhileMounted(what: string, afterwards: string): void {
    const mounted = this.#context.mounted();
    if (mounted.length > 0)
      throw new InfinitError(
        'in-use',
        `to ${what} nothing may be mounted on this host, and ${mounted.map((name) => `"${name}"`).join(', ')} is: stop the containers that use it ` +
          `(\`docker ps --filter volume=${mounted[0]!}\`; \`docker ps -a\` shows one that ended when its engine crashed: remove that; \`infinit volume unmount\` ends mounts made by hand), ` +
          `then say this again${afterwards}`,
      );
  }

  [Symbol.dispose](): void {
    this.#stop.abort();
  }
}
