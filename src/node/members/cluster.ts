import {
  clusterHealth,
  type ClusterStatus,
  hostsCalled,
  type HostStatus,
  type HostSummary,
  type SilentHost,
  type TokenInfo,
  type TokenState,
} from '../../api/index.ts';
import { InfinitError, type Logger, messageOf, systemClock } from '../../base/index.ts';
import { largeAnswerTo } from '../../filesystem/index.ts';
import type { Membership } from '../../membership/index.ts';
import { type KnownToken, knownTokens, type MemberView, type Overlay, type Right } from '../../overlay/index.ts';
import type { BlockStore } from '../../store/index.ts';
import type { Catalogue } from '../volumes/catalogue.ts';
import type { Entry } from './entry.ts';
import { placedMembers } from './hosts-seen.ts';
import { heardStatus } from './heard-status.ts';
import { presentTroubles } from './present-troubles.ts';
import { jsonBody } from '../control/json-body.ts';
import { nodeKinds } from '../kinds.ts';
import { sharedTime } from './shared-time.ts';
import type { Removals } from './removals.ts';
import { tokenStates } from './token-states.ts';
import { leaseHolder, livingHolder } from '../sharing/volume-lease.ts';
import type { Volumes } from '../volumes/volumes.ts';

/** A host that has not said how it is after so long is called silent, in ms. */
const statusDeadlineMs = 3000;
/** The catalogue is read again at least so often, in ms: a notification may have been lost. */
const catalogueRefreshMs = 15_000;
const volumeIdBytes = 16;
const rights: readonly Right[] = ['store', 'write', 'invite'];

export interface ClusterContext {
  readonly overlay: Overlay;
  readonly membership: Membership;
  readonly store: BlockStore;
  readonly catalogue: Catalogue;
  readonly volumes: Volumes;
  readonly entry: Entry;
  readonly removals: Removals;
  /** Another host said that volumes came or went. */
  readonly onCatalogueNews: () => void;
  readonly status: () => Promise<HostStatus>;
  /** Whether this host gives its blocks away to leave: kept on its disk. */
  readonly drain: (on: boolean) => Promise<void>;
  readonly logger: Logger;
}

/** What the daemons of a cluster say to each other above the store: operations on shared volumes, who has what mounted, how they are. */
export class Cluster implements Disposable {
  readonly #context: ClusterContext;
  readonly #refresh: NodeJS.Timeout;

