/** A program of this directory that goes on when it is told to on its input, and says in lines what it found. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { createInterface } from 'node:readline';

export interface ToldProgram {
  readonly child: ChildProcess;
  /** The next line that it prints; `ended`: by SIGBUS, for one. */
  readonly said: () => Promise<string>;
  readonly ended: Promise<unknown>;
}

export function startToldProgram(script: string, ...args: readonly string[]): ToldProgram {
  const child = spawn(process.execPath, [path.join(import.meta.dirname, script), ...args], { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  // Asked for now: it may have ended by the time that somebody waits for that.
  return { child, said: async () => (await lines.next()).value ?? 'ended', ended: once(child, 'close') };
}
