import type { LeaseMessage, Reply, Request } from '../../src/consensus/index.ts';

/** What happens at a host at some time. `life`: of which life of its process it is part; −1: of any. */
export type HostEvent =
  | { readonly kind: 'request'; readonly to: number; readonly life: number; readonly message: Request }
  | { readonly kind: 'reply'; readonly to: number; readonly life: number; readonly message: Reply }
  | { readonly kind: 'lease'; readonly to: number; readonly life: number; readonly message: LeaseMessage }
  | { readonly kind: 'synced'; readonly to: number; readonly life: number }
  /** An operation's sleep is over; `token` says whether it is still the sleep that counts. */
  | { readonly kind: 'wake'; readonly to: number; readonly life: number; readonly tag: number; readonly token: number }
  | { readonly kind: 'deadline'; readonly to: number; readonly life: number; readonly tag: number }
  | { readonly kind: 'heartbeat'; readonly to: number; readonly life: number };

/** What happens to the world: faults, clients, the roster. */
export interface WorldEvent {
  readonly kind: 'world';
  readonly act: () => void;
}

export type SimulationEvent = HostEvent | WorldEvent;
