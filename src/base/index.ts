/**
 * What every layer may lean on: errors with codes, assertions, time and randomness as values, a logger.
 * Depends on nothing above it.
 */
export { assert, unreachable } from './assert.ts';
export { BlockBuffers, minPooledBytes } from './block-buffers.ts';
export { boundedJson } from './bounded-json.ts';
export { type Clock, type Moment, momentOf, systemClock } from './clock.ts';
export { copyBytes } from './copy-bytes.ts';
export { codeOf, commitLeavesUnchanged, type ErrorCode, errorCodes, InfinitError, leavesUnchanged, messageOf } from './errors.ts';
export { http } from './http.ts';
export { collectWhenIdle } from './idle-collection.ts';
export { LeaseClock } from './lease-clock.ts';
export { createLogger, type LogFields, type Logger, type LogLevel, logLevels, type LogSink, silentLogger } from './logger.ts';
export { insistOnFile, insistOnFileNow, openDraft } from './ordinary-file.ts';
export { Patience, programPatienceMs, waningPatienceMs } from './patience.ts';
export { plainly } from './plainly.ts';
export { type Random, systemRandom } from './random.ts';
export { RecentMap } from './recent-map.ts';
export type { Records } from './records.ts';
export { retryPauseMs } from './retry-pause.ts';
export { Histogram, histogramBounds } from './histogram.ts';
export { type AskForHugePages, offerHugePages, wantHugePages } from './huge-pages.ts';
export { keptCopy, keptMemory } from './kept-memory.ts';
export { KeyedQueue } from './keyed-queue.ts';
export { maxU48, readU48, writeU48 } from './u48.ts';
export { readU64, writeU64 } from './u64.ts';
export { Wakefulness, type WakefulnessOptions, type WakefulnessState } from './wakefulness.ts';
export { transientMemory } from './transient-memory.ts';
export { atTurnEnd, whenGathered } from './turn-end.ts';
export { visible } from './visible.ts';