  constructor(context: ClusterContext) {
    this.#context = context;
    const { transport } = context.overlay;
    transport.handle(nodeKinds.volumeCall, (peer, body) => this.#serveCall(peer, body), {
      largeAnswer: (body) => largeAnswerTo(body.subarray(volumeIdBytes)),
    });
    transport.handle(nodeKinds.volumeRecall, (peer, body) => this.#recall(peer, body));
    transport.handle(nodeKinds.volumeHolders, async (_peer, body) => Buffer.from(JSON.stringify(await this.#holders(body))));
    transport.handle(nodeKinds.mounted, () => Buffer.from(JSON.stringify(context.volumes.mountedIds())));
    transport.handle(nodeKinds.catalogueChanged, (peer) => {
      // To read it anew is work, and only who may write has changed anything.
      if (!context.overlay.rightsOf(peer).includes('write')) return;
      context.onCatalogueNews();
      return this.refreshCatalogue();
    });
    transport.handle(nodeKinds.status, async () => Buffer.from(JSON.stringify(await context.status())));
    transport.handle(nodeKinds.tokens, async () => Buffer.from(JSON.stringify(await context.overlay.tokens())));
    transport.handle(nodeKinds.drain, async (peer, body) => {
      // Who is drained has no copies in the end, as who is expelled.
      if (!context.overlay.rightsOf(peer).includes('invite'))
        throw new InfinitError(
          'denied',
          `host ${this.#nameOf(peer)} has no right to invite and expel, so it drains no other host: say it on the host that is to go, or on one with that right`,
        );
      await this.#drainHere(jsonBody(body) === true);
      return undefined;
    });
    transport.onPeerUp(() => void this.refreshCatalogue());
    this.#refresh = setInterval(() => void this.refreshCatalogue(), catalogueRefreshMs);
    this.#refresh.unref();
  }

  /** Tells the other hosts that a volume came or went. */
  announceCatalogue(): void {
    const { transport } = this.#context.overlay;
    for (const peer of transport.connected()) transport.notify(peer, nodeKinds.catalogueChanged, new Uint8Array(0));
  }

  /** Hosts other than this one that say they have the volume mounted, by name. */
  async mountedElsewhere(volumeId: string, deadlineMs: number = statusDeadlineMs): Promise<readonly string[]> {
    return [...(await this.#askMounted(volumeId, deadlineMs))].flatMap(([peer, mounted]) => (mounted ? [this.#nameOf(peer)] : []));
  }

  /** The host that took a volume's lease last and did not give it back, by name; it may have died since. */
  async leaseHolder(volumeId: string): Promise<string | undefined> {
    const holder = await leaseHolder(this.#context.store, volumeId);
    return holder === undefined ? undefined : this.#nameOf(holder);
  }

  /**
   * As {@link mountedElsewhere}, for what may only be done while nobody has it mounted. A host that is frozen, or cut off from this one alone, says nothing: while it, or who serves it, lives
   * the volume's lease does. To see that it does not takes as long as it may live, some seconds.
   * @throws InfinitError `unavailable` where a host that is connected does not say: it may be mounting it.
   */
  async usedElsewhere(volumeId: string): Promise<readonly string[]> {
    const { overlay, store } = this.#context;
    const answers = await this.#askMounted(volumeId, statusDeadlineMs);
    const users = [...answers].flatMap(([peer, mounted]) => (mounted ? [peer] : []));
    if (users.length > 0 || overlay.clusterId === undefined) return users.map((peer) => this.#nameOf(peer));
    const unheard = overlay.members().filter(({ peer, self }) => !self && !answers.has(peer));
    const known = await leaseHolder(store, volumeId);
    // Its own word counts for more: it was killed and has not mounted the volume since. But one that uses it and is not heard may be about to take the lease.
    const isAway = known === overlay.self || (known !== undefined && answers.has(known));
    if (known !== undefined && !(isAway && unheard.length === 0)) {
      const holder = await livingHolder(store, volumeId, systemClock);
      if (holder !== undefined && holder !== overlay.self) return [this.#nameOf(holder)];
    }
    const mute = unheard.filter(({ peer }) => overlay.transport.isConnected(peer)).map(({ name }) => name);
    if (mute.length > 0)
      throw new InfinitError('unavailable', `${mute.join(', ')} did not say whether it uses the volume, though it is connected: try again`);
    return [];
  }

  /** Which of the hosts that answer have the volume mounted. */
  async #askMounted(volumeId: string, deadlineMs: number): Promise<ReadonlyMap<string, boolean>> {
    const { transport } = this.#context.overlay;
    const id = Buffer.from(volumeId, 'hex');
    const answers = await Promise.allSettled(
      transport.connected().map(async (peer): Promise<[string, boolean]> => {
        const answer = await transport.request(peer, nodeKinds.volumeHolders, id, { deadlineMs });
        return [peer, (jsonBody(answer) as string[]).length > 0];
      }),
    );
    return new Map(answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : [])));
  }

  #nameOf(peer: string): string {
    return this.#context.overlay.member(peer)?.name ?? peer;
  }

  /** Which other hosts have which volumes mounted: names by volume id. Hosts that do not answer in time are left out. */
  async mounts(deadlineMs: number): Promise<ReadonlyMap<string, readonly string[]>> {
    const { transport } = this.#context.overlay;
    const byVolume = new Map<string, string[]>();
    const ask = async (peer: string): Promise<void> => {
      const ids = jsonBody(await transport.request(peer, nodeKinds.mounted, new Uint8Array(0), { deadlineMs })) as string[];
      const name = this.#nameOf(peer);
      for (const id of ids) byVolume.set(id, [...(byVolume.get(id) ?? []), name]);
    };
    await Promise.allSettled(transport.connected().map(ask));
    return byVolume;
  }

  /** Those that this host has to do with: one that left, or was expelled, has to do with nobody. */
  #members(): readonly MemberView[] {
    const { overlay, membership } = this.#context;
    const members = placedMembers(overlay, membership);
    return overlay.halted === undefined ? members : members.filter(({ self }) => self);
  }

  /** The members as this host sees them, itself first. */
  hosts(): readonly HostSummary[] {
    const out = this.#context.membership.status().countedOut;
    const { clusterId, halted } = this.#context.overlay;
    const own = clusterId === undefined ? 'alone' : halted === undefined ? undefined : 'outside';
    return this.#members().map((member) => ({
      name: member.name,
      peer: member.peer,
      address: member.addresses[0] ?? '',
      zone: member.zone,
      capacity: member.capacity,
      state: own ?? (out.includes(member.peer) ? 'counted out' : stateSeen(member)),
      ...(member.livenessSinceMs > 0 ? { since: new Date(member.livenessSinceMs).toISOString() } : {}),
      ...(member.passportExpiresMs === undefined ? {} : { passportExpiresAt: new Date(member.passportExpiresMs).toISOString() }),
      self: member.self,
      rights: member.rights,
    }));
  }

