import type { Confirmations } from '../../src/membership/confirmations.ts';
import type { Report } from '../../src/membership/plan.ts';
import { hostsInForce, isOnNotice, newestView, retirement, type RosterState } from '../../src/membership/roster-state.ts';
import { Silence } from '../../src/membership/silence.ts';
import type { Knowledge } from '../../src/membership/standing.ts';
import { Standpoint } from '../../src/repair/standpoint.ts';
import type { Host } from './host.ts';

/** Who was not heard for so long, by the own clock, is not connected. */
const connectedMs = 250;

/** What follows for a host from a state of the roster. */
interface Derived {
  readonly of: RosterState;
  readonly gone: readonly string[];
  readonly countedOut: ReadonlySet<string>;
  readonly others: ReadonlySet<string>;
}

/** A host's part in the views, what it knows durably and what its process holds. */
export class Part {
  readonly host: Host;
  readonly silence = new Silence();
  readonly standpoint: Standpoint;
  knowledge: Knowledge;
  confirmations!: Confirmations;
  readonly reports = new Map<string, Report>();
  readonly heardAt = new Map<string, number>();
  sayUntil = -Infinity;
  lastTick = 0;
  /** The last of the retiring views for which all is resolved, and the blocks that are. */
  resolved = 0;
  readonly done = new Set<string>();
  /** Blocks that a check has yet to look at: all of them when the views changed, or a host is heard again. */
  readonly unchecked = new Set<string>();
  /** How many checks were begun. */
  checks = 0;
  allKnow: { readonly serial: number; readonly since: number } | undefined;
  /** What follows from the state, and the report: made anew where what they are of changed, not for each message. */
  #known: Derived;
  #report: Report | undefined;
  #reported: RosterState | undefined;

  constructor(host: Host, state: RosterState) {
    this.host = host;
    this.knowledge = { standing: 'member', state };
    this.#known = this.#derive(state);
    const views = { inForce: () => this.state.views, retiring: () => this.retirement, countedOut: () => this.#derived.countedOut };
    this.standpoint = new Standpoint({ self: host.name, views, transport: { isConnected: (peer: string) => this.isConnected(peer) } } as never);
  }

  get state(): RosterState {
    return this.knowledge.state!;
  }

  /** As `Membership.retiring`. */
  get retirement(): ReturnType<typeof retirement> {
    return isOnNotice(this.state, this.host.name) ? undefined : retirement(this.state);
  }

  /** Hosts on which nobody relies any longer. */
  get gone(): readonly string[] {
    return this.#derived.gone;
  }

  get others(): ReadonlySet<string> {
    return this.#derived.others;
  }

  get #derived(): Derived {
    if (this.#known.of !== this.state) this.#known = this.#derive(this.state);
    return this.#known;
  }

  #derive(of: RosterState): Derived {
    const { name } = this.host;
    const gone = of.countedOut.flatMap(({ peer, settled }) => (settled && peer !== name ? [peer] : []));
    const others = new Set(hostsInForce(of));
    others.delete(name);
    return { of, gone, countedOut: new Set(gone), others };
  }

  get report(): Report {
    const { state, resolved } = this;
    const { standing } = this.knowledge;
    const { floor } = this.host;
    let report = this.#report;
    if (report === undefined || this.#reported !== state || report.standing !== standing || report.resolved !== resolved || report.floor !== floor) {
      const silent = this.silence.beyond(this.host.evictionMs);
      this.#report = report = { serial: state.serial, newest: newestView(state).number, standing, resolved, floor, silent };
      this.#reported = state;
    }
    return report;
  }

  countSilence(elapsedMs: number): void {
    this.silence.count(this.others, (peer) => this.isConnected(peer), elapsedMs);
    this.#report = undefined;
  }

  isConnected(peer: string): boolean {
    return peer === this.host.name || (!this.host.barred.has(peer) && this.host.clock - (this.heardAt.get(peer) ?? -Infinity) < connectedMs);
  }

  hearsMost(): boolean {
    const { others } = this;
    let heard = 1;
    for (const peer of others) if (this.isConnected(peer)) heard++;
    return heard * 2 > others.size + 1;
  }
}
