/** The daemon itself, as `npm start` runs it: its file system, its store, and the plugin on its legacy socket. */
import { contractTests } from './contract.ts';
import { daemonForm } from './plugin-forms.ts';

contractTests(daemonForm);
