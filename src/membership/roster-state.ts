import { boundedJson, InfinitError } from '../base/index.ts';
import { type Address, namedAddress } from '../block/index.ts';
import type { PeerId } from '../overlay/index.ts';
import { type Member, Roster } from '../placement/index.ts';
import { maxMutableBytes } from '../store/index.ts';
import { type Loss, type Losses, maxLosses, noLosses } from './losses.ts';
import type { RosterView } from './views.ts';

/** Views in force at once; a founding must be agreed on in all of them. */
export const maxViewsInForce = 4;
/** Hosts that were counted out and are remembered. What is forgotten costs a little space elsewhere: such a host finds out by its age (standing.ts). */
export const maxCountedOut = 256;
/** The version of the format of the roster block. */
const format = 1;
const maxNameLength = 128;

/** A host whose states count as lost, or that never speaks again. */
export interface CountedOut {
  readonly peer: PeerId;
  /** Nobody relies on it any longer: all hosts that count know of it, and whatever they had confirmed to it before has expired. */
  readonly settled: boolean;
}

/** What the roster block holds: the agreed list of views. */
export interface RosterState {
  /** Counts the changes, from 1: of two states the one with the higher number is newer. */
  readonly serial: number;
  /** In force, oldest first, at least one. */
  readonly views: readonly RosterView[];
  /** Views up to this one retire, all at once: all hosts that count know the one after it. 0: none retires. */
  readonly retiring: number;
  readonly countedOut: readonly CountedOut[];
  /** No block that was forgotten in a view that is retired had a version above it (docs/consensus.md, “Genesis”). */
  readonly floor: number;
  /** What nobody is left to know of. Absent: nothing. */
  readonly losses?: Losses;
}

/** Where the cluster's roster is agreed on: a block like any other. */
export function rosterAddress(clusterId: string): Address {
  return namedAddress(clusterId, 'roster');
}

/** A new cluster of one host. */
export function foundingState(founder: Member, replicas: number): RosterState {
  return { serial: 1, views: [{ number: 1, roster: Roster.of([founder]), replicas }], retiring: 0, countedOut: [], floor: 0 };
}

export function newestView(state: RosterState): RosterView {
  return state.views.at(-1)!;
}

/** What retires, the oldest first, and where its blocks go; undefined: nothing does. */
export function retirement({ views, retiring }: RosterState): { readonly from: readonly RosterView[]; readonly to: RosterView } | undefined {
  const from = views.filter(({ number }) => number <= retiring);
  return from.length === 0 ? undefined : { from, to: views[from.length]! };
}

/** True where some view in force has the host. */
export function isInForce(state: RosterState, peer: PeerId): boolean {
  return state.views.some(({ roster }) => roster.get(peer) !== undefined);
}

export function isCountedOut(state: RosterState, peer: PeerId): boolean {
  return state.countedOut.some((host) => host.peer === peer);
}

/** True where nobody relies on the host any longer: its states count as lost. */
export function isSettledOut(state: RosterState, peer: PeerId): boolean {
  return state.countedOut.some((host) => host.peer === peer && host.settled);
}

/**
 * True where the host was counted out, and others may rely on it all the same: not all know yet, or what they confirmed to it before may hold. It has no say meanwhile; once
 * that is past its states count as lost, and where it is back before, it lost nothing.
 */
export function isOnNotice(state: RosterState, peer: PeerId): boolean {
  return isCountedOut(state, peer) && !isSettledOut(state, peer);
}

interface Hosts {
  readonly all: ReadonlySet<PeerId>;
  readonly counting: readonly PeerId[];
}

/** States do not change and are asked far more often than agreed on: what follows from one is worked out once and goes with it. */
const hostsOfStates = new WeakMap<RosterState, Hosts>();

function hostsOf(state: RosterState): Hosts {
  let hosts = hostsOfStates.get(state);
  if (hosts === undefined) {
    const all = new Set(state.views.flatMap(({ roster }) => [...roster.members].map(({ peer }) => peer)));
    const out = new Set(state.countedOut.map(({ peer }) => peer));
    hostsOfStates.set(state, (hosts = { all, counting: [...all].filter((peer) => !out.has(peer)) }));
  }
  return hosts;
}

/** The hosts of all views in force. */
export function hostsInForce(state: RosterState): ReadonlySet<PeerId> {
  return hostsOf(state).all;
}

/** Hosts that have a say in what views are retired: those of all views in force that were not counted out. */
export function countingHosts(state: RosterState): readonly PeerId[] {
  return hostsOf(state).counting;
}

/** What nobody is left to know of. */
export function lossesOf({ losses }: RosterState): Losses {
  return losses ?? noLosses;
}

/** How many of a block's hosts may be missing so that a majority of those that the view names is left. */
export function bearableLosses({ roster, replicas }: RosterView): number {
  return spareCopies(roster.size, replicas);
}

/** As {@link bearableLosses}, where that many hosts store. */
export function spareCopies(hosts: number, replicas: number): number {
  return Math.max(0, Math.floor((Math.min(replicas, hosts) - 1) / 2));
}

/**
 * JSON; hosts and zones are named once and then by their index. `retiring` is the oldest view, as hosts of before read it, and `through` the last that
 * retires with it: they resolve the one, and say so.
 * @throws InfinitError `too-large` where it does not fit into one block.
 */
