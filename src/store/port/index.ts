/** A block store seen from another thread. A door of its own, because a volume's thread needs nothing else of the store. */
export { PortStore, servePort } from './port-store.ts';
