import { performance } from 'node:perf_hooks';
import { getHeapStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** How often a thread is looked at, in ms, unless told otherwise. */
const defaultIntervalMs = 5000;
/** A thread that worked for less than this part of the interval is at rest. */
const restingUtilization = 0.02;
/** Less than this is not worth the pause. */
const minGrowthBytes = 8 * 1024 * 1024;

type Collect = (options: { type: 'major'; execution: 'async' }) => Promise<void>;

/**
 * Gives memory back when the calling thread has come to rest: V8 collects under pressure only, and after a burst of work there is none, so
 * what the burst left would stay for days. What is in use stays, of course. Ends with the thread.
 */
export function collectWhenIdle(intervalMs: number = defaultIntervalMs): void {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as Collect;
  let before = performance.eventLoopUtilization();
  let kept = used();
  setInterval(() => {
    const now = performance.eventLoopUtilization();
    const resting = performance.eventLoopUtilization(now, before).utilization < restingUtilization;
    before = now;
    if (!resting || used() - kept < minGrowthBytes) return;
    void collect({ type: 'major', execution: 'async' }).then(() => (kept = used()));
  }, intervalMs).unref();
}

/** Bytes of objects and of the buffers that they hold, garbage included. */
function used(): number {
  const { used_heap_size, external_memory } = getHeapStatistics();
  return used_heap_size + external_memory;
}
