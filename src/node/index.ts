/** One host put together: disk, store, volumes and control API. */
export { Node } from './node.ts';
