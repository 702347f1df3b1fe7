/** The plugin alone, over plain directories: what fails here is the plugin's fault, not the file system's. */
import { contractTests } from './contract.ts';
import { directoryForm } from './plugin-forms.ts';

contractTests(directoryForm);
