/** What the cluster benchmark asks of a store, whatever the store is: a number of clients, each with one call under way. */

export interface Load {
  /**
   * `read-once`: asks a quorum, as a read of a block without a lease does.
   * `commit`: a new block of 4 KiB, then a register that names it, as an fdatasync of a volume does.
   */
  readonly workload: 'put' | 'get' | 'read-once' | 'commit' | 'put-immutable' | 'get-immutable';
  readonly clients: number;
  readonly seconds: number;
  /** Keys that the clients use, each client its own share. */
  readonly keys: number;
  readonly bytes: number;
}

/** What calls cost a host besides processor time. */
export interface Work {
  /** Messages that it sent to other hosts. */
  readonly messages: number;
  /** Requests to acceptors that it served. */
  readonly requests: number;
  /** Rounds of its operations. */
  readonly rounds: number;
  /** Turns of its event loop. */
  readonly turns: number;
  /** Groups that it made durable. */
  readonly groups: number;
  /** Times that its threads were given a processor. */
  readonly switches: number;
  /** System calls that wrote, to sockets and to the disk. */
  readonly writes: number;
  /** Seconds in which its event loop waited. */
  readonly idle: number;
}

export interface Tally {
  readonly calls: number;
  readonly failures: number;
  readonly seconds: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Processor time of the measuring process. */
  readonly cpuSeconds: number;
  /** What the host did meanwhile; only where the process is one. */
  readonly work?: Work;
}

/** Calls `call(client, turn)` over and over with every client for a while. */
export async function drive({ clients, seconds }: Load, call: (client: number, turn: number) => Promise<unknown>): Promise<Tally> {
  const times: number[] = [];
  let failures = 0;
  const cpu = process.cpuUsage();
  const started = performance.now();
  const end = started + seconds * 1000;
  await Promise.all(
    Array.from({ length: clients }, async (_, client) => {
      for (let turn = 0; ; turn++) {
        // What is answered from memory never waits: everything else in the process must get its turn.
        if (turn % 64 === 63) await new Promise((resolve) => setImmediate(resolve));
        const before = performance.now();
        if (before >= end) return;
        try {
          await call(client, turn);
          times.push(performance.now() - before);
        } catch {
          failures++;
        }
      }
    }),
  );
  const used = process.cpuUsage(cpu);
  const took = (performance.now() - started) / 1000;
  times.sort((a, b) => a - b);
  const at = (share: number): number => times[Math.floor((times.length - 1) * share)] ?? 0;
  return { calls: times.length, failures, seconds: took, p50Ms: at(0.5), p99Ms: at(0.99), cpuSeconds: (used.user + used.system) / 1e6 };
}
