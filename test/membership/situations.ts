import type { Neighbour, Report, Situation } from '../../src/membership/plan.ts';
import { newestView, type RosterState } from '../../src/membership/roster-state.ts';
import { type Member, Roster } from '../../src/placement/index.ts';

type View = RosterState['views'][number];

export const gigabyte: number = 2 ** 30;

export function member(peer: string, capacity = gigabyte): Member {
  return { peer, zone: 'z', capacity };
}

export function view(number: number, ...peers: readonly string[]): View {
  return { number, roster: Roster.of(peers.map((peer) => member(peer))), replicas: 3 };
}

export function stateOf(...views: readonly View[]): RosterState {
  return { serial: 10, views, retiring: 0, countedOut: [], floor: 0 };
}

export function host(peer: string, change: Partial<Neighbour> = {}): Neighbour {
  return { ...member(peer), name: peer, state: 'up', alive: true, ...change };
}

export function report(state: RosterState, change: Partial<Report> = {}): Report {
  return { serial: state.serial, newest: newestView(state).number, standing: 'member', resolved: 0, floor: 0, silent: [], ...change };
}

/** All is well, but for what is said. */
export function situation(state: RosterState, neighbours: readonly Neighbour[], change: Partial<Situation> = {}): Situation {
  const reports = new Map(neighbours.filter(({ alive }) => alive).map(({ peer }) => [peer, report(state)]));
  return { state, neighbours, revoked: new Set(), reports, expired: false, ...change };
}

export function silentFor(state: RosterState, neighbours: readonly Neighbour[], ...silent: readonly string[]): Situation {
  const reports = new Map(neighbours.filter(({ alive }) => alive).map(({ peer }) => [peer, report(state, { silent })]));
  return situation(state, neighbours, { reports });
}

export const names = (state: RosterState | undefined): string[] => [...newestView(state!).roster.members].map(({ peer }) => peer).sort();
