/** The daemon as `npm start` runs it: its file system, its store, and the plugin on its legacy socket. */
import { socketPlugin } from './chosen-form.ts';
import { contractTests } from './contract.ts';

contractTests(socketPlugin);
