/**
 * Numbered views of the roster: which hosts blocks are placed on, agreed on in one named block without a manager (docs/consensus.md, Genesis).
 * A view number means the same hosts everywhere, and a host knows durably what it tells that it knows.
 */
export { type RosterView, staticViews, type Views } from './views.ts';
