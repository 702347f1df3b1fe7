import { managedDaemon, managedDirectories } from './managed-form.ts';
import { daemonForm, directoryForm } from './plugin-forms.ts';

/**
 * What the Docker tests try: the daemon itself. With INFINIT_TEST_PLUGIN=directories it is the plugin alone, over plain directories:
 * what fails there too is the plugin's fault, not the file system's.
 */
const alone = process.env['INFINIT_TEST_PLUGIN'] === 'directories';

/** On its legacy socket. */
export const socketPlugin = alone ? directoryForm : daemonForm;

/** As the engine manages it. */
export const managedPlugin = alone ? managedDirectories : managedDaemon;
