/** Loads all that a daemon ever may, and ends: so that it is compiled already when one begins (compile-ahead.ts). */
import { enableCompileCache, flushCompileCache } from 'node:module';

enableCompileCache();
const [{ loadLazyModules }] = await Promise.all([import('../node/index.ts'), import('../../plugin/index.ts'), import('./run-daemon.ts')]);
await loadLazyModules();
flushCompileCache();
process.exit();
