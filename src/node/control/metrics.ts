import { monitorEventLoopDelay } from 'node:perf_hooks';

import type { Metric, Registry } from 'prom-client';

import { type BlockCounts, type HealthState, type HostStatus, version, type VolumeUsage } from '../../api/index.ts';
import { Histogram, histogramBounds } from '../../base/index.ts';
import type { WriteMeter } from '../../disk/index.ts';
import type { Traffic } from '../../overlay/index.ts';
import type { StoreMeter } from '../../store/index.ts';
import type { CallMeter, MeasuredStore } from '../measured-store.ts';

/** Health as a number, so that a board can alarm on it. */
const healthLevels: Readonly<Record<HealthState, number>> = { HEALTHY: 0, DEGRADED: 1, 'READ-ONLY': 2, UNAVAILABLE: 3 };
/** How fine the delays of the event loop are sampled, in ms. */
const delayResolutionMs = 20;
/** A volume that does not say in this time what it takes is left out of one scrape, in ms. */
const usageDeadlineMs = 1000;

/** Where the figures come from. All are read when they are asked for; counting them costs the host some additions. */
export interface MetricSources {
  status(): Promise<HostStatus>;
  readonly store: Pick<MeasuredStore, 'meters' | 'outcomes' | 'readBytes' | 'writtenBytes'>;
  readonly programs: { readonly meters: Readonly<Record<string, CallMeter>> };
  readonly disk: Readonly<WriteMeter>;
  consensus(): StoreMeter;
  traffic(): Traffic;
  /** Liveness of each other member. */
  peers(): readonly string[];
  watched(): number;
  /** What the volumes mounted here take. */
  usages(): readonly Promise<VolumeUsage>[];
}

interface Sample {
  readonly value: number;
  readonly labels?: Readonly<Record<string, string | number>>;
  /** Of a histogram: `_bucket`, `_sum`, `_count`. */
  readonly metricName?: string;
}

interface Snapshot {
  readonly status: HostStatus;
  readonly usages: readonly VolumeUsage[];
}

/** The Prometheus metrics of one host. */
export class Metrics implements Disposable {
  readonly #metrics: Metric[] = [];
  /** From the first scrape on: most hosts of most clusters are never asked. */
  #registry: Promise<Registry> | undefined;
  readonly #sources: MetricSources;
  readonly #delay: ReturnType<typeof monitorEventLoopDelay>;
  #snapshot: Promise<Snapshot> | undefined;

  constructor(sources: MetricSources) {
    this.#sources = sources;
    this.#delay = monitorEventLoopDelay({ resolution: delayResolutionMs });
    this.#delay.enable();
    this.#defineHost();
    this.#defineDisk();
    this.#defineStore();
    this.#defineRepair();
    this.#defineConsensus();
    this.#defineNetwork();
    this.#defineVolumes();
  }

