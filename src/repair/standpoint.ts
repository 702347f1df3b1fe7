import type { Address } from '../block/index.ts';
import { type BlockRecord, sameReplicas } from '../consensus/index.ts';
import type { Transport } from '../overlay/index.ts';
import { type PeerId, place } from '../placement/index.ts';
import type { Housekeeping } from '../store/index.ts';
import type { Pace } from './pace.ts';
import type { RepairSettings } from './settings.ts';
import type { RosterView, Views } from '../membership/index.ts';

/** What repair looks at the cluster with, shared by its parts. */
export class Standpoint {
  readonly self: PeerId;
  readonly housekeeping: Housekeeping;
  readonly transport: Transport;
  readonly views: Views;
  readonly pace: Pace;
  readonly settings: RepairSettings;

  constructor(parts: Pick<Standpoint, 'self' | 'housekeeping' | 'transport' | 'views' | 'pace' | 'settings'>) {
    this.self = parts.self;
    this.housekeeping = parts.housekeeping;
    this.transport = parts.transport;
    this.views = parts.views;
    this.pace = parts.pace;
    this.settings = parts.settings;
  }

  get newest(): RosterView {
    return this.views.inForce().at(-1)!;
  }

  /** The only view in force; undefined while there are several. */
  get onlyView(): RosterView | undefined {
    const views = this.views.inForce();
    return views.length === 1 ? views[0] : undefined;
  }

  /**
   * Where blocks may be brought now: to the only view, or, while several are in force, to the one after those that retire, or after the oldest, and not
   * past it (docs/consensus.md, Genesis). That needs no retirement: with two hosts silent, neither of which may be counted out, their copies are made
   * again all the same.
   */
  get nextView(): RosterView {
    const views = this.views.inForce();
    return this.views.retiring()?.to ?? views[Math.min(1, views.length - 1)]!;
  }

  /**
   * Whether a block is where a view after {@link nextView} has it: founded there, or moved there by hosts that were told that more views retire. They have resolved what
   * leads back, so a host that was not told yet must not take it there: by the time those views are gone, so may a majority of that set be.
   */
  isAhead(address: Address, { replicas }: BlockRecord): boolean {
    // Whoever was told that some retire knows where their blocks go: a host that has yet to resolve this one waits until it is there.
    if (this.views.retiring() !== undefined) return false;
    const views = this.views.inForce();
    const later = views.slice(views.indexOf(this.nextView) + 1);
    return later.some((view) => {
      const home = this.home(address, view);
      return replicas.every((peer) => home.includes(peer)) || sameReplicas(replicas, this.successors(address, view));
    });
  }

  /** The hosts that a block belongs to. */
  home(address: Address, { roster, replicas }: RosterView): readonly PeerId[] {
    return place(address, roster, replicas);
  }

  /** Copies that each block should have: fewer than are wanted where there are fewer hosts. */
  get copiesWanted(): number {
    const { roster, replicas } = this.newest;
    return Math.min(replicas, roster.size);
  }

  /**
   * Where a block goes when `view` follows those that retire: its set there, also while some of that are down. Where a majority of the set was counted
   * out meanwhile nothing could be agreed on there: then those that are left, and hosts of the newest view beside them. Whoever looks by `view`
   * finds one of those left, and its record names the others; where none is left nobody who looks by it alone is ever answered. No host: the newest view has none either that is left, and the
   * block stays where it is until a newer one has.
   */
  successors(address: Address, view: RosterView): readonly PeerId[] {
    const home = this.home(address, view);
    const gone = this.views.countedOut();
    const left = home.filter((peer) => !gone.has(peer));
    if (left.length >= majorityOf(home)) return home;
    const others = this.home(address, this.newest).filter((peer) => !gone.has(peer) && !left.includes(peer));
    return [...left, ...others].slice(0, home.length);
  }

  isUp(peer: PeerId): boolean {
    return peer === this.self || this.transport.isConnected(peer);
  }

  /** The hosts among these that can be asked. */
  up(peers: readonly PeerId[]): PeerId[] {
    return peers.filter((peer) => this.isUp(peer));
  }

  /** Whether a majority of the set is there: a change to any other could not be finished, and the block would be out of reach until it is. */
  canTake(set: readonly PeerId[]): boolean {
    const gone = this.views.countedOut();
    return set.filter((peer) => this.isUp(peer) && !gone.has(peer)).length >= majorityOf(set);
  }

  /** Whether those who decide about a block by its record can be asked: a majority of each of its sets. */
  isInReach({ replicas, previous }: BlockRecord): boolean {
    return [replicas, ...previous].every((set) => this.up(set).length >= majorityOf(set));
  }

  /**
   * Whether it is this host that moves a block, for the retirement of a view, of which it holds something. Where it is no replica, or only of a set that a joint record leaves, it comes after
   * those that are: they may have moved all that they held before the block was founded, and look at it again much later.
   */
  mayMove({ replicas }: BlockRecord, patience: number): boolean {
    return this.isMyTurn(replicas.includes(this.self) ? replicas : [...replicas, this.self], patience);
  }

  /**
   * Whether it is this host that acts for a block that these hold: the first that is up, or after `patience` tries any of the first ones. One that no
   * view has any longer, or that was counted out, acts for nobody: it waits until others have taken the block from it.
   */
  isMyTurn(holders: readonly PeerId[], patience: number): boolean {
    const gone = this.views.countedOut();
    const views = this.views.inForce();
    const acting = this.up(holders).filter((peer) => !gone.has(peer) && views.some(({ roster }) => roster.get(peer) !== undefined));
    const place = acting.indexOf(this.self);
    return place >= 0 && place <= patience;
  }
}

function majorityOf({ length }: readonly PeerId[]): number {
  return Math.floor(length / 2) + 1;
}