  /** Asks every member how it is. */
  async status(): Promise<ClusterStatus> {
    const { overlay, membership, status } = this.#context;
    const { outside, ...rest } = await status();
    const own: HostStatus = { ...rest, ...(outside === undefined ? {} : { outside: this.#withNames(outside) }) };
    const others = this.#members().filter((member) => !member.self && member.state !== 'left');
    const answers = await Promise.allSettled(
      others.map(async ({ peer }) =>
        heardStatus(peer, jsonBody(await overlay.transport.request(peer, nodeKinds.status, new Uint8Array(0), { deadlineMs: statusDeadlineMs }))),
      ),
    );
    const answered = answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []));
    const out = membership.status().countedOut;
    const silent = answers.flatMap((answer, index): SilentHost[] => {
      if (answer.status === 'fulfilled') return [];
      const { name, peer, capacity } = others[index]!;
      const reason = overlay.transport.isConnected(peer) ? messageOf(answer.reason) : 'there is no connection with it';
      const countedOut = out.includes(peer);
      return [{ name, peer, reason, stores: capacity > 0 && !countedOut, countedOut }];
    });
    // Why it has to do with nobody is said as `outside`; what the others say to it meanwhile says no more.
    const present = overlay.halted === undefined ? presentTroubles(overlay.troubles(), answered, Date.now()) : [];
    const troubles = present.map(({ kind, about, message }) => ({ kind, about, message: this.#withNames(message) }));
    const found = { clusterId: overlay.clusterId, hosts: [own, ...answered], silent, troubles };
    return { ...found, health: clusterHealth(found) };
  }

  /** The time by the wall clocks of the hosts that answer, this one's among them. @param ofTwo As for {@link sharedTime}. */
  async sharedTimeMs(ofTwo?: 'earlier' | 'later'): Promise<number> {
    const { hosts } = await this.status();
    return sharedTime(
      hosts.map(({ time }) => Date.parse(time)),
      ofTwo,
    );
  }

  /** Hosts by their names, where those say which host is meant: nobody knows peer ids by heart. */
  #withNames(text: string): string {
    const members = this.#context.overlay.members();
    return members
      .filter(({ name, peer }) => text.includes(peer) && members.filter((member) => member.name === name).length === 1)
      .reduce((said, { name, peer }) => said.replaceAll(`host ${peer}`, `host ${name}`), text);
  }

  init(): ReturnType<Entry['init']> {
    return this.#context.entry.init();
  }

  join(addresses: readonly string[], token: string, how?: { readonly force?: boolean }): Promise<void> {
    return this.#context.entry.join(addresses, token, how);
  }

  leave(how?: { readonly force?: boolean }): ReturnType<Entry['leave']> {
    return this.#context.entry.leave(how);
  }

  async createToken(request: { readonly rights?: readonly string[]; readonly expiresInMs?: number; readonly uses?: number }): Promise<TokenInfo> {
    const wrong = request.rights?.find((right) => !rights.includes(right as Right));
    if (wrong !== undefined) throw new InfinitError('bad-argument', `"${wrong}" is no right: there are ${rights.join(', ')}`);
    const { rights: wanted, ...limits } = request;
    const token = await this.#context.overlay.createToken({ ...limits, ...(wanted === undefined ? {} : { rights: wanted as Right[] }) });
    return { id: token.id, text: token.text, rights: token.rights, expiresAt: new Date(token.expiresMs).toISOString(), uses: token.uses };
  }

  /** All invitations that some host in reach knows of, those that end last first. */
  async tokens(): Promise<readonly TokenState[]> {
    const { overlay } = this.#context;
    const { transport } = overlay;
    const ask = async (peer: string): Promise<readonly KnownToken[]> => {
      const answer = await transport.request(peer, nodeKinds.tokens, new Uint8Array(0), { deadlineMs: statusDeadlineMs });
      return knownTokens(jsonBody(answer));
    };
    const answers = await Promise.allSettled([...transport.connected().map(ask), overlay.tokens().then(knownTokens)]);
    return tokenStates(
      answers.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : [])),
      Date.now(),
    );
  }

  /** Gives a member the right to invite and to expel. */
  async grant(which: string): Promise<void> {
    await this.#context.overlay.grant(this.#memberNamed(which).peer);
  }

  /**
   * Ends an invitation.
   * @param how With `hosts` those that joined with it are expelled as well, one after the other, as {@link removeHost} does. Returns them.
   * @throws InfinitError where one must stay: the others so far are expelled, and the message says who.
   */
  async revokeToken(id: string, how: { readonly hosts: boolean; readonly unsafe: boolean }): Promise<readonly string[]> {
    const { overlay, removals } = this.#context;
    await overlay.revokeToken(id);
    const expelled: string[] = [];
    for (const peer of how.hosts ? overlay.hostsOfToken(id) : []) {
      const name = this.#nameOf(peer);
      try {
        await removals.remove(peer, name, how.unsafe);
      } catch (error) {
        if (!(error instanceof InfinitError)) throw error;
        const done = expelled.length === 0 ? 'nobody was expelled' : `expelled: ${expelled.map((other) => this.#nameOf(other)).join(', ')}`;
        throw new InfinitError(error.code, `the token is revoked, ${done}. ${error.message}`, { cause: error });
      }
      expelled.push(peer);
    }
    return expelled;
  }

  /**
   * Expels a host, by name or peer id; its copies are made again elsewhere.
   * @param unsafe Also where some block may have no majority without it.
   * @throws InfinitError as {@link Removals.remove}.
   */
  async removeHost(which: string, unsafe = false): Promise<void> {
    await this.#context.removals.remove(this.#memberNamed(which).peer, which, unsafe);
  }

  /** Has a host give its blocks away so that it can leave, or (`on` false) stay after all. How far it is shows in its status. */
  async drainHost(which: string, on: boolean): Promise<void> {
    const { overlay } = this.#context;
    const { peer, self } = this.#memberNamed(which);
    if (overlay.clusterId === undefined) throw new InfinitError('bad-argument', 'this host is alone: there is nobody to take its blocks');
    const others = overlay.members().filter((member) => member.peer !== peer && member.state === 'up' && member.capacity > 0);
    if (on && others.length === 0)
      throw new InfinitError(
        'bad-argument',
        'no other host stores blocks: there is nobody to take them. Have one join first; who gives up all that is stored stops the daemon and removes its --state-dir',
      );
    if (self) await this.#drainHere(on);
    else await overlay.transport.request(peer, nodeKinds.drain, Buffer.from(JSON.stringify(on)));
  }

  async #drainHere(on: boolean): Promise<void> {
    await this.#context.drain(on);
    this.#context.overlay.setState(on ? 'draining' : 'up');
  }

