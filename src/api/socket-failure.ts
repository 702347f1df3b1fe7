import { InfinitError } from '../base/index.ts';

/** What a failure to reach the daemon's socket means, and what to do. */
export function explainSocketFailure(cause: NodeJS.ErrnoException, socketPath: string): InfinitError {
  if (cause instanceof InfinitError) return cause;
  if (cause.code === 'ENOENT' || cause.code === 'ECONNREFUSED') {
    return new InfinitError(
      'unavailable',
      `no daemon answers on ${socketPath}: start one with \`infinit daemon\`, or name its socket with --control-socket`,
      { cause },
    );
  }
  if (cause.code === 'EACCES') return new InfinitError('denied', `no right to use ${socketPath}: run this as root`, { cause });
  return new InfinitError('unavailable', `${socketPath}: ${cause.message}`, { cause });
}
