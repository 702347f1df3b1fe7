/**
 * Copies of blocks where they belong, as many as are wanted, and none damaged: moves when the roster changes, anti-entropy, replacement of
 * lost records, forgetting. The rules are those of docs/consensus.md; here they are applied to what one host holds, at a bounded rate.
 */
export type { BlockCounts } from './counts.ts';
export type { RepairPhase, RepairStatus } from './progress.ts';
export { Repair, type RepairOptions } from './repair.ts';
export type { Audit, SalvageEntry, SalvageReport, SalvageRequest } from './salvage.ts';
export type { ScrubStatus } from './scrubber.ts';
export { defaultRepairSettings, type RepairSettings } from './settings.ts';