  /** All metrics in Prometheus' text format. */
  async text(): Promise<string> {
    this.#snapshot = this.#take();
    await this.#snapshot;
    return (await (this.#registry ??= this.#register())).metrics();
  }

  async #register(): Promise<Registry> {
    const { Registry: Fresh } = await import('prom-client');
    const registry = new Fresh();
    for (const metric of this.#metrics) registry.registerMetric(metric);
    return registry;
  }

  async #take(): Promise<Snapshot> {
    const patience = new Promise<undefined>((resolve) => setTimeout(resolve, usageDeadlineMs, undefined));
    const answers = await Promise.all(this.#sources.usages().map((usage) => Promise.race([usage.catch(() => undefined), patience])));
    return { status: await this.#sources.status(), usages: answers.filter((usage) => usage !== undefined) };
  }

  #defineHost(): void {
    this.#gauge(
      'health',
      '0 HEALTHY, 1 DEGRADED, 2 READ-ONLY, 3 UNAVAILABLE: this host as it sees itself',
      ({ status }) => healthLevels[status.health.state],
    );
    this.#samples('info', 'gauge', 'The version that runs here', ({ status }) => [{ value: 1, labels: { version, host: status.name } }]);
    this.#gauge('uptime_seconds', 'Seconds since the daemon started', ({ status }) => status.uptimeSeconds);
    this.#gauge('memory_bytes', 'Resident memory of the daemon', ({ status }) => status.memoryBytes);
    this.#gauge('heap_bytes', 'JavaScript heap in use, of the main thread', () => process.memoryUsage().heapUsed);
    this.#counter('cpu_seconds_total', 'Processor time of the daemon, all threads', () => {
      const { user, system } = process.cpuUsage();
      return (user + system) / 1e6;
    });
    this.#samples('event_loop_delay_seconds', 'gauge', 'How late the main thread ran what was due, since the last scrape', () => this.#delays());
    this.#gauge('replicas_wanted', 'Copies wanted of each block', ({ status }) => status.replicas.wanted);
    this.#gauge('hosts_up', 'Hosts that answer, this one included', ({ status }) => status.replicas.hosts);
  }

  #defineDisk(): void {
    const { disk } = this.#sources;
    this.#gauge('disk_blocks', 'Blocks on this host', ({ status }) => status.disk.blocks);
    this.#gauge('disk_live_bytes', 'Bytes of live blocks', ({ status }) => status.disk.liveBytes);
    this.#gauge('disk_used_bytes', 'Bytes on the medium, garbage included', ({ status }) => status.disk.usedBytes);
    this.#gauge('disk_free_bytes', 'Bytes that may still be written', ({ status }) => status.disk.freeBytes);
    this.#gauge('disk_damaged_records', 'Damaged records found since the start', ({ status }) => status.disk.damaged);
    this.#gauge('disk_read_only', '1 while the disk takes no writes', ({ status }) => (status.disk.state === 'read-only' ? 1 : 0));
    this.#samples('disk_group_seconds', 'histogram', 'Time of one group commit: write and flush', () =>
      histogramSamples('disk_group_seconds', disk.groupSeconds),
    );
    this.#counter('disk_records_total', 'Records written, in groups', () => disk.records);
    this.#counter('disk_written_bytes_total', 'Bytes written to the log', () => disk.bytes);
  }

  #defineStore(): void {
    const { store, programs } = this.#sources;
    this.#calls('store', 'Calls of volumes and programs of this host to the store', store.meters);
    this.#samples('store_outcomes_total', 'counter', 'How writes of mutable blocks ended', () =>
      Object.entries(store.outcomes).map(([outcome, value]) => ({ value, labels: { outcome } })),
    );
    this.#samples('store_bytes_total', 'counter', 'Bytes that this host read from the store or gave to it', () => [
      { value: store.readBytes, labels: { direction: 'read' } },
      { value: store.writtenBytes, labels: { direction: 'written' } },
    ]);
    this.#calls('program', 'Calls of programs to the value store', programs.meters);
    this.#gauge('watched_blocks', 'Blocks that programs of this host watch', () => this.#sources.watched());
  }

  #defineConsensus(): void {
    const meter = (field: keyof StoreMeter) => (): number => this.#sources.consensus()[field];
    this.#counter('consensus_operations_total', 'Reads and writes of mutable blocks by this host that asked other hosts', meter('operations'));
    this.#counter('consensus_rounds_total', 'Rounds of messages they took: 1 each is the best there is', meter('rounds'));
    this.#counter('replica_requests_total', 'Requests to this host as a replica', meter('requests'));
    this.#counter('replica_loads_total', 'Blocks that had to be read from the disk for them: the others were in memory', meter('loads'));
  }

  #defineRepair(): void {
    const count =
      (field: keyof BlockCounts) =>
      ({ status }: Snapshot): number =>
        status.repair?.lastCheck?.counts[field] ?? 0;
    this.#gauge('blocks_under_replicated', 'Blocks with fewer copies than wanted, of those that this host counts', count('underReplicated'));
    this.#gauge('blocks_under_quorum', 'Blocks without a majority of copies in reach, of those that this host counts', count('underQuorum'));
    this.#gauge('blocks_surplus', 'Copies on this host that belong elsewhere', count('surplus'));
    this.#gauge('repair_remaining_blocks', 'Blocks that repair still has to look at in its present walk', ({ status: { repair } }) =>
      repair === undefined ? 0 : Math.max(0, repair.total - repair.done),
    );
    this.#gauge('repair_bytes_per_second', 'Bytes of blocks that repair moves', ({ status }) => status.repair?.bytesPerSecond ?? 0);
    this.#gauge(
      'repair_check_age_seconds',
      'How old the counts of blocks are; -1: none yet',
      ({ status }) => status.repair?.lastCheck?.ageSeconds ?? -1,
    );
    this.#gauge('scrub_damaged_blocks', 'Damaged blocks that the last scrub found', ({ status }) => status.repair?.scrub.damaged ?? 0);
    this.#counter('scrub_replaced_copies_total', 'Damaged copies that were replaced', ({ status }) => status.repair?.scrub.repaired ?? 0);
    this.#counter('repaired_copies_total', 'Copies that were missing or older and were brought up', ({ status }) => status.repair?.repaired ?? 0);
  }

  #defineNetwork(): void {
    const sources = this.#sources;
    this.#samples('peers', 'gauge', 'Other hosts of the cluster, by how this one sees them', () => {
      const seen = sources.peers();
      return ['alive', 'suspect', 'down'].map((state) => ({ value: seen.filter((peer) => peer === state).length, labels: { state } }));
    });
    this.#samples('network_bytes_total', 'counter', 'Bytes of messages between hosts', () => {
      const { sentBytes, receivedBytes } = sources.traffic();
      return directions(sentBytes, receivedBytes);
    });
    this.#samples('network_messages_total', 'counter', 'Messages between hosts', () => {
      const { sentMessages, receivedMessages } = sources.traffic();
      return directions(sentMessages, receivedMessages);
    });
  }

  #defineVolumes(): void {
    this.#gauge('volumes', 'Volumes in the catalogue', ({ status }) => status.volumes);
    this.#gauge('volumes_mounted', 'Volumes mounted on this host', ({ status }) => status.mounted.length);
    const each = (name: string, help: string, value: (usage: VolumeUsage) => number): void =>
      this.#samples(name, 'gauge', help, ({ usages }) => usages.map((usage) => ({ value: value(usage), labels: { volume: usage.name } })));
    each('volume_used_bytes', 'What a volume mounted here takes', (usage) => usage.usedBytes);
    each('volume_size_bytes', 'Quota of a volume mounted here; 0: none', (usage) => usage.sizeBytes);
    each('volume_inodes', 'Files and directories of a volume mounted here', (usage) => usage.inodes);
    each(
      'volume_unreadable_inodes',
      'Files and directories of a volume that this host serves that cannot be read for now',
      (usage) => usage.unreadable ?? 0,
    );
  }

  #calls(prefix: string, help: string, meters: Readonly<Record<string, CallMeter>>): void {
    const name = `${prefix}_call_seconds`;
    this.#samples(name, 'histogram', `${help}: how long they took`, () =>
      Object.entries(meters).flatMap(([call, meter]) => histogramSamples(name, meter.seconds, { call })),
    );
    this.#samples(`${prefix}_failures_total`, 'counter', `${help} that failed, by error code`, () =>
      Object.entries(meters).flatMap(([call, meter]) => [...meter.failures].map(([code, value]) => ({ value, labels: { call, code } }))),
    );
  }

  #delays(): Sample[] {
    // The timer itself is due only at its next turn: what is measured includes its own period.
    const late = (nanoseconds: number): number => Math.max(0, nanoseconds / 1e9 - delayResolutionMs / 1000);
    const samples = [50, 99].map((percentile) => ({
      value: late(this.#delay.percentile(percentile)),
      labels: { quantile: String(percentile / 100) },
    }));
    samples.push({ value: late(this.#delay.max), labels: { quantile: '1' } });
    this.#delay.reset();
    return samples;
  }

  #gauge(name: string, help: string, value: (now: Snapshot) => number): void {
    this.#samples(name, 'gauge', help, (now) => [{ value: value(now) }]);
  }

  #counter(name: string, help: string, value: (now: Snapshot) => number): void {
    this.#samples(name, 'counter', help, (now) => [{ value: value(now) }]);
  }

  /** The library's own metrics want to be told of every event; these are read when somebody asks. */
  #samples(name: string, type: 'gauge' | 'counter' | 'histogram', help: string, read: (now: Snapshot) => readonly Sample[]): void {
    const full = `infinit_${name}`;
    const metric = { name: full, help, type, get: async () => ({ name: full, help, type, aggregator: 'sum', values: read(await this.#snapshot!) }) };
    this.#metrics.push(metric as unknown as Metric);
  }

  [Symbol.dispose](): void {
    this.#delay.disable();
  }
}

function directions(sent: number, received: number): Sample[] {
  return [
    { value: sent, labels: { direction: 'sent' } },
    { value: received, labels: { direction: 'received' } },
  ];
}

function histogramSamples(name: string, histogram: Histogram, labels: Readonly<Record<string, string>> = {}): Sample[] {
  const samples: Sample[] = [];
  let sum = 0;
  for (const [index, count] of histogram.counts.entries()) {
    sum += count;
    const bound = histogramBounds[index];
    samples.push({ metricName: `infinit_${name}_bucket`, labels: { ...labels, le: bound === undefined ? '+Inf' : bound }, value: sum });
  }
  samples.push(
    { metricName: `infinit_${name}_sum`, labels, value: histogram.sumSeconds },
    { metricName: `infinit_${name}_count`, labels, value: sum },
  );
  return samples;
}
