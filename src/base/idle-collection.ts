import { getHeapStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** How often a thread is looked at, in ms, unless told otherwise. */
const defaultIntervalMs = 5000;
/** A thread that worked for less than this part of the interval is at rest. By its CPU time: on a busy machine the little it does takes long. */
const restingShare = 0.02;
/**
 * Or for less than this, and for not much more than in its calmest interval of the last minute: with many hosts there is always something to be said to them. Beyond it a
 * collection would be in the way.
 */
const calmShare = 0.1;
const calmestFactor = 1.5;
const calmIntervals = 12;
/** Less than this is not worth the pause. */
const minGrowthBytes = 8 * 1024 * 1024;
/** Collections after a burst at the most: the first leaves pages with holes, which the next ones empty. */
const maxCollections = 3;

export interface IdleCollectionOptions {
  readonly intervalMs?: number;
  /** Called after each collection: gives back to the system what the collection left to malloc. */
  readonly release?: () => void;
}

type Collect = (options: { type: 'major'; execution: 'async' }) => Promise<void>;

/**
 * Gives memory back when the calling thread has come to rest: V8 collects under pressure only, and after a burst of work there is none, so
 * what the burst left would stay for days. What is in use stays, of course. After each burst, and once memory has grown: a burst may have been
 * collected already and have left to malloc what it freed. Ends with the thread.
 */
export function collectWhenIdle({ intervalMs = defaultIntervalMs, release }: IdleCollectionOptions = {}): void {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as Collect;
  let before = process.threadCpuUsage();
  let kept = used();
  let left = maxCollections;
  let recent: number[] = [];
  setInterval(() => {
    const now = process.threadCpuUsage();
    const busyMs = (now.user - before.user + now.system - before.system) / 1000;
    before = now;
    recent = [...recent, busyMs].slice(-calmIntervals);
    const calmestMs = recent.length < calmIntervals ? 0 : Math.min(...recent);
    if (!isResting(busyMs / intervalMs, calmestMs / intervalMs)) {
      left = maxCollections;
      return;
    }
    const due = left === maxCollections || (left > 0 && holes() >= minGrowthBytes) || used() - kept >= minGrowthBytes;
    if (!due) return;
    left = Math.max(0, left - 1);
    void collect({ type: 'major', execution: 'async' }).then(() => {
      release?.();
      kept = used();
      // What this took is no work.
      before = process.threadCpuUsage();
    });
  }, intervalMs).unref();
}

/** By its share of a processor, and that of its calmest interval; 0: not known yet. */
function isResting(share: number, calmest: number): boolean {
  return share < restingShare || (share < calmShare && share < calmestFactor * calmest);
}

/** Bytes that V8 holds without using them. */
function holes(): number {
  const { total_heap_size, used_heap_size } = getHeapStatistics();
  return total_heap_size - used_heap_size;
}

/** Bytes of objects and of the buffers that they hold, garbage included. */
function used(): number {
  const { used_heap_size, external_memory } = getHeapStatistics();
  return used_heap_size + external_memory;
}
