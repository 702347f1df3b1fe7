import { hindranceOf, type HostStatus } from '../api/index.ts';
import { visible } from '../base/index.ts';

/** How long a command may take before it says what it waits for, in ms. */
const silenceMs = 3000;

/**
 * Says once on stderr what is waited for, with what hinders the host, where that takes longer than a person waits in silence.
 * @param status of the host; where it is not to be had, that is no failure of the work.
 */
export async function sayingWhatFor<T>(work: Promise<T>, what: string, status: () => Promise<HostStatus>, afterMs = silenceMs): Promise<T> {
  let ended = false;
  const timer = setTimeout(() => {
    const hindrance = status().then(
      ({ health }) => hindranceOf(health),
      () => '',
    );
    void hindrance.then((why) => {
      if (!ended) process.stderr.write(`${visible(what + why)}\n`);
    });
  }, afterMs);
  try {
    return await work;
  } finally {
    ended = true;
    clearTimeout(timer);
  }
}
