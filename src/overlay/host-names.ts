import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';

import { InfinitError, plainly } from '../base/index.ts';

/** Look-ups at once: while a name server is silent each holds one of the few threads that reads and writes of the disk need as well. */
const maxLookUps = 2;
/** Names that wait for their turn. */
const maxWaiting = 1024;
/** How long an answer is kept, in ms: who waited for its turn in vain finds it at the next attempt. */
const keepMs = 5000;

/** Resolves host names: every name once at a time, a few at once. The system's resolver knows no cancelling, so who gives up leaves it to itself. */
export class HostNames {
  readonly #lookUp: (host: string) => Promise<string>;
  /** Under way, waiting, or answered a moment ago. */
  readonly #answers = new Map<string, Promise<string>>();
  readonly #waiting: (() => void)[] = [];
  #lookUps = 0;

  /** @param lookUp The system's resolver where absent. */
  constructor(lookUp: (host: string) => Promise<string> = async (host) => (await lookup(host)).address) {
    this.#lookUp = lookUp;
  }

  /**
   * The IP address of a host name, or the IP address itself.
   * @throws InfinitError `unavailable` for a name that nobody knows, or of which the name server has said nothing when the signal fires; `overloaded`.
   */
  async resolve(host: string, signal: AbortSignal): Promise<string> {
    if (isIP(host) !== 0) return host;
    const { promise, reject } = Promise.withResolvers<never>();
    const onAbort = (): void => reject(new InfinitError('unavailable', `host name ${host} cannot be resolved: no name server answers`));
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
    try {
      return await Promise.race([this.#answers.get(host) ?? this.#ask(host), promise]);
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  #ask(host: string): Promise<string> {
    if (this.#waiting.length >= maxWaiting) return Promise.reject(new InfinitError('overloaded', `${maxWaiting} host names wait to be resolved`));
    const answer = this.#inTurn(host);
    this.#answers.set(host, answer);
    const forget = (): void => void this.#answers.delete(host);
    answer.then(() => void setTimeout(forget, keepMs).unref(), forget);
    return answer;
  }

  async #inTurn(host: string): Promise<string> {
    if (this.#lookUps >= maxLookUps) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#lookUps++;
    try {
      return await this.#lookUp(host);
    } catch (cause) {
      throw new InfinitError('unavailable', `host name ${host} cannot be resolved: ${plainly(cause)}`, { cause });
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#lookUps--;
      else next();
    }
  }
}
