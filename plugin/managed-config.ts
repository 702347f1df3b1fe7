import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';

/** What config.json says of devices; the rest of it is the engine's matter. */
export interface ManagedConfig {
  readonly linux: { readonly devices: readonly { readonly name: string; readonly description: string; readonly path: string }[] };
}

/** Keeps processors awake while requests flow (docs/decisions/wakefulness.md). */
const latencyDevice = { name: 'latency', description: "the kernel's promise that processors wake quickly", path: '/dev/cpu_dma_latency' };

/**
 * config.json for this machine. The engine enables no plugin with a device that the host lacks, so what Infinit can do without is asked for only where it is.
 */
export function managedConfig(projectRoot: string, isThere: (device: string) => boolean = existsSync): ManagedConfig {
  const config = JSON.parse(readFileSync(path.join(projectRoot, 'config.json'), 'utf8')) as ManagedConfig;
  if (!isThere(latencyDevice.path)) return config;
  return { ...config, linux: { ...config.linux, devices: [...config.linux.devices, latencyDevice] } };
}
