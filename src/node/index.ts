/** One host put together: the daemon and its control API. */
export { type ControlTarget, startControlApi } from './control-api.ts';
export { type DaemonConfig, daemonOptions, loadDaemonConfig } from './config.ts';
