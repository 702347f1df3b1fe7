import { InfinitError, KeyedQueue, type Logger } from '../base/index.ts';
import { formatAddress, parseAddress } from './addresses.ts';
import type { ClusterAuthority } from './cluster-authority.ts';
import { type MemberState, readToken } from './identity/index.ts';
import type { PassportGate } from './membership/passport-gate.ts';
import type { OverlayOptions } from './overlay-options.ts';
import { readTokenFile } from './state-files.ts';
import type { MeshTransport } from './transport.ts';
import type { Trouble } from './trouble.ts';
import type { TroubleLog, TroubleReport } from './trouble-log.ts';
import { whenJoined } from './when-joined.ts';

export interface EntranceOptions {
  readonly gate: PassportGate;
  readonly authority: ClusterAuthority;
  readonly mesh: MeshTransport;
  readonly troubleLog: TroubleLog;
  /** What lasts, for people. */
  readonly troubles: () => readonly TroubleReport[];
  /** What this host is to its cluster. */
  readonly state: () => MemberState;
  readonly logger: Logger;
  /** Why it takes no part any more. */
  readonly halted: () => string | undefined;
  readonly onMembersChange: (listener: () => void) => () => void;
  /** Reads which members it knew when it ran last; true where there are any. */
  readonly recall: () => Promise<boolean>;
  /** From now on it is a member, or wants to be one. */
  readonly begin: (state: MemberState) => void;
  /** It is alone again. */
  readonly end: () => void;
}

/** How this host comes into a cluster: founds one, joins one by the addresses that it is given, or takes that back. One of these at a time. */
export class Entrance {
  readonly #options: EntranceOptions;
  readonly #turns = new KeyedQueue();
  /** Addresses that the operator named. */
  #seeds: readonly string[] = [];
  /** Those that were found while nobody was connected. */
  #suggested: readonly string[] = [];

  constructor(options: EntranceOptions) {
    this.#options = options;
  }

  /** Goes on where the last run of this host ended, or begins to join where it has a token to. @throws as `Overlay.open`. */
  resume({ tokenFile, join = [] }: Pick<OverlayOptions, 'tokenFile' | 'join'>): Promise<void> {
    return this.#inTurn(async () => {
      const { gate, mesh, authority, recall, begin, logger } = this.#options;
      const knowsMembers = await recall();
      // A token that was used already is of no interest, nor whether its file is still there: the passport made from it is kept.
      if (tokenFile !== undefined) {
        const text = await readTokenFile(tokenFile, logger, { optional: gate.own !== undefined });
        if (text !== undefined) await authority.useToken(readToken(text, tokenFile), { wasLetIn: knowsMembers, isAsked: false });
      }
      if (gate.own === undefined) {
        if (join.length > 0)
          throw new InfinitError(
            'bad-argument',
            'to join a cluster this host needs a token: --token FILE or INFINIT_TOKEN, from `infinit cluster token create`',
          );
        return;
      }
      await mesh.start();
      begin(gate.own.invitation === undefined || knowsMembers ? 'up' : 'joining');
      this.seed(join);
    });
  }

  /** As `Overlay.initCluster`. */
  found(): Promise<void> {
    return this.#inTurn(async () => {
      const { gate, mesh, authority, begin } = this.#options;
      if (gate.own !== undefined) {
        const id = Buffer.from(gate.own.cluster).toString('base64url');
        throw new InfinitError('already-exists', `this host belongs to cluster ${id} already`);
      }
      await mesh.start();
      await authority.found();
      begin('up');
    });
  }

  /** As `Overlay.join`. */
  async join(addresses: readonly string[], tokenText: string): Promise<void> {
    const { gate, mesh, authority, halted, state, begin } = this.#options;
    for (const address of addresses) parseAddress(address);
    if (halted() !== undefined) throw new InfinitError('unavailable', `${halted()!}: to join again it needs an empty state directory`);
    const token = readToken(tokenText);
    await this.#inTurn(async () => {
      const isNew = gate.own === undefined;
      await authority.useToken(token, { wasLetIn: state() !== 'joining', isAsked: true });
      try {
        await mesh.start();
      } catch (error) {
        // It would belong to a cluster that it cannot speak to, and neither join nor be taken back.
        if (isNew) {
          gate.reset();
          await authority.forgetPassport();
        }
        throw error;
      }
      // A member that was given a further token is what it was: up, or about to leave.
      begin(state());
      this.seed(addresses);
    });
  }

  /** As `Overlay.takeBackJoin`. */
  takeBack(): Promise<void> {
    return this.#inTurn(async () => {
      const { gate, mesh, authority, troubleLog, state, end } = this.#options;
      if (gate.own === undefined || state() !== 'joining') throw new InfinitError('already-exists', 'this host was let in already');
      // Before anything is waited for: from here on nobody lets it in.
      gate.reset();
      this.#suggested = [];
      this.seed([]);
      mesh.setTargets([]);
      for (const peer of mesh.connected()) mesh.drop(peer, 'this host joins no longer');
      troubleLog.forget();
      await authority.forgetPassport();
      end();
    });
  }

  /** Dials these until a member is there. */
  seed(addresses: readonly string[]): void {
    this.#seeds = addresses;
    this.#options.mesh.setSeeds(addresses);
  }

  /** As `Overlay.suggest`. */
  suggest(hosts: readonly string[], port: number): void {
    this.#suggested = hosts.map((host) => formatAddress({ host, port }));
    this.#options.mesh.setSeeds([...new Set([...this.#seeds, ...this.#suggested])]);
  }

  /** A member is there, and from here on members name each other. */
  forgetSuggestions(): void {
    if (this.#suggested.length > 0) this.#options.mesh.setSeeds(this.#seeds);
    this.#suggested = [];
  }

  /** As `Overlay.whenJoined`. */
  async whenIn(signal: AbortSignal | undefined): Promise<void> {
    const { gate, state, troubleLog, onMembersChange } = this.#options;
    if (gate.own === undefined) throw new InfinitError('bad-argument', 'this host belongs to no cluster and has no token');
    // Among other addresses this host's own does no harm.
    const matters = ({ kind }: Trouble): boolean => kind !== 'self' || this.#seeds.length === 1;
    const onTrouble = (listener: (trouble: Trouble) => void): (() => void) =>
      troubleLog.onTrouble((trouble) => matters(trouble) && listener(trouble));
    await whenJoined({ isIn: () => state() !== 'joining', whyNot: () => this.whyNotIn(), onMembersChange, onTrouble }, signal);
  }

  /** As `Overlay.whyNotJoined`. */
  whyNotIn(): string {
    const why = this.#options.troubles().map(({ message }) => message);
    if (why.length > 0) return `no member has let this host in: ${why.join('; ')}`;
    return 'no member has let this host in yet; where that lasts, name one as HOST:PORT';
  }

  #inTurn(job: () => Promise<void>): Promise<void> {
    return this.#turns.run('entrance', job);
  }
}
