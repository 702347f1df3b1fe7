/** One host put together: disk, store, volumes and control API. */
export { loadLazyModules } from './lazy-modules.ts';
export { Node } from './node.ts';
