/** What a person may have repair do: `POST /v1/repair/…`. */
export interface RepairControl {
  /** Lists the blocks of this host whose majority is out of reach, and rewrites them, or gives them up, where that is forced. */
  salvage(request: SalvageCall): Promise<SalvageAnswer>;
  /** Reads all that this host keeps, now. @param bytesPerSecond At the most; the daemon's own rate where absent. */
  scrub(bytesPerSecond: number | undefined): void;
}

export interface SalvageCall {
  readonly force: boolean;
  /** Hosts that are lost for good, by name or peer id. */
  readonly lost: readonly string[];
  /** Give up blocks of which nothing is left, in place of rewriting those of which something is. */
  readonly giveUp: boolean;
  /** Who asks, for the audit. */
  readonly by: string;
}

/** A block without a majority, and what can be or was done about it. */
export interface SalvagedBlock {
  readonly address: string;
  /** Its hosts that are out of reach, and those that hold the newest record that is left, by name where it is known. */
  readonly missing: readonly string[];
  readonly damaged: readonly string[];
  readonly holders: readonly string[];
  readonly version: number;
  readonly ballot: string;
  readonly removed: boolean;
  /** Where it will be or is now. */
  readonly replicas: readonly string[];
  readonly result: 'possible' | 'refused' | 'rewritten' | 'given-up' | 'failed';
  readonly reason?: string;
}

export interface SalvageAnswer {
  /** Mutable and named blocks of this host that were looked at. */
  readonly looked: number;
  readonly underQuorum: number;
  readonly rewritten: number;
  readonly givenUp: number;
  /** What may have been lost with hosts, without a trace, was accepted: what is not found is absent from then on. */
  readonly accepted?: boolean;
  /** Where giving up was asked for without force: of how many in a hundred blocks what was there, if anything, may be lost with hosts that were lost together; with force that is accepted. Absent: of none. */
  readonly percentLost?: number;
  /** Of all of them, how many have which result; a hundred results at the most. Absent in answers of earlier versions. */
  readonly results?: readonly (Pick<SalvagedBlock, 'result' | 'reason'> & { readonly count: number })[];
  /** Hosts that some of them miss, by name where it is known. Absent in answers of earlier versions. */
  readonly missing?: readonly string[];
  /** A thousand of them at the most. */
  readonly blocks: readonly SalvagedBlock[];
}
