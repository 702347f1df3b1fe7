import { Gauge, Registry } from 'prom-client';

import type { HostStatus } from '../api/index.ts';

/** Health as a number, so that a board can alarm on it. */
const healthLevels: Readonly<Record<HostStatus['health']['state'], number>> = { HEALTHY: 0, DEGRADED: 1, 'READ-ONLY': 2, UNAVAILABLE: 3 };

/** The Prometheus metrics of one host; each is read when it is asked for, so that keeping them costs nothing. */
export class Metrics {
  readonly #registry = new Registry();

  constructor(status: () => HostStatus | Promise<HostStatus>) {
    const gauge = (name: string, help: string, value: (now: HostStatus) => number): void => {
      const registered: Gauge = new Gauge({
        name: `infinit_${name}`,
        help,
        registers: [this.#registry],
        async collect() {
          registered.set(value(await status()));
        },
      });
    };
    gauge('health', '0 HEALTHY, 1 DEGRADED, 2 READ-ONLY, 3 UNAVAILABLE', (now) => healthLevels[now.health.state]);
    gauge('uptime_seconds', 'Seconds since the daemon started', (now) => now.uptimeSeconds);
    gauge('memory_bytes', 'Resident memory of the daemon', (now) => now.memoryBytes);
    gauge('disk_blocks', 'Blocks on this host', (now) => now.disk.blocks);
    gauge('disk_live_bytes', 'Bytes of live blocks', (now) => now.disk.liveBytes);
    gauge('disk_used_bytes', 'Bytes on the medium, garbage included', (now) => now.disk.usedBytes);
    gauge('disk_free_bytes', 'Bytes that may still be written', (now) => now.disk.freeBytes);
    gauge('disk_damaged_records', 'Damaged records found since the start', (now) => now.disk.damaged);
    gauge('disk_read_only', '1 while the disk takes no writes', (now) => (now.disk.state === 'read-only' ? 1 : 0));
    gauge('volumes', 'Volumes in the catalogue', (now) => now.volumes);
    gauge('volumes_mounted', 'Volumes mounted on this host', (now) => now.mounted.length);
    gauge('replicas_wanted', 'Copies wanted of each block', (now) => now.replicas.wanted);
    gauge('hosts_up', 'Hosts that answer, this one included', (now) => now.replicas.hosts);
  }

  /** All metrics in Prometheus' text format. */
  text(): Promise<string> {
    return this.#registry.metrics();
  }
}
