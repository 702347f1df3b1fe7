import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { createInterface } from 'node:readline';

import type { Event } from './exerciser.ts';

export interface Exercise {
  readonly seed: number;
  readonly operations: number;
  readonly bytes?: number;
  readonly events?: readonly Event[];
  /** Of all operations. */
  readonly share?: number;
  readonly happen?: (event: Event, place: number) => Promise<void>;
  readonly timeoutMs?: number;
}

/** Exercises one file system that these directories show, in a process of its own: what it does there may be served by this one. Returns what is wrong. */
export async function exercise(places: readonly string[], wanted: Exercise): Promise<string | undefined> {
  const { seed, operations, bytes, events = [], share = 0.01, happen, timeoutMs = 120_000 } = wanted;
  const words = [
    '--seed',
    seed,
    '--operations',
    operations,
    '--events',
    events.join(','),
    '--share',
    share,
    ...(bytes === undefined ? [] : ['--bytes', bytes]),
  ];
  const child = spawn(process.execPath, [path.join(import.meta.dirname, 'run.ts'), ...words.map(String), ...places], {
    stdio: ['pipe', 'pipe', 'pipe'],
    timeout: timeoutMs,
    killSignal: 'SIGKILL',
  });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text));
  // One that failed does not read.
  child.stdin.on('error', () => {});
  const ended = once(child, 'close') as Promise<[number | null, string | null]>;
  for await (const line of createInterface({ input: child.stdout })) {
    const { event, place } = JSON.parse(line) as { event: Event; place: number };
    try {
      await happen?.(event, place);
      child.stdin.write('\n');
    } catch (error) {
      said += `${event} of ${place}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`;
      child.kill('SIGKILL');
    }
  }
  const [code, signal] = await ended;
  return code === 0 ? undefined : `seed ${seed}: ended with ${code ?? signal}\n${said}`;
}
