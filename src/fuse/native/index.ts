/** The FUSE add-on's making, apart from all that works with it: whoever only starts the daemon needs no more. */
export { buildAddon } from './build.ts';
