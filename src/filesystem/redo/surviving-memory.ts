/** Memory that outlives this process where the process dies and its host does not. */
export interface SurvivingMemory {
  readonly bytes: Uint8Array;
  /** From now on [from, to) may be touched. False: there is no memory for it. */
  provide(from: number, to: number): boolean;
  /** Gives up what lies from `from` on: it has to be provided again. */
  release(from: number): void;
}
