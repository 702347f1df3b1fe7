import { InfinitError, plainly } from '../base/index.ts';

/** Longest path that fits the kernel's sun_path. */
export const maxSocketPathBytes = 107;

/**
 * What a failure to reach the daemon's socket means, and what to do.
 * @param method Of the call: one that changes something, and was cut off from its answer, may have been done.
 */
export function explainSocketFailure(cause: NodeJS.ErrnoException, socketPath: string, method = 'GET'): InfinitError {
  if (cause instanceof InfinitError) return cause;
  const { code } = cause;
  if (Buffer.byteLength(socketPath) > maxSocketPathBytes)
    return new InfinitError('bad-argument', `the socket's path ${socketPath} has more than ${maxSocketPathBytes} bytes: the kernel allows no more`, {
      cause,
    });
  if (code === 'ENOENT' || code === 'ECONNREFUSED' || code === 'ENOTDIR' || code === 'ENOTSOCK') {
    return new InfinitError(
      'unavailable',
      `no daemon answers on ${socketPath}: start one with \`infinit daemon\`, or name its socket with --control-socket or INFINIT_CONTROL_SOCKET`,
      { cause },
    );
  }
  if (code === 'EACCES') return new InfinitError('denied', `no right to use ${socketPath}: run this as root`, { cause });
  if (code?.startsWith('HPE_') === true && method !== 'GET')
    return new InfinitError('unknown-outcome', `${socketPath} answered what is no HTTP: it may have done it`, { cause });
  if (code === 'ECONNRESET' || code === 'EPIPE') {
    const outcome = method === 'GET' ? '' : ': it may have done it';
    return new InfinitError(
      method === 'GET' ? 'unavailable' : 'unknown-outcome',
      `the daemon went away before it answered${outcome}; once it is back look, and say it again where it did not`,
      { cause },
    );
  }
  return new InfinitError('unavailable', `${socketPath}: ${plainly(cause)}`, { cause });
}
