import type { LeaseMessage, Reply, Request } from '../../src/consensus/index.ts';

interface At {
  readonly to: number;
  /** Of which life of the host's process it is part; −1: of any. */
  readonly life: number;
  readonly tag: number;
  readonly token: number;
}

/** What happens at a host at some time. All have the same fields in the same order, so that the loop that hands them out stays fast. */
export type HostEvent = At &
  (
    | { readonly kind: 'request'; readonly message: Request }
    | { readonly kind: 'reply'; readonly message: Reply }
    | { readonly kind: 'lease'; readonly message: LeaseMessage }
    | { readonly kind: 'synced'; readonly message: null }
    /** An operation's sleep is over; `token` says whether it is still the sleep that counts. */
    | { readonly kind: 'wake'; readonly message: null }
    | { readonly kind: 'deadline'; readonly message: null }
    | { readonly kind: 'heartbeat'; readonly message: null }
  );

export function requestEvent(to: number, life: number, message: Request): HostEvent {
  return { kind: 'request', to, life, message, tag: 0, token: 0 };
}

export function replyEvent(to: number, life: number, message: Reply): HostEvent {
  return { kind: 'reply', to, life, message, tag: message.tag, token: 0 };
}

export function leaseEvent(to: number, life: number, message: LeaseMessage): HostEvent {
  return { kind: 'lease', to, life, message, tag: 0, token: 0 };
}

export function timeEvent(kind: 'synced' | 'wake' | 'deadline' | 'heartbeat', to: number, life: number, tag = 0, token = 0): HostEvent {
  return { kind, to, life, message: null, tag, token };
}

/** What happens to the world: faults, clients, the roster. */
export interface WorldEvent {
  readonly kind: 'world';
  readonly act: () => void;
}

export type SimulationEvent = HostEvent | WorldEvent;
