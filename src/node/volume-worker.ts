/** Where a volume's thread begins: with a compile cache of its own accord, since a worker does not share the main thread's. */
import { enableCompileCache } from 'node:module';

enableCompileCache();
await import('./volume-thread.ts');
