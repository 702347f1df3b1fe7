/**
 * Fills the compile cache that the environment names, and ends: for the managed plugin, for whose first start the engine does not wait long. What the command
 * loads of a daemon comes into it by being loaded here.
 */
import './run-daemon.ts';
import { createLogger } from '../base/index.ts';
import { compileAhead } from './compile-ahead.ts';

compileAhead(createLogger('warn'));
