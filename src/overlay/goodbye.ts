import { InfinitError } from '../base/index.ts';
import type { ClusterAuthority } from './cluster-authority.ts';
import type { MemberState } from './identity/index.ts';
import type { AntiEntropy } from './membership/anti-entropy.ts';
import type { OwnRecord } from './own-record.ts';
import type { Transport } from './transport.ts';

/** How long a host that leaves waits for others to say that they have heard it, in ms. */
const goodbyeMs = 2000;

/** How this host leaves its cluster: all who are connected hear of it, or it stays. */
export class Goodbye {
  readonly #own: OwnRecord;
  readonly #transport: Transport;
  readonly #sync: AntiEntropy;
  readonly #authority: ClusterAuthority;
  #leaving: Promise<void> | undefined;
  /** While this host says goodbye: what it is should it stay after all. */
  #stays: MemberState | undefined;

  constructor(own: OwnRecord, transport: Transport, sync: AntiEntropy, authority: ClusterAuthority) {
    this.#own = own;
    this.#transport = transport;
    this.#sync = sync;
    this.#authority = authority;
  }

  /** What this host is from now on; while it says goodbye it has left. */
  setState(state: MemberState): void {
    if (this.#stays === undefined) this.#own.publish({ state });
    else this.#stays = state;
  }

  /** As `Overlay.leave`; whoever asks for it while it is under way waits for the same goodbye. */
  say(whyNot: () => string | undefined): Promise<void> {
    this.#leaving ??= this.#say(whyNot).finally(() => (this.#leaving = undefined));
    return this.#leaving;
  }

  async #say(whyNot: () => string | undefined): Promise<void> {
    this.#stays = this.#own.current.state;
    this.#own.publish({ state: 'left' });
    try {
      const { entry } = this.#own;
      const news = { entries: entry === undefined ? [] : [entry], revocations: [] };
      const heard = await Promise.allSettled(this.#transport.connected().map((peer) => this.#sync.tellAndWait(peer, news, goodbyeMs)));
      if (heard.every(({ status }) => status === 'rejected'))
        throw new InfinitError('unavailable', 'no other host hears that this one leaves: try again once it is connected with one');
      const why = whyNot();
      if (why !== undefined) throw new InfinitError('in-use', why);
      await this.#authority.rememberLeaving();
    } catch (error) {
      const state = this.#stays;
      this.#stays = undefined;
      this.#own.publish({ state });
      throw error;
    }
  }
}
