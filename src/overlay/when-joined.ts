import { InfinitError } from '../base/index.ts';
import type { Trouble } from './trouble.ts';

/** What a wait to be let in looks at. */
export interface Joining {
  readonly isIn: () => boolean;
  /** What keeps this host out, as far as it is known. */
  readonly whyNot: () => string;
  readonly onMembersChange: (listener: () => void) => () => void;
  readonly onTrouble: (listener: (trouble: Trouble) => void) => () => void;
}

/** Waits until a member has let this host in. @throws InfinitError `denied` once a member refuses it, `bad-argument` where it would join itself, `cancelled`. */
export async function whenJoined({ isIn, whyNot, onMembersChange, onTrouble }: Joining, signal: AbortSignal | undefined): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const onAbort = (): void => reject(new InfinitError('cancelled', whyNot()));
  signal?.addEventListener('abort', onAbort, { once: true });
  const stops = [
    onMembersChange(() => isIn() && resolve()),
    onTrouble(({ kind, message }) => {
      if (kind === 'denied' || kind === 'wrong-version') reject(new InfinitError(kind, message));
      if (kind === 'self') reject(new InfinitError('bad-argument', message));
    }),
  ];
  if (isIn()) resolve();
  else if (signal?.aborted === true) onAbort();
  try {
    await promise;
  } finally {
    for (const stop of stops) stop();
    signal?.removeEventListener('abort', onAbort);
  }
}
