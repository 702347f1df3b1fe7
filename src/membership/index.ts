/**
 * Numbered views of the roster: which hosts blocks are placed on, agreed on in one named block without a manager (docs/consensus.md, Genesis).
 * A view number means the same hosts everywhere, and a host knows durably what it tells that it knows.
 */
export { Membership, type MembershipStore } from './membership.ts';
export type { MembershipOptions, MembershipStatus, Neighbourhood } from './options.ts';
export type { Neighbour } from './plan.ts';
export { type RosterView, staticViews, type Views } from './views.ts';