  #memberNamed(which: string): { readonly peer: string; readonly self: boolean } {
    const found = hostsCalled(which, this.#context.overlay.members());
    if (found.length === 0) throw new InfinitError('not-found', `there is no host "${which}": see \`infinit node ls\``);
    if (found.length > 1) throw new InfinitError('bad-argument', `${found.length} hosts are called "${which}": give the peer id`);
    return found[0]!;
  }

  async #serveCall(peer: string, body: Uint8Array): Promise<Uint8Array> {
    if (body.length < volumeIdBytes) throw new InfinitError('bad-argument', 'a volume call begins with the volume’s id');
    if (!this.#context.overlay.rightsOf(peer).includes('write')) throw new InfinitError('denied', `host ${peer} has no right to write`);
    const sharing = this.#context.volumes.servedById(Buffer.from(body.subarray(0, volumeIdBytes)).toString('hex'))?.sharing;
    return sharing === undefined ? new Uint8Array(0) : sharing.serve(peer, body.subarray(volumeIdBytes));
  }

  async #recall(peer: string, body: Uint8Array): Promise<undefined> {
    if (body.length < volumeIdBytes || (body.length - volumeIdBytes) % 8 !== 0)
      throw new InfinitError('bad-argument', 'a recall is a volume’s id and numbers');
    if (!this.#context.overlay.rightsOf(peer).includes('write')) throw new InfinitError('denied', `host ${peer} has no right to write`);
    const id = Buffer.from(body.subarray(0, volumeIdBytes)).toString('hex');
    const sharing = this.#context.volumes.servedById(id)?.sharing;
    const keys = new Float64Array(Uint8Array.from(body.subarray(volumeIdBytes)).buffer);
    // Where it is not mounted nothing of it is in memory. But programs of a daemon that was killed may have locks that were granted here (halves are keys of those): they are told of once it is served again.
    if (sharing === undefined && keys.some((key) => !Number.isInteger(key)) && (await this.#context.volumes.mayBeInUse(id)))
      throw new InfinitError('unavailable', 'the volume is not served here yet');
    await sharing?.recall([...keys]);
    return undefined;
  }

  /** Not empty where programs here may have locks and open files, though their volume be not served yet. */
  async #holders(body: Uint8Array): Promise<readonly string[]> {
    const id = Buffer.from(body).toString('hex');
    return (await this.#context.volumes.mayBeInUse(id)) ? [id] : [];
  }

  /** Reads the catalogue anew. */
  async refreshCatalogue(): Promise<undefined> {
    if (this.#context.overlay.clusterId === undefined) return;
    const { catalogue, volumes, logger } = this.#context;
    await catalogue
      .refresh()
      .then(() => volumes.applyOptions())
      .catch((error: unknown) => logger.debug('the catalogue could not be read', { error }));
  }

  [Symbol.dispose](): void {
    clearInterval(this.#refresh);
  }
}

/** What a member says of itself, unless it says nothing. */
function stateSeen({ self, state, liveness }: MemberView): string {
  return self || state !== 'up' || liveness === 'alive' ? state : liveness;
}
