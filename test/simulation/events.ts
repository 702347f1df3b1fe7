import type { LeaseMessage, Reply, Request } from '../../src/consensus/index.ts';
import type { Report } from '../../src/membership/plan.ts';
import type { RosterState } from '../../src/membership/roster-state.ts';

/** What hosts tell each other of the roster: a question, its answer, or news for all. */
export interface ReportMessage {
  readonly type: 'ask' | 'answer' | 'news';
  readonly from: string;
  /** The asker's clock, and the state that it knew then; echoed. */
  readonly sentAt: number;
  readonly serial: number;
  readonly report: Report;
  readonly state: RosterState | undefined;
}

interface At {
  readonly to: number;
  /** Of which life of the host's process it is part; −1: of any. */
  readonly life: number;
  readonly tag: number;
}

/** What happens at a host at some time. All have the same fields in the same order, so that the loop that hands them out stays fast. */
export type HostEvent = At &
  (
    | { readonly kind: 'request'; readonly message: Request }
    | { readonly kind: 'reply'; readonly message: Reply }
    | { readonly kind: 'lease'; readonly message: LeaseMessage }
    | { readonly kind: 'report'; readonly message: ReportMessage }
    | { readonly kind: 'synced'; readonly message: null }
    /** Time to look at an operation: its sleep or its caller's patience may be over. */
    | { readonly kind: 'timer'; readonly message: null }
    | { readonly kind: 'heartbeat'; readonly message: null }
  );

export function requestEvent(to: number, life: number, message: Request): HostEvent {
  return { kind: 'request', to, life, message, tag: 0 };
}

/** Lets a host forget a bare promise: nothing is accepted in round 0. */
export function forgetPromise(peer: string, block: string, at: number): HostEvent {
  const ballot = { round: 0, peer, incarnation: 0, serial: 0 };
  return requestEvent(at, -1, { type: 'forget', from: peer, block, tag: 0, attempt: 1, ballot, floor: 0 });
}

export function replyEvent(to: number, life: number, message: Reply): HostEvent {
  return { kind: 'reply', to, life, message, tag: message.tag };
}

export function leaseEvent(to: number, life: number, message: LeaseMessage): HostEvent {
  return { kind: 'lease', to, life, message, tag: 0 };
}

export function reportEvent(to: number, message: ReportMessage): HostEvent {
  return { kind: 'report', to, life: -1, message, tag: 0 };
}

export function timeEvent(kind: 'synced' | 'timer' | 'heartbeat', to: number, life: number, tag = 0): HostEvent {
  return { kind, to, life, message: null, tag };
}

/** What happens to the world: faults, clients, the roster. */
export interface WorldEvent {
  readonly kind: 'world';
  readonly act: () => void;
}

export type SimulationEvent = HostEvent | WorldEvent;
