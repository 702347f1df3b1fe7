import type { Ballot, PeerId } from './ballot.ts';

/** A block's address. Opaque here: printable ASCII, at most `maxNameLength` characters. */
export type BlockId = string;

/** Hosts of which a majority must agree. Order is of no meaning, no host is in it twice. */
export type ReplicaSet = readonly PeerId[];

/** What a block's register holds: the unit that is agreed on. The replica set is part of it, so that a change of replicas is a chosen value too. */
export interface BlockRecord {
  /** Counts the writes of the block, removals included, from 1. Never goes back. */
  readonly version: number;
  /** Counts the changes of the replica set, from the version that the block began with. Never goes back. */
  readonly epoch: number;
  /** Who keeps the block. */
  readonly replicas: ReplicaSet;
  /** The sets that are being left: while not empty the record is *joint*, and a majority of each of them must agree too. */
  readonly previous: readonly ReplicaSet[];
  /**
   * Who may hold an earlier record, or one that was proposed and never chosen, without knowing of this one: members of earlier sets, and newcomers of
   * every change that was tried. While not empty, nobody forgets anything.
   */
  readonly unsettled: readonly PeerId[];
  /** The operation that wrote this version: lets its author recognise it whoever brought it through. */
  readonly origin: Origin;
  /** null: removed (a tombstone). */
  readonly value: Uint8Array | null;
}

/** The identity of one operation: never used twice, like a ballot. */
export interface Origin {
  readonly peer: PeerId;
  readonly incarnation: number;
  readonly serial: number;
}

/** What an acceptor accepted last. */
export interface Accepted {
  readonly ballot: Ballot;
  readonly record: BlockRecord;
  /** True at a host that is no replica any longer: it keeps only where the block went, not the value. */
  readonly pointer: boolean;
}

/**
 * A roster as it applies to one block: where the block belongs. Views are numbered; several are in force while hosts learn of a newer one.
 * See docs/consensus.md, “Genesis”, for what the numbering must guarantee.
 */
export interface View {
  readonly number: number;
  readonly replicas: ReplicaSet;
}

export function sameOrigin(a: Origin, b: Origin): boolean {
  return a.serial === b.serial && a.incarnation === b.incarnation && a.peer === b.peer;
}

/** True where both have the same members. */
export function sameReplicas(a: ReplicaSet, b: ReplicaSet): boolean {
  return a === b || (a.length === b.length && a.every((peer) => b.includes(peer)));
}

/** All hosts that have a say about the record. */
export function membersOf(record: BlockRecord): readonly PeerId[] {
  return record.previous.length === 0 ? record.replicas : [...new Set([...record.replicas, ...record.previous.flat()])];
}

/** Whether the host has a say about the record. */
export function isMember(record: BlockRecord, peer: PeerId): boolean {
  return record.replicas.includes(peer) || record.previous.some((set) => set.includes(peer));
}
