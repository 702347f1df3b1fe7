import { ClusterProcesses } from './cluster-processes.ts';

/** Three real daemons that have one volume mounted. */
export interface SharedMounts extends AsyncDisposable {
  readonly cluster: ClusterProcesses;
  /** Where the volume is mounted: first the host that serves it. */
  readonly places: readonly [string, string, string];
}

export async function shareMounts(): Promise<SharedMounts> {
  const cluster = await ClusterProcesses.start(3);
  const [one, two, three] = cluster.hosts;
  const places = [await one!.mount('data'), await two!.mount('data'), await three!.mount('data')] as const;
  return { cluster, places, [Symbol.asyncDispose]: () => cluster[Symbol.asyncDispose]() };
}
