import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** How a command ended. */
export interface Outcome {
  readonly stdout: string;
  readonly stderr: string;
  /** Exit code; 128 + n after signal n, as a shell counts. */
  readonly code: number;
}

/** How a command is run. */
export interface RunSettings {
  readonly input?: string | Uint8Array;
  readonly env?: NodeJS.ProcessEnv;
  /** It is killed after this time. */
  readonly timeoutMs?: number;
}

const defaultTimeoutMs = 120_000;
/** Characters kept of what a command says. */
const maxOutput = 16 * 1024 * 1024;

/** Runs a command to its end. Rejects only where it cannot be started. */
export function run(command: string, args: readonly string[], settings: RunSettings = {}): Promise<Outcome> {
  const child = spawn(command, args, { stdio: 'pipe', env: settings.env ?? process.env });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    if (stdout.length < maxOutput) stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    if (stderr.length < maxOutput) stderr += text;
  });
  child.stdin.on('error', () => {});
  child.stdin.end(settings.input ?? '');
  const timer = setTimeout(() => child.kill('SIGKILL'), settings.timeoutMs ?? defaultTimeoutMs);
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      resolve({ stdout, stderr, code: code ?? 128 + (signal === 'SIGKILL' ? 9 : 15) });
    });
  });
}

/** Runs a command that must succeed; returns what it said. */
export async function must(command: string, args: readonly string[], settings: RunSettings = {}): Promise<string> {
  const { stdout, stderr, code } = await run(command, args, settings);
  if (code !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${code}: ${stderr.trim() || stdout.trim()}`);
  return stdout.trim();
}

/** When a process was started, in clock ticks since boot: tells it from another that got the same pid later. undefined: it is gone. */
export function startTimeOf(pid: number): string | undefined {
  try {
    // The name in parentheses may hold anything, so count from the last of them.
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)!.split(' ');
    return fields[0] === 'Z' ? undefined : fields[19];
  } catch {
    return undefined;
  }
}

/** The only child of a process, as soon as there is one. */
export async function onlyChildOf(pid: number): Promise<number> {
  for (let i = 0; i < 500; i++) {
    const children = childrenOf(pid);
    if (children.length > 0) return children[0]!;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error(`process ${pid} has started nothing`);
}

/** The children of a process, as seen from outside. */
export function childrenOf(pid: number): number[] {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number);
  } catch {
    return [];
  }
}

/** Resolves when a child has ended. */
export function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((resolve) => child.once('exit', () => resolve()));
}

/** What comes about in seconds has so long on a machine that others keep busy, in ms: a test is no measurement. */
const patienceMs = 90_000;

/** The pause between two questions, in ms: what takes long is asked for less often, since each question may be a program of its own. */
const [leastPauseMs, mostPauseMs, pauseShare] = [50, 250, 0.1] as const;

/** Asks again and again until the answer is neither undefined nor false. */
export async function eventually<T>(
  what: string,
  ask: () => Promise<T | undefined | false> | T | undefined | false,
  timeoutMs = patienceMs,
): Promise<T> {
  const began = performance.now();
  for (;;) {
    const answer = await ask();
    if (answer !== undefined && answer !== false) return answer;
    const waitedMs = performance.now() - began;
    if (waitedMs > timeoutMs) throw new Error(`${what}: not within ${timeoutMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, Math.min(mostPauseMs, Math.max(leastPauseMs, waitedMs * pauseShare))));
  }
}