export function encodeRosterState({ serial, views, retiring, countedOut, floor, losses }: RosterState): Uint8Array {
  const peers = new Map<PeerId, number>();
  const zones = new Map<string, number>();
  const indexOf = <T>(map: Map<T, number>, key: T): number => map.get(key) ?? map.set(key, map.size).size - 1;
  const lists = views.map(({ number, roster, replicas }) => ({
    number,
    replicas,
    members: [...roster.members].map(({ peer, zone, capacity }) => [indexOf(peers, peer), indexOf(zones, zone), capacity]),
  }));
  const lost = losses?.list.map(({ view, placed }) => {
    if (placed === undefined) return { view };
    const member = ({ peer, zone, capacity }: Member): unknown[] => [
      indexOf(peers, peer),
      indexOf(zones, zone),
      capacity,
      ...(placed.lost.has(peer) ? [1] : []),
    ];
    return { view, replicas: placed.replicas, members: placed.roster.eligible.map(member) };
  });
  const out = countedOut.map(({ peer, settled }) => [peer, settled ? 1 : 0]);
  const oldest = views[0]!.number;
  const retires = retiring <= oldest ? { retiring } : { retiring: oldest, through: retiring };
  const hosts = { peers: [...peers.keys()], zones: [...zones.keys()], views: lists, countedOut: out };
  // Hosts of before know of no losses: neither do they mind these two.
  const told = losses === undefined ? {} : { losses: lost, forgiven: losses.forgiven };
  const value = { format, serial, ...retires, ...hosts, floor, ...told };
  const bytes = Buffer.from(JSON.stringify(value));
  if (bytes.length > maxMutableBytes)
    throw new InfinitError('too-large', `a roster of ${peers.size} storing hosts takes ${bytes.length} bytes; ${maxMutableBytes} are allowed`);
  return bytes;
}

/** @param known A state whose views are used again where the numbers are the same. @throws InfinitError `damaged`, `wrong-version`. */
export function decodeRosterState(bytes: Uint8Array, known?: RosterState): RosterState {
  const value = parseObject(bytes);
  if (value['format'] !== format)
    throw new InfinitError('wrong-version', `the roster has format ${String(value['format'])}; this version knows ${format}`);
  const peers = list(value['peers']).map(name);
  const zones = list(value['zones']).map(name);
  const views = list(value['views']).map((view) => decodeView(view, peers, zones, known));
  const ordered = views.every((view, index) => index === 0 || view.number > views[index - 1]!.number);
  if (views.length === 0 || views.length > maxViewsInForce || !ordered) throw unreadable();
  const oldest = count(value['retiring']);
  const retiring = count(value['through'] ?? oldest);
  if (oldest !== 0 && oldest !== views[0]!.number) throw unreadable();
  if (retiring !== oldest && (oldest === 0 || retiring < oldest)) throw unreadable();
  if (retiring !== 0 && retiring >= views.at(-1)!.number) throw unreadable();
  const countedOut = list(value['countedOut']).map((host) => ({ peer: name(list(host)[0]), settled: list(host)[1] === 1 }));
  // States of before there was one have none.
  const floor = value['floor'] === undefined ? 0 : count(value['floor']);
  const losses = decodeLosses(value, peers, zones, known);
  return { serial: count(value['serial']), views, retiring, countedOut, floor, ...(losses === undefined ? {} : { losses }) };
}

function decodeLosses(
  value: Readonly<Record<string, unknown>>,
  peers: readonly string[],
  zones: readonly string[],
  known: RosterState | undefined,
): Losses | undefined {
  if (value['losses'] === undefined) return undefined;
  const all = list(value['losses']).map((loss): Loss => {
    if (typeof loss !== 'object' || loss === null) throw unreadable();
    const { view, replicas, members } = loss as Record<string, unknown>;
    const number = count(view);
    const same = known?.losses?.list.find((other) => other.view === number && (other.placed === undefined) === (members === undefined));
    if (same !== undefined) return same;
    if (members === undefined) return { view: number, placed: undefined };
    const lost = new Set(list(members).flatMap((member) => (list(member)[3] === 1 ? [name(peers[count(list(member)[0])])] : [])));
    return { view: number, placed: { roster: Roster.of(decodeMembers(members, peers, zones)), replicas: count(replicas), lost } };
  });
  if (all.length > maxLosses) throw unreadable();
  return { list: all, forgiven: count(value['forgiven'] ?? 0) };
}

function decodeMembers(members: unknown, peers: readonly string[], zones: readonly string[]): Member[] {
  return list(members).map((member) => {
    const [peer, zone, capacity] = list(member);
    return { peer: name(peers[count(peer)]), zone: name(zones[count(zone)]), capacity: count(capacity) };
  });
}

function decodeView(view: unknown, peers: readonly string[], zones: readonly string[], known: RosterState | undefined): RosterView {
  if (typeof view !== 'object' || view === null) throw unreadable();
  const { number, replicas, members } = view as Record<string, unknown>;
  const same = known?.views.find((other) => other.number === number);
  if (same !== undefined) return same;
  return { number: count(number), roster: Roster.of(decodeMembers(members, peers, zones)), replicas: count(replicas) };
}

function parseObject(bytes: Uint8Array): Record<string, unknown> {
  try {
    const value = boundedJson(bytes);
    if (typeof value === 'object' && value !== null) return value as Record<string, unknown>;
  } catch {
    // said below
  }
  throw unreadable();
}

function list(value: unknown): readonly unknown[] {
  if (!Array.isArray(value)) throw unreadable();
  return value;
}

function name(value: unknown): string {
  if (typeof value !== 'string' || value.length > maxNameLength) throw unreadable();
  return value;
}

function count(value: unknown): number {
  if (!Number.isSafeInteger(value) || (value as number) < 0) throw unreadable();
  return value as number;
}

function unreadable(): InfinitError {
  return new InfinitError('damaged', 'a roster of hosts cannot be read');
}
