import type { ClusterStatus, HostStatus, HostSummary, RepairProgress } from '../../src/api/index.ts';

/** What a test says about one host. */
export interface HostSketch {
  readonly readOnly?: boolean;
  readonly damaged?: number;
  readonly capacity?: number;
  readonly silent?: boolean;
  readonly draining?: boolean;
  readonly countedOut?: boolean;
  readonly troubles?: readonly string[];
  readonly version?: string;
  readonly time?: string;
  readonly passportExpiresAt?: string;
  readonly repair?: RepairProgress;
}

export const now = '2026-05-01T12:00:00.000Z';

/** The answer of `GET /v1/cluster` of hosts h0, h1 …; the first is asked. */
export function sketch(replicas: number, all: readonly HostSketch[], troubles: ClusterStatus['troubles'] = []): ClusterStatus {
  const summaries = all.map((host, index): HostSummary => ({
    name: `h${index}`,
    peer: `peer${index}`,
    address: `10.0.0.${index}:7470`,
    zone: 'default',
    capacity: host.capacity ?? 1000,
    state: host.countedOut === true ? 'counted out' : host.draining === true ? 'draining' : host.silent === true ? 'down' : 'up',
    self: index === 0,
    rights: ['store', 'write'],
    ...(host.passportExpiresAt === undefined ? {} : { passportExpiresAt: host.passportExpiresAt }),
  }));
  const hosts = all.flatMap((host, index): HostStatus[] => (host.silent === true ? [] : [statusOf(host, index, replicas, summaries)]));
  const silent = all.flatMap((host, index) =>
    host.silent === true
      ? [
          {
            name: `h${index}`,
            peer: `peer${index}`,
            reason: 'no connection',
            stores: (host.capacity ?? 1000) > 0 && host.countedOut !== true,
            countedOut: host.countedOut === true,
          },
        ]
      : [],
  );
  return { clusterId: all.length > 1 ? 'c'.repeat(32) : undefined, health: { state: 'HEALTHY', reasons: [] }, hosts, silent, troubles };
}

function statusOf(host: HostSketch, index: number, replicas: number, summaries: readonly HostSummary[]): HostStatus {
  return {
    name: `h${index}`,
    peer: `peer${index}`,
    version: host.version ?? '1.0.0',
    health: { state: 'HEALTHY', reasons: [] },
    uptimeSeconds: 60,
    memoryBytes: 1e8,
    disk: {
      state: host.readOnly === true ? 'read-only' : 'healthy',
      ...(host.readOnly === true ? { reason: 'the disk is full' } : {}),
      blocks: 5,
      liveBytes: 100,
      usedBytes: 200,
      freeBytes: 1e12,
      totalBytes: 2e12,
      damaged: host.damaged ?? 0,
    },
    replicas: { wanted: replicas, hosts: summaries.filter(({ state }) => state === 'up').length },
    volumes: 0,
    mounted: [],
    hosts: summaries.length > 1 ? summaries : [],
    roster: { views: [1], hosts: summaries.length, retiring: 0, standing: 'member', countedOut: [], troubles: host.troubles ?? [] },
    time: host.time ?? now,
    ...(host.repair === undefined ? {} : { repair: host.repair }),
  };
}
